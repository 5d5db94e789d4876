"""At the door: elements become rows with an id each, and no id comes twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.transforms.window import BoundedWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from beam_llmdag.errors import InputError, StrictModeError
from beam_llmdag.item import Item, item_from
from beam_llmdag.result import Failure, Result, Row

__all__ = ["REJECTED", "JoinRows", "RowsOf", "UniqueRows"]

REJECTED = "rejected"
"""Tag of what is kept out of the dag: inputs that are no items, and rows whose id is not unique."""

_SHOWN = 200


class RowsOf(beam.DoFn):
    """Element (a text, dict or `Item`) → `Row`; what is no item goes to `REJECTED` as a `Failure`."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict

    def process(self, element: Any) -> Iterator[Any]:
        try:
            yield Row(item=item_from(element, where=f"element {element!r:.{_SHOWN}}"))
        except InputError as error:
            if self._strict:
                raise StrictModeError(str(error)) from error
            where = element.get("id") if isinstance(element, dict) else None
            item_id = where if isinstance(where, str) else f"{element!r:.{_SHOWN}}"
            failure = Failure(dimension="input", item_id=item_id, error_class="bad_input", message=str(error))
            yield pvalue.TaggedOutput(REJECTED, failure)


class _TimedRow(beam.DoFn):
    """`Row` → (id, (timestamp in microseconds, row)): a grouping would lose the timestamp."""

    def process(self, row: Row, timestamp: Any = beam.DoFn.TimestampParam) -> Iterator[tuple[str, tuple[int, Row]]]:
        yield row.item.id, (timestamp.micros, row)


class _Unique(beam.DoFn):
    """(id, rows) → the row if it is the only one, else every one of them to `REJECTED` with all dimensions failed."""

    def __init__(self, dimensions: tuple[str, ...], strict: bool) -> None:
        self._dimensions = dimensions
        self._strict = strict

    def process(
        self, keyed: tuple[str, Iterable[tuple[int, Row]]], window: Any = beam.DoFn.WindowParam
    ) -> Iterator[WindowedValue | pvalue.TaggedOutput]:
        item_id, timed = keyed
        found = sorted(timed, key=lambda entry: (entry[0], repr(entry[1])))
        if len(found) == 1:
            yield _placed(found[0][1], found[0][0], window)
            return
        message = f"item {item_id!r}: duplicate id, {len(found)} items have it; ids must be unique, so none of them was analysed"
        if self._strict:
            raise StrictModeError(message)
        for micros, row in found:
            yield pvalue.TaggedOutput(REJECTED, _placed(self._failed(row.item, message), micros, window))

    def _failed(self, item: Item, message: str) -> Row:
        results = {
            name: Result(dimension=name, item_id=item.id, status="failed", error_class="duplicate_id", message=message)
            for name in self._dimensions
        }
        return Row(item=item, results=results)


class _Joined(beam.DoFn):
    """(id, rows of several branches) → one row with the results of all."""

    def process(
        self, keyed: tuple[str, Sequence[Iterable[tuple[int, Row]]]], window: Any = beam.DoFn.WindowParam
    ) -> Iterator[WindowedValue]:
        timed = [entry for branch in keyed[1] for entry in branch]
        results: dict[str, Result] = {}
        for _, row in timed:
            results.update(row.results)
        micros, first = timed[0]
        yield _placed(Row(item=first.item, results=results), micros, window)


class UniqueRows(beam.PTransform):
    """Rows → those whose id is unique in their window, and under `REJECTED` the others, as failed rows.

    Args:
        dimensions: item dimensions of the dag; all of them failed for a rejected row.
        strict: raise instead.
    """

    def __init__(self, dimensions: tuple[str, ...], strict: bool) -> None:
        super().__init__()
        self._dimensions = dimensions
        self._strict = strict

    def expand(self, rows: beam.PCollection) -> Any:
        unique = beam.ParDo(_Unique(self._dimensions, self._strict)).with_outputs(REJECTED, main="unique")
        return rows | "Key" >> _keyed() | "Group" >> beam.GroupByKey() | "Unique" >> unique.with_output_types(Row)


class JoinRows(beam.PTransform):
    """PCollections of rows → one, joined on the item id. Every one of them has each id once."""

    def expand(self, branches: Sequence[beam.PCollection]) -> beam.PCollection:
        if len(branches) == 1:
            return branches[0]
        keyed = [rows | f"Key {index}" >> _keyed() for index, rows in enumerate(branches)]
        joined = tuple(keyed) | "Join" >> beam.CoGroupByKey()
        return joined | "Merge" >> beam.ParDo(_Joined()).with_output_types(Row)


def _keyed() -> beam.PTransform:
    return beam.ParDo(_TimedRow()).with_output_types(tuple[str, tuple[int, Row]])


def _placed(row: Row, micros: int, window: BoundedWindow) -> WindowedValue:
    return WindowedValue(row, Timestamp(micros=micros), [window])
