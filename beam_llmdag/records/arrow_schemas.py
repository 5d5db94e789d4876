"""Arrow schemas of the files this package writes, made from the JSON schemas of the outputs and never from the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pyarrow as pa

from beam_llmdag.errors import GraphError
from beam_llmdag.usage import TOKEN_KINDS

__all__ = [
    "COSTS_SCHEMA",
    "FAILURES_SCHEMA",
    "FIXED_COLUMNS",
    "TIMED_COSTS_SCHEMA",
    "UNKNOWN_METADATA",
    "arrow_field",
    "arrow_type",
    "globals_schema",
    "is_json_text",
    "json_text_field",
    "rows_schema",
]

FIXED_COLUMNS: tuple[str, ...] = ("id", "content", "metadata", "source_ids")
"""Columns of every file of rows; no dimension can be called like one of them."""

UNKNOWN_METADATA: pa.Field[Any] = pa.field("metadata", pa.map_(pa.string(), pa.string()))
"""The column for metadata where rows are written before all are known, or where none has any."""

JsonSchema = Mapping[str, Any]

_SCALARS = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
_PYTHON_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_COMBINATORS = ("anyOf", "oneOf", "allOf")
_SHAPE = {"type", "properties", "$ref", "enum", "const", *_COMBINATORS}
_JSON_TEXT = {b"holds": b"json"}


def arrow_type(schema: JsonSchema | None) -> pa.DataType:
    """The Arrow type of data that fits a JSON schema.

    | JSON schema | Arrow |
    |---|---|
    | string (dates, decimals and other formats as well), integer, number, boolean | string, int64, double, bool |
    | enum, const | the type of the values |
    | array | list |
    | object with properties | struct |
    | object with a schema for any key | map<string, T> |
    | T or null | T |
    | several kinds of objects | one struct with the fields of all of them |
    | anything else | string that holds JSON text |

    Anything else is: scalars of several types, free-form data, an object without fields or with other fields besides
    its own, a tuple of several types, and a definition inside itself (a tree's children).

    Everything is nullable, since a failed answer has no data.

    Args:
        schema: JSON schema with its `$defs`, as pydantic makes it with `mode="serialization"`; None for plain text.

    Raises:
        GraphError: a `$ref` leads nowhere; only references inside the schema are followed.
    """
    type_: pa.DataType = arrow_field("data", schema).type
    return type_


def arrow_field(name: str, schema: JsonSchema | None) -> pa.Field[Any]:
    """A column of `arrow_type(schema)`; its metadata says where a text is JSON text, see `is_json_text`."""
    if schema is None:
        return pa.field(name, pa.string())
    return _Root(schema).field(name, {"$ref": "#"}, ())


def is_json_text(field: pa.Field[Any]) -> bool:
    """Whether a string column holds JSON text."""
    return bool(field.metadata and field.metadata.get(b"holds") == b"json")


def rows_schema(dimensions: Mapping[str, JsonSchema | None], metadata: pa.Field[Any] = UNKNOWN_METADATA) -> pa.Schema:
    """The columns of a file of rows: id, content, metadata, source_ids, and a struct per dimension.

    `content` is the text, JSON text where content is no text, and null where it is bytes.

    Args:
        dimensions: name -> JSON schema of its data, None for plain text; columns come in this order.
        metadata: the column for metadata, where all of it is known (see `metadata_field`). By default it maps a name to
            a text: a text value as it is, any other as JSON text, null as null.

    Raises:
        GraphError: a dimension is called like another column, where case does not count since BigQuery and DuckDB
            ignore it; or see `arrow_type`.
    """
    taken = {name: f"the column {name!r}" for name in FIXED_COLUMNS}
    for name in dimensions:
        if name.lower() in taken:
            raise GraphError(
                f"dimension {name!r}: in an output file it has the same column name as {taken[name.lower()]} "
                "(upper and lower case are one to BigQuery); rename the dimension"
            )
        taken[name.lower()] = f"the dimension {name!r}"
    columns: list[pa.Field[Any]] = [
        pa.field("id", pa.string()),
        pa.field("content", pa.string()),
        metadata,
        pa.field("source_ids", pa.list_(pa.string())),
    ]
    for name, schema in dimensions.items():
        columns.append(pa.field(name, pa.struct(_result_fields(schema))))
    return pa.schema(columns)


def globals_schema(schema: JsonSchema | None) -> pa.Schema:
    """The columns of a file with the results of one global dimension: one row, or one per group.

    Args:
        schema: JSON schema of its data, None for plain text.

    Raises:
        GraphError: see `arrow_type`.
    """
    return pa.schema([*_ABOUT, *_result_fields(schema), _LEFT_OUT])


def _usage_and_cost() -> list[pa.Field[Any]]:
    return [*(pa.field(kind, pa.int64()) for kind in TOKEN_KINDS), pa.field("cost_nano_usd", pa.int64())]


def _attempt_fields() -> list[pa.Field[Any]]:
    return [
        pa.field("model", pa.string()),
        pa.field("error_class", pa.string()),
        pa.field("message", pa.string()),
        pa.field("http_status", pa.int64()),
        pa.field("request_id", pa.string()),
        pa.field("sent", pa.bool_()),
        *_usage_and_cost(),
    ]


def _result_fields(schema: JsonSchema | None) -> list[pa.Field[Any]]:
    return [
        pa.field("status", pa.string()),
        arrow_field("data", schema),
        pa.field("reason", pa.string()),
        *_ERROR,
        pa.field("model", pa.string()),
        pa.field("store_hit", pa.bool_()),
        *_usage_and_cost(),
        _ATTEMPTS,
    ]


_SAID: list[pa.Field[Any]] = [pa.field("raw_answer", pa.string()), pa.field("prompt", pa.string())]
_ATTEMPTS: pa.Field[Any] = pa.field("attempts", pa.list_(pa.struct([*_attempt_fields(), *_SAID])))
_ABOUT: list[pa.Field[Any]] = [pa.field("dimension", pa.string()), pa.field("item_id", pa.string())]
_ERROR: list[pa.Field[Any]] = [pa.field("error_class", pa.string()), pa.field("message", pa.string())]
_LEFT_OUT: pa.Field[Any] = pa.field("left_out", pa.list_(pa.string()))
_ATTEMPT: pa.Field[Any] = pa.field("attempt", pa.int64())

FAILURES_SCHEMA: pa.Schema = pa.schema([*_ABOUT, *_ERROR, pa.field("traceback", pa.string()), _ATTEMPTS])
"""The columns of a file of failures: one row per failed result or unreadable record."""

_TIMINGS = [pa.field("latency_seconds", pa.float64()), pa.field("waited_seconds", pa.float64())]

COSTS_SCHEMA: pa.Schema = pa.schema([*_ABOUT, _ATTEMPT, *_attempt_fields()])
"""The columns of a file of costs: one row per attempt, counted from 1."""

TIMED_COSTS_SCHEMA: pa.Schema = pa.schema([*COSTS_SCHEMA, *_TIMINGS])
"""The same, and how long each attempt took and waited for its permit: no two runs have the same."""


def json_text_field(name: str) -> pa.Field[Any]:
    """A column of texts that hold JSON."""
    return pa.field(name, pa.string(), metadata=_JSON_TEXT)


class _Root:
    """Turns a schema and those inside it into fields."""

    def __init__(self, schema: JsonSchema) -> None:
        self._schema = schema

    def field(self, name: str, schema: Any, inside: tuple[str, ...]) -> pa.Field[Any]:
        """The field for `schema`; `inside` names the definitions around it: one inside itself has no finite type."""
        if not isinstance(schema, Mapping):  # True: anything goes
            return json_text_field(name)
        reference = schema.get("$ref")
        if reference is not None:
            if reference in inside:
                return json_text_field(name)
            return self.field(name, self._target(reference), (*inside, reference))
        if "const" in schema or "enum" in schema:
            return _field_of_values(name, schema.get("enum", [schema.get("const")]))
        branches = _branches(schema)
        if branches:
            return _merged(name, [self.field(name, branch, inside) for branch in branches])
        type_ = schema.get("type")
        if type_ == "array":
            return self._array(name, schema, inside)
        if type_ == "object" or (type_ is None and "properties" in schema):
            return self._object(name, schema, inside)
        known = _SCALARS.get(type_) if isinstance(type_, str) else None
        return json_text_field(name) if known is None else pa.field(name, known)

    def _target(self, reference: str) -> Any:
        target: Any = self._schema
        try:
            for step in reference.removeprefix("#").split("/")[1:]:
                target = target[step.replace("~1", "/").replace("~0", "~")]
        except (KeyError, TypeError) as error:
            raise GraphError(f"output schema: the reference {reference!r} leads nowhere") from error
        return target

    def _array(self, name: str, schema: JsonSchema, inside: tuple[str, ...]) -> pa.Field[Any]:
        kinds = [*schema.get("prefixItems", ())]
        if schema.get("items", not kinds) is not False:
            kinds.append(schema.get("items", True))
        element = _merged("element", [self.field("element", kind, inside) for kind in kinds])
        if len(kinds) > 1 and is_json_text(element):
            return json_text_field(name)
        return pa.field(name, pa.list_(element))

    def _object(self, name: str, schema: JsonSchema, inside: tuple[str, ...]) -> pa.Field[Any]:
        properties = schema.get("properties", {})
        others = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties", False)]
        others = [other for other in others if other is not False]
        if properties and not others:
            return pa.field(name, pa.struct([self.field(key, inner, inside) for key, inner in properties.items()]))
        if properties or not others or others == [True]:
            return json_text_field(name)
        value = _merged("value", [self.field("value", other, inside) for other in others])
        return pa.field(name, pa.map_(pa.string(), cast(Any, value)))  # the stubs do not know of fields


def _branches(schema: JsonSchema) -> list[JsonSchema]:
    """The alternatives of a schema, null left out; none if it is a plain one."""
    types = schema.get("type")
    own = {key: value for key, value in schema.items() if key not in _COMBINATORS}
    found = [branch for keyword in _COMBINATORS for branch in schema.get(keyword, ())]
    if isinstance(types, list):
        found += [{**own, "type": one} for one in types]
    elif found and _SHAPE & own.keys():
        found = [own, *(branch for branch in found if isinstance(branch, Mapping) and _SHAPE & branch.keys())]
    return [branch for branch in found if not (isinstance(branch, Mapping) and branch.get("type") == "null")]


def _field_of_values(name: str, values: Sequence[Any]) -> pa.Field[Any]:
    types = {type(value) for value in values if value is not None}
    only = _PYTHON_SCALARS.get(types.pop()) if len(types) == 1 else None
    return json_text_field(name) if only is None else pa.field(name, only)


def _merged(name: str, found: Sequence[pa.Field[Any]]) -> pa.Field[Any]:
    """One field for values that fit any of `found`: structs join, equal types stay, all else is JSON text."""
    if found and all(field.equals(found[0], check_metadata=True) for field in found):
        return found[0].with_name(name)
    if not found or not all(pa.types.is_struct(field.type) for field in found):
        return json_text_field(name)
    parts: dict[str, list[pa.Field[Any]]] = {}
    for field in found:
        for index in range(field.type.num_fields):
            part = field.type.field(index)
            parts.setdefault(part.name, []).append(part)
    return pa.field(name, pa.struct([_merged(part, known) for part, known in parts.items()]))
