"""A made-up value that satisfies a JSON schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor
from random import Random
from typing import Any

__all__ = ["sample_value"]

_WORDS = ("amber", "brook", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "juniper", "kelp", "larch")
_FORMATS: Mapping[str, str] = {
    "date": "2026-05-17",
    "date-time": "2026-05-17T10:30:00Z",
    "time": "10:30:00Z",
    "duration": "PT1H",
    "email": "amber@example.com",
    "uri": "https://example.com/amber",
    "uuid": "5f0c6d6e-3c5b-4d3a-9d6f-2b8f0a1c7e42",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
}
_DEEP = 6
"""Levels of nesting after which the shortest way out is taken, so that recursive schemas end."""

_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def sample_value(schema: Mapping[str, Any], random: Random) -> Any:
    """A value that satisfies `schema`, the same for the same state of `random`.

    Understands types (also in Gemini's capitals, with `nullable`), `$ref`, `anyOf`, `oneOf`, `allOf`, `enum`, `const`,
    bounds of numbers, lengths, `format`, `prefixItems`, `uniqueItems`, `additionalProperties` and nesting.
    Ignores `pattern`, `not` and `if`.

    Raises:
        ValueError: a `$ref` that leads nowhere, or a schema that only an infinite value satisfies.
    """
    return _Sampler(schema, random).value(schema, 0)


class _Sampler:
    def __init__(self, root: Mapping[str, Any], random: Random) -> None:
        self._root = root
        self._chance = random.random
        self._makers: Mapping[str, Callable[[Mapping[str, Any], int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda _schema, _depth: self._chance() < 0.5,
            "null": lambda _schema, _depth: None,
        }

    def value(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            return self._pick(_WORDS)  # `true`, or no schema at all: anything fits
        if depth > 10 * _DEEP:
            raise ValueError("the schema has no finite value")
        schema = self._flat(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._pick(list(schema["enum"]))
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return self._one_of(schema, options, depth)
        if schema.get("nullable") and (depth > _DEEP or self._chance() < 0.2):
            return None
        return self._makers[self._type(schema, depth)](schema, depth)

    def _flat(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """`schema` with its `$ref` followed and its `allOf` merged; keys beside them hold as well."""
        if "$ref" not in schema and "allOf" not in schema:
            return schema
        flat = dict(schema)
        reference = flat.pop("$ref", None)
        if reference is not None:
            flat = _merged(self._flat(self._resolve(reference)), flat)
        for part in flat.pop("allOf", ()):
            flat = _merged(flat, self._flat(part))
        return flat

    def _resolve(self, reference: str) -> Mapping[str, Any]:
        target: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, Mapping) or step not in target:
                raise ValueError(f"the schema has no {reference!r}")
            target = target[step]
        if not isinstance(target, Mapping):
            raise ValueError(f"{reference!r} is no schema")
        return target

    def _one_of(self, schema: Mapping[str, Any], options: list[Any], depth: int) -> Any:
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        option = min(options, key=self._weight) if depth > _DEEP else self._pick(options)
        return self.value(_merged(self._flat(option), rest) if isinstance(option, Mapping) else option, depth + 1)

    def _weight(self, option: Any) -> int:
        """How much nesting an option may bring: null, then plain values, then the rest."""
        if not isinstance(option, Mapping):
            return 1
        kind = self._type(self._flat(option), _DEEP + 1)
        return {"null": 0, "object": 3, "array": 2}.get(kind, 1)

    def _type(self, schema: Mapping[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = "null" if depth > _DEEP and "null" in kind else self._pick(kind)
        if isinstance(kind, str):
            if kind.lower() not in self._makers:
                raise ValueError(f"unknown type {kind!r} in the schema")
            return kind.lower()
        if "properties" in schema or "additionalProperties" in schema:
            return "object"
        if "items" in schema or "prefixItems" in schema:
            return "array"
        return "number" if any(key in schema for key in _LIMITS) else "string"

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        properties = schema.get("properties", {})
        value = {
            name: self.value(part, depth + 1)
            for name, part in properties.items()
            if name in required or depth <= _DEEP // 2
        }
        extra = schema.get("additionalProperties")
        wanted = int(schema.get("minProperties", 0))
        if isinstance(extra, Mapping) and not properties and depth <= _DEEP:
            wanted = max(wanted, min(2, int(schema.get("maxProperties", 2))))
        for number in range(wanted - len(value)):
            value[f"{_WORDS[number % len(_WORDS)]}_{number}"] = self.value(extra, depth + 1)
        return value

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first = [self.value(part, depth + 1) for part in schema.get("prefixItems", ())]
        least = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", max(least, 3)))
        length = least if depth > _DEEP // 2 else self._whole(least, min(most, max(least, 3)))
        items = schema.get("items", True)
        if items is False:
            return first
        values = list(first)
        tries = 20 * length
        while len(values) < length and tries > 0:
            tries -= 1
            value = self.value(items, depth + 1)
            if not (schema.get("uniqueItems") and value in values):
                values.append(value)
        return values

    def _string(self, schema: Mapping[str, Any], _depth: int) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        text = str(self._pick(_WORDS))
        if self._chance() < 0.6:  # two words at most: short enough for the bounds that an API is told of in words only
            text += " " + self._pick(_WORDS)
        while len(text) < least:
            text += " " + self._pick(_WORDS)
        return text if most is None else text[: int(most)]

    def _integer(self, schema: Mapping[str, Any], _depth: int) -> int:
        step = int(schema.get("multipleOf", 1))
        low, high = _bounds(schema, off_the_end=1, width=5 * step)
        return step * self._multiple(low / step, high / step)

    def _number(self, schema: Mapping[str, Any], _depth: int) -> float:
        step = schema.get("multipleOf")
        if step is not None:
            low, high = _bounds(schema, off_the_end=step, width=5 * step)
            return float(step * self._multiple(low / step, high / step))
        low, high = _bounds(schema, off_the_end=0, width=1)
        value = low + (high - low) * (0.05 + 0.9 * self._chance())  # the ends may be excluded
        rounded = round(value, 3)
        return rounded if low < rounded < high else value

    def _pick(self, options: Sequence[Any]) -> Any:
        return options[int(self._chance() * len(options))]

    def _whole(self, low: int, high: int) -> int:
        return low + int(self._chance() * (high - low + 1))

    def _multiple(self, low: float, high: float) -> int:
        return self._whole(ceil(low), max(ceil(low), floor(high)))


def _bounds(schema: Mapping[str, Any], *, off_the_end: float, width: float) -> tuple[float, float]:
    """Least and greatest value.

    Args:
        schema: of a number.
        off_the_end: how far from an excluded end a value must be.
        width: of the range when the schema does not bound it. Small: APIs that know no bounds get them as words, and
            most numbers that models are asked for are shares or ratings.
    """
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("exclusiveMinimum") is not None:
        excluded = schema["exclusiveMinimum"] + off_the_end
        low = excluded if low is None else max(low, excluded)
    if schema.get("exclusiveMaximum") is not None:
        excluded = schema["exclusiveMaximum"] - off_the_end
        high = excluded if high is None else min(high, excluded)
    if low is None:
        low = 0 if high is None or high > 0 else high - width
    return low, low + width if high is None else high


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both schemas at once; `other` wins where both say something, but properties add up."""
    merged = {**one, **other}
    for key in ("properties", "$defs"):
        if key in one and key in other:
            merged[key] = {**one[key], **other[key]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *other["required"]]
    return merged
