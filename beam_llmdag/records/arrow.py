"""Rows of an Arrow table as plain Python values, exact and the same with and without pandas.

Arrow's own `to_pylist` hands nanoseconds to pandas where that is installed and refuses or cuts them where it is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, cast
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from beam_llmdag.errors import InputError
from beam_llmdag.records.plain import duration_text, instant_text
from beam_llmdag.telling import listed, quoted

__all__ = ["table_rows"]

_UNNAMED_LEVEL = re.compile("__index_level_[0-9]+__")
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def table_rows(table: pa.Table | pa.RecordBatch) -> Iterator[dict[str, Any] | InputError]:
    """The rows of a table as dicts, with these values for the types that Python has no exact match for.

    A row that has no such value (a map with a key twice, a time outside the years 1 to 9999, text that is not UTF-8)
    comes as the `InputError` that says so, and does not stop the others.


    | Arrow | Python |
    |---|---|
    | timestamp with a zone, without one | ISO 8601 in UTC, ISO 8601 without an offset; nanoseconds kept |
    | time, duration | ISO 8601 |
    | dictionary (categories), run-end encoded | the values |
    | map | dict; keys that are no text are turned into text later |
    | an extension type | its storage; a UUID is a `UUID` |

    Columns called `__index_level_0__` and so on are left out where they are integers: pandas writes an index without a
    name as that, and it only counts rows.

    Raises:
        InputError: two columns have one name.
    """
    counting = [field.name for field in table.schema if _counts_rows(field)]
    if counting:
        table = table.drop_columns(counting)
    names = table.schema.names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"the table has more than one column called {listed(repeated)}; rename them")
    for batch in table.to_batches() if isinstance(table, pa.Table) else [table]:
        yield from _batch_rows(batch)


def _counts_rows(field: pa.Field[Any]) -> bool:
    return _UNNAMED_LEVEL.fullmatch(field.name) is not None and pa.types.is_integer(field.type)


def _batch_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | InputError]:
    names = batch.schema.names
    try:
        columns = [_named_values(name, column) for name, column in zip(names, batch.columns, strict=True)]
    except InputError as error:
        if batch.num_rows == 1:
            yield error
            return
        for index in range(batch.num_rows):
            yield from _batch_rows(batch.slice(index, 1))
        return
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _named_values(name: str, column: Any) -> list[Any]:
    try:
        return _values(column)
    except OverflowError as error:  # the only numbers that are converted here are times
        raise InputError(f"column {name!r} of type {column.type}: a time outside the years 1 to 9999") from error
    except (InputError, UnicodeDecodeError, pa.ArrowException) as error:
        raise InputError(f"column {name!r} of type {column.type}: {error}") from error


def _values(array: Any) -> list[Any]:
    for is_type, convert in _CONVERTERS:
        if is_type(array.type):
            return convert(array)
    values: list[Any] = array.to_pylist()
    return values


def _is_extension(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.BaseExtensionType)


def _is_list(type_: pa.DataType) -> bool:
    checks = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
    )
    return any(check(type_) for check in checks)


def _extension(array: Any) -> list[Any]:
    values = _values(array.storage)
    if array.type.extension_name == "arrow.uuid":
        return [None if value is None else UUID(bytes=value) for value in values]
    return values


def _numbers(array: Any) -> list[int | None]:
    numbers: list[int | None] = array.cast(pa.int64()).to_pylist()
    return numbers


def _timestamps(array: Any) -> list[str | None]:
    scale, utc = _NANOSECONDS[array.type.unit], array.type.tz is not None
    return [None if number is None else instant_text(number * scale, utc=utc) for number in _numbers(array)]


def _times(array: Any) -> list[str | None]:
    numbers = _numbers(array.cast(pa.time64("ns")))
    return [None if number is None else instant_text(number, utc=False).partition("T")[2] for number in numbers]


def _durations(array: Any) -> list[str | None]:
    scale = _NANOSECONDS[array.type.unit]
    return [None if number is None else duration_text(number * scale) for number in _numbers(array)]


def _lists(array: Any) -> list[list[Any] | None]:
    values = iter(_values(pc.list_flatten(array)))
    lengths = pc.list_value_length(array).to_pylist()
    return [None if length is None else [next(values) for _ in range(length)] for length in lengths]


def _structs(array: Any) -> list[dict[str, Any] | None]:
    names = [array.type.field(index).name for index in range(array.type.num_fields)]
    fields = [_values(field) for field in array.flatten()]  # flatten() heeds slices and nulls of the parent
    rows = zip(*fields, strict=True) if fields else ((),) * len(array)
    valid = array.is_valid().to_pylist()
    return [dict(zip(names, row, strict=True)) if known else None for known, row in zip(valid, rows, strict=True)]


def _maps(array: Any) -> list[dict[Any, Any] | None]:
    keys, items = _values(array.keys), _values(array.items)
    offsets, valid = array.offsets.to_pylist(), array.is_valid().to_pylist()
    return [
        _map(keys[start:end], items[start:end]) if known else None
        for known, (start, end) in zip(valid, pairwise(offsets), strict=True)
    ]


def _map(keys: list[Any], items: list[Any]) -> dict[Any, Any]:
    result = dict(zip(keys, items, strict=True))
    if len(result) != len(keys):
        raise InputError(f"a map has a key twice: {quoted(keys)}")
    return result


_CONVERTERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any], list[Any]]], ...] = (
    (_is_extension, _extension),
    (pa.types.is_dictionary, lambda array: _values(array.dictionary_decode())),
    (pa.types.is_run_end_encoded, lambda array: _values(cast(Any, pc).run_end_decode(array))),
    (pa.types.is_timestamp, _timestamps),
    (pa.types.is_time, _times),
    (pa.types.is_duration, _durations),
    (_is_list, _lists),
    (pa.types.is_map, _maps),
    (pa.types.is_struct, _structs),
)
