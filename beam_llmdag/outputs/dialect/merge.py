"""Two JSON schemas that must both hold, as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ANNOTATIONS", "InexpressibleError", "merged"]

ANNOTATIONS = frozenset({"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"})
"""Keywords that say something about a value without ruling any out."""

_GREATEST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_SMALLEST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


class InexpressibleError(Exception):
    """A construct that a dialect has no words for; the caller falls back to showing the schema as text.

    Args:
        path: the field, as `"order.lines[]"`; `""` for the answer as a whole.
        why: what is in the way, continuing a sentence that began with the field.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why


def merged(one: Mapping[str, Any], other: Mapping[str, Any], path: str) -> dict[str, Any]:
    """One schema for what has to fit both; of two annotations, those of `other` stand, descriptions are joined.

    Raises:
        InexpressibleError: nothing can fit both, or only a construct that JSON schema cannot write in one node.
    """
    both = dict(one)
    for key, value in other.items():
        both[key] = _merged_keyword(key, both[key], value, path) if key in both else value
    return both


def _merged_keyword(key: str, one: Any, other: Any, path: str) -> Any:
    if one == other:
        return one
    if key == "description":
        return f"{other}\n{one}"
    if key in ANNOTATIONS:
        return other
    if key in _GREATEST:
        return max(one, other)
    if key in _SMALLEST:
        return min(one, other)
    if key == "required":
        return [*one, *(name for name in other if name not in one)]
    if key == "enum":
        return [value for value in one if value in other]
    if key in ("properties", "$defs", "definitions"):
        shared = {name: {"allOf": [one[name], other[name]]} for name in one if name in other}
        return {**one, **other, **shared}
    if key == "items":
        return {"allOf": [one, other]}
    if key == "additionalProperties":
        return _stricter(one, other)
    if key == "type":
        return _common_type(one, other, path)
    raise InexpressibleError(path, f"{key!r} is given twice, as {one!r} and {other!r}")


def _stricter(one: Any, other: Any) -> Any:
    if one is False or other is False:
        return False
    if one is True or other is True:
        return other if one is True else one
    return {"allOf": [one, other]}


def _common_type(one: Any, other: Any, path: str) -> Any:
    left = one if isinstance(one, list) else [one]
    right = other if isinstance(other, list) else [other]
    common = [name for name in left if name in right or (name == "integer" and "number" in right)]
    if "number" in left and "integer" in right and "integer" not in common:
        common.append("integer")
    if not common:
        raise InexpressibleError(path, f"has to be {one!r} and {other!r} at once")
    return common[0] if len(common) == 1 else common
