"""The schemas of pydantic's core that stand behind a type: how to find one's way through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["Node", "changed", "hides_values", "nodes"]

Node = dict[str, Any]

_INNER = (
    "schema",
    "schemas",
    "items_schema",
    "keys_schema",
    "values_schema",
    "lax_schema",
    "strict_schema",
    "json_schema",
    "python_schema",
    "extras_schema",
    "extras_keys_schema",
    "arguments_schema",
    "var_args_schema",
    "var_kwargs_schema",
    "return_schema",
    "computed_fields",
    "fields",
    "choices",
    "steps",
    "definitions",
)
"""Keys under which a node has others: one, a list of them, or a dict by name."""


def changed(node: Mapping[str, Any], change: Callable[[Any], Any]) -> Node:
    """A copy of `node` with what `change` makes of the nodes right below it."""
    return {key: _each(value, change) if key in _INNER else value for key, value in node.items()}


def nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """`node` and all nodes below it."""
    below: list[Any] = []
    changed(node, below.append)
    yield node
    for inner in below:
        yield from nodes(inner)


def hides_values(node: Mapping[str, Any]) -> bool:
    """Whether values under `node` are written as asterisks, as pydantic does with its secrets."""
    written_by = node.get("serialization", {}).get("function")
    if written_by is not None:  # of what is below nothing else is written
        return bool(written_by.__module__ == "pydantic.types" and "secret" in written_by.__name__)
    below: list[Any] = []
    changed(node, below.append)
    return any(map(hides_values, below))


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, Mapping):
        if isinstance(value.get("type"), str):
            return change(value)
        return {name: _each(inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [_each(inner, change) for inner in value]
    if isinstance(value, tuple):  # a choice and its label
        return (_each(value[0], change), *value[1:])
    return value
