"""Records as the bytes of one file, in a fixed order: the same records give the same bytes, whoever writes them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from beam_llmdag.errors import InputError
from beam_llmdag.records.metadata import metadata_field
from beam_llmdag.records.records import json_text, with_metadata

__all__ = ["OutputFormat", "check_output_format", "json_line", "ordered_lines", "parquet_file"]

OutputFormat = Literal["parquet", "jsonl"]

_SORT_COLUMNS = ("id", "item_id", "dimension", "attempt")


def check_output_format(file_format: str) -> None:
    """Raises where nobody can write that.

    Raises:
        InputError: names the formats that there are.
    """
    if file_format not in get_args(OutputFormat):
        raise InputError(f"file_format {file_format!r}: known ones are {', '.join(get_args(OutputFormat))}")


def parquet_file(records: Iterable[Mapping[str, Any]], schema: pa.Schema, *, typed_metadata: bool) -> bytes:
    """A Parquet file of all records, ordered by id (or item), dimension and attempt.

    Args:
        records: dicts that fit `schema`.
        schema: columns of the file.
        typed_metadata: see `WriteRecords`.
    """
    ordered = _ordered(records)
    if typed_metadata:
        column = metadata_field(dict(record["metadata"]) for record in ordered)
        schema = schema.set(schema.get_field_index("metadata"), column)
        ordered = [with_metadata(record, column) for record in ordered]
    file = io.BytesIO()
    table = pa.Table.from_pylist(ordered, schema=schema)
    pq.write_table(table, file, compression="snappy", use_compliant_nested_type=True)
    return file.getvalue()


def ordered_lines(records: Iterable[Mapping[str, Any]], schema: pa.Schema) -> list[str]:
    """All records as lines of JSON, ordered as in `parquet_file`."""
    return [json_line(record, schema) for record in _ordered(records)]


def json_line(record: Mapping[str, Any], schema: pa.Schema) -> str:
    """A record as a line of JSON, its keys in the order of the schema."""
    return json_text({field.name: _json_value(record.get(field.name), field.type) for field in schema})


def _ordered(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(records, key=_sort_key)


def _sort_key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    numbers = ((record.get(name) is not None, record.get(name)) for name in _SORT_COLUMNS if name in record)
    return (*numbers, json_text(record))


def _json_value(value: Any, type_: Any) -> Any:
    """`value` with the pairs of maps turned into objects, and the fields of structs in the order of the schema."""
    if value is None:
        return None
    if pa.types.is_map(type_):
        pairs: Sequence[tuple[str, Any]] = value
        return {key: _json_value(inner, type_.item_type) for key, inner in pairs}
    if pa.types.is_struct(type_):
        inner_fields = (type_.field(index) for index in range(type_.num_fields))
        return {field.name: _json_value(value.get(field.name), field.type) for field in inner_fields}
    if pa.types.is_list(type_):
        return [_json_value(inner, type_.value_type) for inner in value]
    return value
