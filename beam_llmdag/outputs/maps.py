"""Maps that were asked for as lists of {key, value} pairs, because an API has no maps in its dialect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from beam_llmdag.errors import CallError
from beam_llmdag.text import clean_text

__all__ = ["has_maps", "is_map", "maps_from_pairs"]

_PAIR = {"key", "value"}


def is_map(schema: Mapping[str, Any]) -> bool:
    """Whether `schema` is an object whose keys are free and whose values have a schema."""
    has_values = isinstance(schema.get("additionalProperties"), Mapping) or bool(schema.get("patternProperties"))
    return _allows(schema, "object") and not schema.get("properties") and has_values


def has_maps(schema: Any) -> bool:
    """Whether there is a map anywhere in `schema`."""
    if isinstance(schema, Mapping):
        return is_map(schema) or any(has_maps(value) for value in schema.values())
    return isinstance(schema, list) and any(has_maps(value) for value in schema)


def maps_from_pairs(value: Any, schema: Any, definitions: Mapping[str, Any], path: str = "") -> Any:
    """`value` with every list of pairs that stands where `schema` has a map turned into that map.

    Raises:
        CallError: `invalid_answer`: one key has two values.
    """
    if not isinstance(schema, Mapping):
        return value
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return maps_from_pairs(value, definitions.get(reference.removeprefix("#/$defs/")), definitions, path)
    for branch in _branches(value, schema, definitions):
        value = maps_from_pairs(value, branch, definitions, path)
    if is_map(schema) and _is_pairs(value):
        value = _map_of(value, path)
    if isinstance(value, dict):
        return {
            key: maps_from_pairs(inner, _field(schema, key), definitions, f"{path}.{key}" if path else key)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        first = schema.get("prefixItems", ())
        rest = schema.get("items")
        schemas = [first[index] if index < len(first) else rest for index in range(len(value))]
        return [
            maps_from_pairs(inner, sub, definitions, f"{path}[{index}]")
            for index, (inner, sub) in enumerate(zip(value, schemas, strict=True))
        ]
    return value


def _branches(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Any]:
    """The alternatives that `value` may be one of. A list that may be meant as a list is not read as a map."""
    yield from schema.get("allOf", ())
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if isinstance(value, list):
        lists = [branch for branch in alternatives if _allows(_resolved(branch, definitions), "array")]
        alternatives = lists if lists and not (value and _is_pairs(value)) else alternatives
    yield from alternatives


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    target = definitions.get(reference.removeprefix("#/$defs/"), {}) if isinstance(reference, str) else schema
    return target if isinstance(target, Mapping) else {}


def _allows(schema: Mapping[str, Any], kind: str) -> bool:
    declared = schema.get("type")
    return kind in declared if isinstance(declared, list) else kind == declared


def _field(schema: Mapping[str, Any], key: str) -> Any:
    properties = schema.get("properties", {})
    if key in properties:
        return properties[key]
    patterns = schema.get("patternProperties", {})
    return next(iter(patterns.values()), schema.get("additionalProperties"))


def _is_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(pair, dict) and set(pair) == _PAIR for pair in value)


def _map_of(pairs: list[dict[str, Any]], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        key = clean_text(str(pair["key"]))  # two keys may become one
        if key in found and found[key] != pair["value"]:
            raise CallError(
                "invalid_answer",
                f"{path or 'the answer'}: the key {key!r} stands twice in a map, with different values",
            )
        found[key] = pair["value"]
    return found
