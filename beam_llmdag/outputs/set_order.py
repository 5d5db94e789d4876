"""One order for sets: Python's own depends on the hash seed of the process."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import SchemaSerializer, core_schema, to_json, to_jsonable_python

from beam_llmdag.outputs.core_schemas import Node, changed, nodes

__all__ = ["JsonSchemaInOrder", "serializer_in_order"]

_SETS = ("set", "frozenset")


def serializer_in_order(adapter: TypeAdapter[Any]) -> SchemaSerializer | Any:
    """The serializer of a type that writes sets as sorted lists: numbers by value, then texts, then all else."""
    schema = adapter.core_schema
    if not any(node["type"] in _SETS for node in nodes(schema)):
        return adapter.serializer
    return SchemaSerializer(_in_order(schema), None, False)  # False: not the classes' own


class JsonSchemaInOrder(GenerateJsonSchema):
    """Writes JSON schemas in which sets that are defaults are in order."""

    def encode_default(self, default: Any) -> Any:
        return super().encode_default(_plain(default))


def _in_order(node: Mapping[str, Any]) -> Node:
    ordered = changed(node, _in_order)
    if node["type"] not in _SETS or "serialization" in node:
        return ordered
    inner = {key: value for key, value in ordered.items() if key != "ref"}
    function = core_schema.wrap_serializer_function_ser_schema(_sorted, schema=inner, when_used="json")
    return {**ordered, "serialization": function}


def _sorted(value: Any, handler: core_schema.SerializerFunctionWrapHandler) -> Any:
    written = handler(value)
    return sorted(written, key=_place) if isinstance(value, Set) else written


def _place(written: Any) -> tuple[int, float, bytes]:
    if isinstance(written, (int, float)):
        return (0, written, b"")
    return (1, 0, written.encode(errors="replace")) if isinstance(written, str) else (2, 0, to_json(written))


def _plain(default: Any) -> Any:
    """`default` with sets in order, wherever they are in it."""
    if isinstance(default, Set):
        return sorted((to_jsonable_python(_plain(entry)) for entry in default), key=_place)
    if isinstance(default, BaseModel):
        adapter = TypeAdapter(type(default))
        return serializer_in_order(adapter).to_python(default, mode="json", by_alias=True)
    if type(default) is dict:
        return {key: _plain(value) for key, value in default.items()}
    return [_plain(value) for value in default] if type(default) in (list, tuple) else default
