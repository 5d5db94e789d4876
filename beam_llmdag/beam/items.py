"""At the door: elements become rows with an id each, and no id comes twice. Later: branches of rows are joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import BoundedWindow
from apache_beam.utils.windowed_value import WindowedValue

from beam_llmdag.beam.config import RunConfig
from beam_llmdag.beam.metrics import DimensionMetrics
from beam_llmdag.beam.strict import stop_if_strict
from beam_llmdag.beam.windows.places import PlaceData, at_place, place_data
from beam_llmdag.errors import ErrorClass
from beam_llmdag.records.admission import admitted
from beam_llmdag.records.item import Item, derived_id, numbered
from beam_llmdag.records.result import Failure, Result, Row
from beam_llmdag.telling import quoted

__all__ = ["DUPLICATES", "UNUSABLE", "JoinRows", "Placed", "RowsOf", "UniqueRows", "is_duplicate", "keyed_by_id"]

DUPLICATES = "duplicates"
"""Tag of rows that are kept out of a dag without item dimensions because their id is not unique."""

UNUSABLE = "unusable"
"""Tag of `Failure`s that no row tells of."""

_DUPLICATE: ErrorClass = "duplicate_id"

Placed = tuple[PlaceData, Row]
"""A row with its place. A grouping would lose it."""


class RowsOf(beam.PTransform[Any, Any]):
    """Elements (texts, dicts, `Item`s) → `Row`s, and under `UNUSABLE` the `Failure`s of those that are no items."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self._config = config

    def expand(self, elements: PCollection[Any]) -> Any:
        rows = beam.ParDo(_RowOf(self._config)).with_output_types(Row, **{UNUSABLE: Failure})
        return elements | "Rows" >> rows.with_outputs(UNUSABLE, main="rows")


class _RowOf(beam.DoFn):
    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def process(self, element: Any) -> Iterator[Any]:
        item = admitted(element)
        if isinstance(item, Failure):
            stop_if_strict(self._config, item)
            yield pvalue.TaggedOutput(UNUSABLE, item)
        else:
            yield Row(item=item)


class UniqueRows(beam.PTransform[Any, Any]):
    """Rows → the same, those whose id is not unique in their window failed in all dimensions (see `is_duplicate`).

    Equal records without an id of their own have the same derived id and are no error: they are numbered, as
    `ReadItems` and `dag.run` do.

    Args:
        config: the run.
        dimensions: item dimensions of the dag. If there are none, the duplicates are under `DUPLICATES`, and `Failure`s
            under `UNUSABLE` tell of them.
    """

    def __init__(self, config: RunConfig, dimensions: tuple[str, ...]) -> None:
        super().__init__()
        self._config = config
        self._dimensions = dimensions

    def expand(self, rows: PCollection[Any]) -> Any:
        unique = beam.ParDo(_Unique(self._config, self._dimensions))
        unique = unique.with_output_types(Row, **{DUPLICATES: Row, UNUSABLE: Failure})
        grouped = rows | "Key" >> keyed_by_id() | "Group" >> beam.GroupByKey()
        return grouped | "Unique" >> unique.with_outputs(DUPLICATES, UNUSABLE, main="rows")


class _Unique(beam.DoFn):
    """(id, rows) → the row if it is the only one."""

    def __init__(self, config: RunConfig, dimensions: tuple[str, ...]) -> None:
        self._config = config
        self._dimensions = dimensions

    def setup(self) -> None:
        self._metrics = {name: DimensionMetrics(name) for name in self._dimensions}

    def process(
        self, keyed: tuple[str, Iterable[Placed]], window: Any = beam.DoFn.WindowParam
    ) -> Iterator[WindowedValue | pvalue.TaggedOutput[Any, Any]]:
        item_id, rows = keyed
        found = list(rows)
        if len(found) == 1:
            yield at_place(found[0][1], found[0][0], window)
        elif all(row.item.id == derived_id(row.item.content, row.item.metadata) for _, row in found):
            for occurrence, (place, row) in enumerate(sorted(found, key=lambda entry: entry[0]), start=1):
                yield at_place(replace(row, item=numbered(row.item, occurrence)), place, window)
        else:
            yield from self._rejected(item_id, sorted(found, key=_identity), window)

    def _rejected(
        self, item_id: str, rows: list[Placed], window: BoundedWindow
    ) -> Iterator[WindowedValue | pvalue.TaggedOutput[Any, Any]]:
        message = (
            f"item {quoted(item_id)}: duplicate id, {len(rows)} items have it; make it unique, "
            "none of them was analysed"
        )
        failure = Failure(dimension="input", item_id=item_id, error_class=_DUPLICATE, message=message)
        stop_if_strict(self._config, failure)
        for place, row in rows:
            if self._dimensions:
                yield at_place(self._failed(row.item, message), place, window)
                continue
            yield pvalue.TaggedOutput(DUPLICATES, at_place(row, place, window))
            yield pvalue.TaggedOutput(UNUSABLE, at_place(failure, place, window))

    def _failed(self, item: Item, message: str) -> Row:
        results = {
            name: Result(dimension=name, item_id=item.id, status="failed", error_class=_DUPLICATE, message=message)
            for name in self._dimensions
        }
        for name, result in results.items():
            self._metrics[name].count(result)
            self._metrics[name].flush()
        return Row(item=item, results=results)


def is_duplicate(row: Row) -> bool:
    """Whether a row is only on its way to the end, with a failure in every dimension because its id is not unique."""
    return any(result.error_class == _DUPLICATE for result in row.results.values())


class JoinRows(beam.PTransform[Any, Any]):
    """PCollections of rows → one, joined on the item id. Every row is in each of the branches."""

    def expand(self, branches: Sequence[PCollection[Any]]) -> Any:
        if len(branches) == 1:
            return branches[0]
        keyed = [rows | f"Key {index}" >> keyed_by_id() for index, rows in enumerate(branches)]
        joined = tuple(keyed) | "Join" >> beam.CoGroupByKey()
        return joined | "Merge" >> beam.ParDo(_Joined()).with_output_types(Row)


class _Joined(beam.DoFn):
    """(id, rows of several branches) → a row with the results of all."""

    def process(
        self, keyed: tuple[str, Sequence[Iterable[Placed]]], window: Any = beam.DoFn.WindowParam
    ) -> Iterator[WindowedValue]:
        branches = [list(branch) for branch in keyed[1]]
        if len(branches[0]) > 1:  # in unbounded input nobody has looked for duplicate ids: never mix two items
            branches = [sorted(branch, key=_identity) for branch in branches]
        for parts in zip(*branches, strict=True):
            place, first = parts[0]
            results = {name: result for _, row in parts for name, result in row.results.items()}
            yield at_place(Row(item=first.item, results=results), place, window)


class _PlaceOf(beam.DoFn):
    """`Row` → (id, the row with its place)."""

    def process(self, row: Row, placed: Any = beam.DoFn.WindowedValueParam) -> Iterator[tuple[str, Placed]]:
        yield row.item.id, (place_data(placed.timestamp, placed.pane_info), row)


def keyed_by_id() -> Any:
    """A transform: `Row` → (id, the row with its place)."""
    return beam.ParDo(_PlaceOf()).with_output_types(tuple[str, Placed])


def _identity(entry: Placed) -> tuple[Any, str]:
    """Orders rows of one id by time and content; the same for a row in all branches."""
    place, row = entry
    return place, repr(row.item)
