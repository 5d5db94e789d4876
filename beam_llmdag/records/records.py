"""Rows, results, failures and costs as dicts that fit the schemas of `beam_llmdag.records.arrow_schemas`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from beam_llmdag.records.arrow_schemas import FIXED_COLUMNS, is_json_text
from beam_llmdag.records.result import Attempt, CostRow, Failure, Result, Row
from beam_llmdag.text import clean_text, excerpt
from beam_llmdag.usage import TOKEN_KINDS

__all__ = [
    "Record",
    "cost_record",
    "failure_record",
    "fitted",
    "global_record",
    "json_text",
    "row_record",
    "short_failure",
    "timed_cost_record",
    "typed_row_record",
    "with_metadata",
]

_INT64 = 2**63
_LONGEST_FAILURE = 700_000  # characters, of which one takes up to twelve bytes: below any limit of BigQuery
_LONGEST_TEXT = 10_000

Record = dict[str, Any]
"""Column -> value."""


def row_record(row: Row, schema: pa.Schema) -> Record:
    """A row as a dict for `rows_schema`; null for a dimension that has no result about this item.

    Data that has no place in its column (an integer beyond 64 bits, a field that the schema does not name) is left
    out, and `reason` says so: one odd answer does not break the file of all others.

    Args:
        row: the row.
        schema: as made by `rows_schema`.
    """
    item = row.item
    record: Record = {
        "id": clean_text(item.id),
        "content": None if isinstance(item.content, bytes) else _text_or_json(item.content),
        "metadata": _metadata(item.metadata, schema.field("metadata")),
        "source_ids": [clean_text(source) for source in item.source_ids],
    }
    for column in schema:
        if column.name not in FIXED_COLUMNS:
            result = row.results.get(column.name)
            record[column.name] = None if result is None else _result_record(result, column.type.field("data"))
    return record


def typed_row_record(row: Row, schema: pa.Schema) -> Record:
    """As `row_record`, with metadata as it is, whatever its column: pairs of a name and a value of its own type."""
    metadata = [(clean_text(name), value) for name, value in row.item.metadata.items()]
    return {**row_record(row, schema), "metadata": metadata}


def with_metadata(record: Mapping[str, Any], column: pa.Field[Any]) -> Record:
    """A record of `typed_row_record` with its metadata as `column` takes it."""
    return {**record, "metadata": _metadata(dict(record["metadata"]), column)}


def global_record(result: Result, schema: pa.Schema) -> Record:
    """A result of a global as a dict for `globals_schema`; see `row_record` on data that has no place."""
    return {
        "dimension": result.dimension,
        "item_id": clean_text(result.item_id),
        **_result_record(result, schema.field("data")),
        "left_out": [clean_text(name) for name in result.left_out],
    }


def failure_record(failure: Failure) -> Record:
    """A failure as a dict for `FAILURES_SCHEMA`."""
    return {
        "dimension": failure.dimension,
        "item_id": clean_text(failure.item_id),
        "error_class": failure.error_class,
        "message": clean_text(failure.message),
        "traceback": _optional(failure.traceback),
        "attempts": [_said_record(attempt) for attempt in failure.attempts],
    }


def short_failure(record: Record) -> Record:
    """A record of a failure that every table can hold: where it is very long, without its attempts."""
    if len(json_text(record)) <= _LONGEST_FAILURE:
        return record
    item_id, message = (excerpt(str(record[name]), _LONGEST_TEXT) for name in ("item_id", "message"))
    return {**record, "item_id": item_id, "message": message, "attempts": []}


def cost_record(cost: CostRow) -> Record:
    """A line of the bill as a dict for `COSTS_SCHEMA`."""
    return {
        "dimension": cost.dimension,
        "item_id": clean_text(cost.item_id),
        "attempt": cost.number,
        **_attempt_record(cost.attempt),
    }


def timed_cost_record(cost: CostRow) -> Record:
    """A line of the bill as a dict for `TIMED_COSTS_SCHEMA`."""
    attempt = cost.attempt
    return {**cost_record(cost), "latency_seconds": attempt.latency_seconds, "waited_seconds": attempt.waited_seconds}


def fitted(value: Any, column: pa.Field[Any]) -> Any:
    """`value` as a column takes it; None for it, or for the part of it, that has no place there."""
    return _fitted(value, column, column.name, [])


def json_text(value: Any) -> str:
    """JSON-like data as compact JSON text that any parser reads: NaN and infinities are null, letters are kept."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean_text(key): _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, Sequence) else value


def _metadata(metadata: Mapping[str, Any], column: pa.Field[Any]) -> Any:
    if pa.types.is_map(column.type):
        return [(clean_text(name), _text_or_json(value)) for name, value in metadata.items()]
    return fitted(metadata, column)


def _text_or_json(value: Any) -> str | None:
    if value is None:
        return None
    return clean_text(value) if isinstance(value, str) else json_text(value)


def _optional(text: str | None) -> str | None:
    return None if text is None else clean_text(text)


def _attempt_record(attempt: Attempt) -> Record:
    return {
        "model": clean_text(attempt.model),
        "error_class": attempt.error_class,
        "message": _optional(attempt.message),
        "http_status": attempt.http_status,
        "request_id": _optional(attempt.request_id),
        "sent": attempt.sent,
        **(dict.fromkeys(TOKEN_KINDS) if attempt.usage is None else asdict(attempt.usage)),
        "cost_nano_usd": attempt.cost_nano_usd,
    }


def _said_record(attempt: Attempt) -> Record:
    """An attempt with what was said in it, which is no part of a bill."""
    return {
        **_attempt_record(attempt),
        "raw_answer": _optional(attempt.raw_answer),
        "prompt": _optional(attempt.prompt),
    }


def _result_record(result: Result, data: pa.Field[Any]) -> Record:
    lost: list[str] = []
    values = {
        "status": result.status,
        "data": _fitted(result.data, data, "data", lost),
        "reason": result.reason,
        "error_class": result.error_class,
        "message": _optional(result.message),
        "model": _optional(result.model),
        "store_hit": result.store_hit,
        **asdict(result.usage),
        "cost_nano_usd": result.cost_nano_usd,
        "attempts": [_said_record(attempt) for attempt in result.attempts],
    }
    notes = [f"not in this file, since its column cannot hold it: {', '.join(lost)}"] if lost else []
    values["reason"] = _optional("; ".join([*filter(None, [result.reason]), *notes]) or None)
    return values


def _fitted(value: Any, field: pa.Field[Any], path: str, lost: list[str]) -> Any:
    """`value` as the column `field` takes it; what does not fit is None, and its path is added to `lost`."""
    if value is None:
        return None
    if is_json_text(field):
        return json_text(value)
    type_: Any = field.type
    if pa.types.is_struct(type_) and isinstance(value, Mapping):
        known = {type_.field(index).name: type_.field(index) for index in range(type_.num_fields)}
        lost += [f"{path}.{name}" for name in value if name not in known]
        return {name: _fitted(value.get(name), inner, f"{path}.{name}", lost) for name, inner in known.items()}
    if pa.types.is_map(type_) and isinstance(value, Mapping):
        return [
            (clean_text(key), _fitted(inner, type_.item_field, f"{path}.{key}", lost)) for key, inner in value.items()
        ]
    if pa.types.is_list(type_) and isinstance(value, list):
        return [_fitted(inner, type_.value_field, f"{path}[{index}]", lost) for index, inner in enumerate(value)]
    for is_type, fits, convert in _SCALARS:
        if is_type(type_) and fits(value):
            return convert(value)
    lost.append(path)
    return None


def _fits_int64(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # JSON schema counts 1.0 as an integer
    return -_INT64 <= value < _INT64 and value == int(value)


def _fits_double(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1023)


_SCALARS: tuple[tuple[Callable[[Any], bool], Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (pa.types.is_string, lambda value: isinstance(value, str), clean_text),
    (pa.types.is_boolean, lambda value: isinstance(value, bool), bool),
    (pa.types.is_integer, _fits_int64, int),
    (pa.types.is_floating, _fits_double, float),
)
