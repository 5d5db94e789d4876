"""Records of `beam_llmdag.records.records` as rows of BigQuery, and rows of BigQuery as records; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa

from beam_llmdag.beam.io.bigquery.schema import COST_COLUMN, is_cost, is_json
from beam_llmdag.records.arrow_schemas import is_json_text
from beam_llmdag.records.records import Record, json_text

__all__ = ["WriteMethod", "read_row", "table_row"]

WriteMethod = Literal["FILE_LOADS", "STREAMING_INSERTS"]


def table_row(
    record: Mapping[str, Any], schema: pa.Schema, run_columns: Mapping[str, str], method: WriteMethod, *, answer: bool
) -> Record:
    """A record as the JSON that BigQuery takes for a row with the columns of `table_fields`.

    Integers are texts, since a reader of JSON may round them beyond 2**53. An array of BigQuery cannot hold null: such
    elements are left out, and the `reason` of the result says so. NaN and infinities are null.

    Args:
        record: a record that fits `schema`.
        schema: see `beam_llmdag.records.arrow_schemas`.
        run_columns: see `Run.columns`.
        method: how it is written. A load job takes the value of a JSON column as it is, a streaming insert as text.
        answer: whether these are the answers of one dimension, so that the top column `data` is the user's.
    """
    cells = _Cells(method)
    lost: list[str] = []
    struct: Any = pa.struct(list(schema))
    found = cells.record(record, struct, "", in_data=False, whole=answer, lost=lost)
    return {**run_columns, **found}


def read_row(row: Mapping[str, Any], fields: Sequence[Any]) -> Record:
    """A row as Beam's connector gives it, with the text in its JSON columns read.

    Args:
        row: name -> value.
        fields: the columns, as `google.cloud.bigquery.SchemaField`.
    """
    return {field.name: _read_value(row.get(field.name), field) for field in fields}


def _read_value(value: Any, field: Any) -> Any:
    if value is None:
        return None
    if field.mode == "REPEATED":
        return [_read_one(inner, field) for inner in value]
    return _read_one(value, field)


def _read_one(value: Any, field: Any) -> Any:
    if field.field_type == "JSON" and isinstance(value, str):
        return json.loads(value)
    if field.field_type in ("RECORD", "STRUCT") and value is not None:
        return read_row(value, field.fields)
    return value


class _Cells:
    """Turns values into those of a row, for one method of writing."""

    def __init__(self, method: WriteMethod) -> None:
        self._method = method

    def record(
        self, value: Mapping[str, Any], type_: Any, path: str, *, in_data: bool, whole: bool, lost: list[str]
    ) -> Record:
        """A struct; `whole` where its field `data` is an answer's, in which case `reason` says what was lost."""
        found: Record = {}
        own: list[str] = []
        for index in range(type_.num_fields):
            field = type_.field(index)
            inside = in_data or (whole and field.name == "data")
            name = COST_COLUMN if is_cost(field.name, answer=in_data) else field.name
            found[name] = self._cell(value.get(field.name), field, f"{path}{field.name}", inside, own)
        if own and whole and not in_data:
            note = f"not in this table, since an array of BigQuery holds no null: {', '.join(own)}"
            found["reason"] = "; ".join([*filter(None, [found["reason"]]), note])
        else:
            lost += own
        return found

    def _cell(self, value: Any, field: Any, path: str, in_data: bool, lost: list[str]) -> Any:
        type_ = field.type
        if is_json(field):
            return None if value is None else self._json(_plain_json(value, field))
        if pa.types.is_list(type_):
            return self._array(value or [], type_.value_field, path, in_data, lost)
        if value is None:
            return None
        if pa.types.is_struct(type_):
            whole = any(type_.field(index).name == "data" for index in range(type_.num_fields))
            inner = "" if whole and not in_data else f"{path}."
            return self.record(value, type_, inner, in_data=in_data, whole=whole and not in_data, lost=lost)
        if is_cost(field.name, answer=in_data):
            return f"{Decimal(value).scaleb(-9):f}"
        return _scalar(value, type_)

    def _array(self, values: Sequence[Any], element: Any, path: str, in_data: bool, lost: list[str]) -> list[Any]:
        lost += [f"{path}[{index}]" for index, value in enumerate(values) if value is None]
        known = [(index, value) for index, value in enumerate(values) if value is not None]
        return [self._cell(value, element, f"{path}[{index}]", in_data, lost) for index, value in known]

    def _json(self, value: Any) -> Any:
        text = json_text(value)
        return text if self._method == "STREAMING_INSERTS" else json.loads(text)


def _plain_json(value: Any, field: Any) -> Any:
    """What a JSON column holds: the JSON that a text stands for, the object that the pairs of a map stand for."""
    type_ = field.type
    if value is None:
        return None
    if is_json_text(field):
        return json.loads(value)
    if pa.types.is_map(type_):
        return {key: _plain_json(inner, type_.item_field) for key, inner in value}
    if pa.types.is_list(type_):
        return [_plain_json(inner, type_.value_field) for inner in value]
    if pa.types.is_struct(type_):
        inner_fields = (type_.field(index) for index in range(type_.num_fields))
        return {inner.name: _plain_json(value.get(inner.name), inner) for inner in inner_fields}
    return value


def _scalar(value: Any, type_: Any) -> Any:
    if pa.types.is_floating(type_):
        return value if abs(value) < float("inf") else None
    return str(value) if pa.types.is_integer(type_) else value
