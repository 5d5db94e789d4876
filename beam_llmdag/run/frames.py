"""The items of a run as a flat data frame: what was given, and behind it a column for each field of each answer.

pandas and polars need not be installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from beam_llmdag.records.arrow_schemas import arrow_field, rows_schema
from beam_llmdag.records.frame import named_index
from beam_llmdag.records.in_memory import frame_kind
from beam_llmdag.records.metadata import metadata_field
from beam_llmdag.records.records import fitted, row_record
from beam_llmdag.records.result import Result, Row
from beam_llmdag.run.given import Given

__all__ = ["arrow_table", "enriched", "pandas_frame", "polars_frame"]

# pandas' own integers and truth values have no place for a missing one
_PANDAS_TYPES = {pa.int64(): "Int64", pa.bool_(): "boolean", pa.float64(): "float64"}


class _Column(NamedTuple):
    name: str
    type: pa.Field[Any]
    values: list[Any]


def arrow_table(rows: Sequence[Row], schemas: Mapping[str, Any]) -> pa.Table:
    """See `Report.to_arrow`; for the arguments `pandas_frame`."""
    schema = rows_schema(schemas, metadata_field(row.item.metadata for row in rows))
    return pa.Table.from_pylist([row_record(row, schema) for row in rows], schema=schema)


def pandas_frame(given: Given, rows: Sequence[Row], schemas: Mapping[str, Any]) -> Any:
    """See `Report.to_pandas`.

    Args:
        given: what the run was given, or nothing: then the frame begins with the fields of the items.
        rows: the rows of the frame.
        schemas: dimension -> JSON schema of its data, None for plain text; columns come in this order.
    """
    import pandas as pd

    kind = frame_kind(given.frame)
    if kind == "pandas":
        frame = given.frame.copy()
    elif kind is not None:
        frame = given.frame.to_pandas()
    else:
        frame = pd.DataFrame({column.name: _series(pd, column, None) for column in _item_columns(given, rows)})
    answers = _answer_columns(rows, schemas, [*frame.columns, *named_index(frame)])
    added = {column.name: _series(pd, column, frame.index) for column in answers}
    return pd.concat([frame, pd.DataFrame(added, index=frame.index)], axis=1)


def polars_frame(given: Given, rows: Sequence[Row], schemas: Mapping[str, Any]) -> Any:
    """See `Report.to_polars`; for the arguments `pandas_frame`."""
    import polars as pl

    kind = frame_kind(given.frame)
    if kind == "polars":
        frame = given.frame
    elif kind == "pandas":
        frame = pl.from_pandas(given.frame, include_index=bool(named_index(given.frame)))
    elif kind == "arrow":
        frame = pl.from_arrow(given.frame)
    else:
        frame = pl.DataFrame([_polars_series(pl, column) for column in _item_columns(given, rows)])
    return frame.with_columns([_polars_series(pl, column) for column in _answer_columns(rows, schemas, frame.columns)])


def enriched(given: Given, rows: Sequence[Row], schemas: Mapping[str, Any]) -> Any:
    """What was given, a table of any kind or a list of dicts, as the same kind; for the arguments `pandas_frame`."""
    kind = frame_kind(given.frame)
    if kind == "pandas":
        return pandas_frame(given, rows, schemas)
    if kind == "polars":
        return polars_frame(given, rows, schemas)
    if kind == "arrow":
        table = given.frame if isinstance(given.frame, pa.Table) else pa.Table.from_batches([given.frame])
        for column in _answer_columns(rows, schemas, table.column_names):
            values = pa.array([fitted(value, column.type) for value in column.values], column.type.type)
            table = table.append_column(column.type.with_name(column.name), values)
        return table
    taken = {name for record in given.frame for name in record}
    columns = _answer_columns(rows, schemas, taken)
    added = (
        {column.name: value for column, value in zip(columns, values, strict=True)}
        for values in zip(*(column.values for column in columns), strict=True)
    )
    return [{**record, **answers} for record, answers in zip(given.frame, added, strict=True)]


def _series(pd: Any, column: _Column, index: Any) -> Any:
    return pd.Series(column.values, dtype=_PANDAS_TYPES.get(column.type.type, "object"), index=index)


def _polars_series(pl: Any, column: _Column) -> Any:
    values = [fitted(value, column.type) for value in column.values]
    return pl.from_arrow(pa.table([pa.array(values, column.type.type)], names=[column.name]))[column.name]


def _item_columns(given: Given, rows: Sequence[Row]) -> Iterable[_Column]:
    text = pa.field("", pa.string())
    yield _Column(given.id_field, text, [row.item.id for row in rows])
    contents = metadata_field(
        {"content": None if isinstance(row.item.content, bytes) else row.item.content} for row in rows
    )
    yield _Column(
        given.content_field, contents.type.field("content") if rows else text, [row.item.content for row in rows]
    )
    found: Any = metadata_field(row.item.metadata for row in rows).type
    if pa.types.is_struct(found):
        for field in (found.field(index) for index in range(found.num_fields)):
            yield _Column(field.name, field, [row.item.metadata.get(field.name) for row in rows])
    if any(row.item.source_ids for row in rows):
        yield _Column("source_ids", pa.field("", pa.list_(pa.string())), [list(row.item.source_ids) for row in rows])


def _answer_columns(rows: Sequence[Row], schemas: Mapping[str, Any], taken: Iterable[Any]) -> list[_Column]:
    found: list[_Column] = []
    names = set(taken)
    for dimension, schema in schemas.items():
        for column in _columns_of(dimension, arrow_field("data", schema), [row.results.get(dimension) for row in rows]):
            name = column.name
            while name in names:
                name += "_"
            names.add(name)
            found.append(column._replace(name=name))
    return found


def _columns_of(dimension: str, data: pa.Field[Any], results: Sequence[Result | None]) -> Iterable[_Column]:
    answers = [None if result is None else result.data for result in results]
    type_: Any = data.type
    if pa.types.is_struct(type_):
        for field in (type_.field(index) for index in range(type_.num_fields)):
            values = [answer.get(field.name) if isinstance(answer, Mapping) else None for answer in answers]
            yield _Column(f"{dimension}.{field.name}", field, values)
    else:
        yield _Column(dimension, data, answers)
    if any(result is None or result.status != "ok" for result in results):
        text = pa.field("", pa.string())
        yield _Column(f"{dimension}.status", text, [result and result.status for result in results])
        yield _Column(f"{dimension}.error", text, [result and (result.message or result.reason) for result in results])
