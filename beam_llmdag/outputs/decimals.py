"""Numbers of which a float holds too little: exact where the output asks for a Decimal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

__all__ = ["decimals_as_text", "exact_float"]

_ALWAYS_EXACT = 16  # characters: at most 15 digits, which a float gives back as they were


class _Rounded(float):
    """A float, and the text of the number that it is not quite."""

    text: str


def exact_float(text: str) -> float:
    """The float of a JSON number, which remembers its text if it had to be rounded."""
    number = float(text)
    if len(text) <= _ALWAYS_EXACT or Decimal(repr(number)) == Decimal(text):
        return number
    rounded = _Rounded(number)
    rounded.text = text
    return rounded


def decimals_as_text(value: Any, schema: Any, definitions: Mapping[str, Any]) -> Any:
    """`value` with the text of each rounded number in its place where `schema` has a Decimal, which texts can say."""
    found = list(_alternatives(schema, definitions, frozenset()))
    if isinstance(value, _Rounded):
        return value.text if any(map(_is_decimal, found)) else value
    if isinstance(value, dict):
        for one in found:
            value = {key: decimals_as_text(inner, _field(one, key), definitions) for key, inner in value.items()}
    elif isinstance(value, list):
        for one in found:
            first = one.get("prefixItems", ())
            value = [
                decimals_as_text(inner, first[index] if index < len(first) else one.get("items"), definitions)
                for index, inner in enumerate(value)
            ]
    return value


def _alternatives(schema: Any, definitions: Mapping[str, Any], inside: frozenset[str]) -> Iterator[Mapping[str, Any]]:
    """`schema` and what it refers to or is made of, on one level."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference not in inside:
        target = definitions.get(reference.removeprefix("#/$defs/"))
        yield from _alternatives(target, definitions, inside | {reference})
    for key in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(key, ()):
            yield from _alternatives(part, definitions, inside)


def _is_decimal(schema: Mapping[str, Any]) -> bool:
    """Whether it is pydantic's schema of a Decimal: a number or a text."""
    kinds = {part.get("type") for part in schema.get("anyOf", ()) if isinstance(part, Mapping)}
    return {"number", "string"} <= kinds


def _field(schema: Mapping[str, Any], key: str) -> Any:
    properties = schema.get("properties", {})
    return properties[key] if key in properties else schema.get("additionalProperties")
