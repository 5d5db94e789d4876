"""The shape of data that a JSON schema describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beam_llmdag.yaml.shape import ANYTHING, ListShape, ObjectShape, Shape, TupleShape, union_of

__all__ = ["shape_of_schema"]

_OPEN = frozenset({"if", "dependentSchemas", "dependencies", "$dynamicRef", "$recursiveRef"})
"""Keywords that may say more of the fields; who uses them gets no check."""

_SCALARS: Mapping[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "null": type(None)}


def shape_of_schema(schema: Mapping[str, Any]) -> Shape:
    """The shape of data that fits a JSON schema, read from JSON: dicts, lists, texts, numbers.

    An object has the properties that its schema declares and no others, unless `additionalProperties` or
    `patternProperties` allow more.
    """
    return _shape(schema, schema, frozenset())


class _SchemaObject(Shape):
    """A dict with declared properties, and others if it is `open`."""

    is_mapping = True

    def __init__(self, properties: Mapping[str, Any], root: Mapping[str, Any], *, is_open: bool) -> None:
        self._properties = properties
        self._root = root
        self._is_open = is_open
        self.names = tuple(properties)

    def field(self, name: str) -> Shape | None:
        if name in self._properties:
            return _shape(self._properties[name], self._root, frozenset())
        return ANYTHING if self._is_open or hasattr(dict, name) else None


def _shape(schema: Any, root: Mapping[str, Any], passed: frozenset[str]) -> Shape:
    """The shape of one schema within `root`; `passed`: the references on the way, without a field."""
    if not isinstance(schema, Mapping) or schema.keys() & _OPEN:
        return ANYTHING
    branches = [branch for key in ("anyOf", "oneOf", "allOf") for branch in schema.get(key, ())]
    reference = schema.get("$ref")
    if reference is not None:
        if reference in passed:
            return ANYTHING
        passed |= {reference}
        branches.append(root if reference == "#" else root.get("$defs", {}).get(reference.removeprefix("#/$defs/")))
    known = [_shape(branch, root, passed) for branch in branches]
    if "properties" in schema or "type" in schema or not known:
        known.append(_own(schema, root, passed))
    return union_of(known)


def _own(schema: Mapping[str, Any], root: Mapping[str, Any], passed: frozenset[str]) -> Shape:
    """The shape that a schema describes without its branches."""
    if "type" not in schema and "properties" not in schema:
        return _of_values(schema)
    types = schema.get("type", "object")
    types = [types] if isinstance(types, str) else types
    return union_of([_of_type(name, schema, root, passed) for name in types])


def _of_values(schema: Mapping[str, Any]) -> Shape:
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else []
    nested = any(isinstance(value, (dict, list)) for value in values)
    return ANYTHING if nested else union_of([ObjectShape(value) for value in values])


def _of_type(name: Any, schema: Mapping[str, Any], root: Mapping[str, Any], passed: frozenset[str]) -> Shape:
    if name == "object" and schema.get("properties"):
        is_open = schema.get("additionalProperties", False) is not False or "patternProperties" in schema
        return _SchemaObject(schema["properties"], root, is_open=is_open)
    if name == "array":
        return _of_array(schema, root, passed)
    return ObjectShape(_SCALARS[name]) if name in _SCALARS else ANYTHING


def _of_array(schema: Mapping[str, Any], root: Mapping[str, Any], passed: frozenset[str]) -> Shape:
    first, rest = schema.get("prefixItems"), schema.get("items")
    if not first:
        return ListShape(_shape(rest, root, passed))
    return TupleShape([_shape(item, root, passed) for item in first]) if rest is False else ListShape(ANYTHING)
