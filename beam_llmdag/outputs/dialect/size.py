"""How large a schema may be before an API rejects it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Limits", "too_much"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an API accepts at most in one schema; None where it states no limit.

    Attributes:
        levels: objects inside of objects, the outermost counted.
        properties: fields of all objects together.
        enum_values: fixed values of all enums together.
        unions: places that offer a choice (`anyOf`), optional values among them.
    """

    levels: int | None = None
    properties: int | None = None
    enum_values: int | None = None
    unions: int | None = None


def too_much(schema: Mapping[str, Any], limits: Limits) -> str | None:
    """What is above a limit, in words; None if nothing is."""
    counts = {"properties": 0, "enum": 0, "anyOf": 0}
    _count(schema, counts)
    for found, most, what in (
        (counts["properties"], limits.properties, "fields"),
        (counts["enum"], limits.enum_values, "enum values"),
        (counts["anyOf"], limits.unions, "choices, optional values among them,"),
        (_levels(schema, schema, ()), limits.levels, "levels of objects"),
    ):
        if most is not None and found > most:
            return f"has {found} {what} where {most} are accepted"
    return None


def _count(node: Any, counts: dict[str, int]) -> None:
    if not isinstance(node, Mapping):
        return
    counts["properties"] += len(node.get("properties", ()))
    counts["enum"] += len(node.get("enum", ()))
    counts["anyOf"] += "anyOf" in node
    for child in _children(node):
        _count(child, counts)


def _levels(node: Any, root: Mapping[str, Any], above: tuple[str, ...]) -> int:
    if not isinstance(node, Mapping):
        return 0
    ref = node.get("$ref")
    if ref is not None:
        target = root.get("$defs", {}).get(ref.removeprefix("#/$defs/"))
        return 0 if ref in above else _levels(target, root, (*above, ref))
    below = [_levels(child, root, above) for key, child in _named_children(node) if key != "$defs"]
    return max(below, default=0) + ("properties" in node)


def _children(node: Mapping[str, Any]) -> list[Any]:
    return [child for _, child in _named_children(node)]


def _named_children(node: Mapping[str, Any]) -> list[tuple[str, Any]]:
    children: list[tuple[str, Any]] = []
    for key in ("$defs", "properties"):
        children += [(key, child) for child in node.get(key, {}).values()]
    for key in ("anyOf", "prefixItems"):
        children += [(key, child) for child in node.get(key, ())]
    children += [(key, node[key]) for key in ("items", "additionalProperties") if key in node]
    return children
