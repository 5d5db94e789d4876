"""The stages of a plan as transforms: item dimensions, globals, regroups."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints.decorators import IOTypeHints

from beam_llmdag.beam.call_fn import CallFn
from beam_llmdag.beam.config import RunConfig
from beam_llmdag.beam.items import is_duplicate
from beam_llmdag.beam.strict import stop_if_strict
from beam_llmdag.calls.caller import Caller
from beam_llmdag.graph.dimension import Regroup
from beam_llmdag.graph.plan import GlobalStage, ItemStage, RegroupStage
from beam_llmdag.records.item import Item
from beam_llmdag.records.result import Result, Row
from beam_llmdag.run.evaluate_global import NO_GROUP, Sides, evaluate_global, group_of, groups_wait
from beam_llmdag.run.regroup import regroup_rows
from beam_llmdag.run.walk import Route, walk

__all__ = ["WAITS", "AnswerGlobal", "AnswerItems", "MakeItems"]

_NO_ROW = Row(item=Item("", ""))
"""Stands among the rows of a global so that it hears of their end even where there are none."""

_REPORT = "report"

WAITS = "?"
"""Side input with a result that is pending, if it is not known yet which rows a step is about. No name of a step."""

_Grouped = tuple[str, Iterable[Row]]
"""What comes out of a grouping. The step behind reads it itself: a list handed on is one element, with all the rows."""

SideInputs = Mapping[str, PCollection[Any]]
"""Global -> its answers, keyed by group."""


class _ItemFn(CallFn):
    """`Row` → the row with the answers of a stage's dimensions."""

    def __init__(self, config: RunConfig, stage: ItemStage, most_in_flight: int) -> None:
        super().__init__(config, stage.dimensions, most_in_flight)

    def setup(self) -> None:
        super().setup()
        dag = self._config.graph
        self._route = Route([dag.dimensions[name] for name in self._dimensions], dag)

    def answer(self, element: Row, sides: Sides, caller: Caller) -> Coroutine[Any, Any, Row]:
        return _as_it_is(element) if is_duplicate(element) else walk(element, self._route, sides, caller)

    def results(self, made: Row) -> Iterable[Result]:
        return () if is_duplicate(made) else (made.results[name] for name in self._dimensions)


async def _as_it_is(row: Row) -> Row:
    return row


class _GlobalFn(CallFn):
    """(group, rows as they are grouped) → (group, result) of a global."""

    def answer(self, element: _Grouped, sides: Sides, caller: Caller) -> Coroutine[Any, Any, tuple[str, Result]]:
        return self._about(element[0], _real_rows(element[1]), sides, caller)

    async def _about(self, group: str, rows: list[Row], sides: Sides, caller: Caller) -> tuple[str, Result]:
        dag, known = self._config.graph, {name: groups for name, groups in sides.items() if name != WAITS}
        step = dag.dimensions[self._dimensions[0]]
        return group, await evaluate_global(step, rows, known, dag, caller, group, rows_wait=_rows_wait(sides))

    def results(self, made: tuple[str, Result]) -> Iterable[Result]:
        return (made[1],)


class _RegroupFn(beam.DoFn):
    """(group, rows as they are grouped) → new rows, and the report."""

    def __init__(self, config: RunConfig, regroup: str) -> None:
        self._config = config
        self._name = regroup

    def default_type_hints(self) -> IOTypeHints:
        """None: Beam would take the annotation of `**sides` for that of each side input."""
        return IOTypeHints.empty()

    def process(self, element: _Grouped, **sides: Any) -> Iterator[Any]:
        named = {name.removeprefix("side_"): groups for name, groups in sides.items()}
        regroup = self._config.graph.steps[self._name]
        assert isinstance(regroup, Regroup)
        waits, graph = _rows_wait(named), self._config.graph
        named.pop(WAITS, None)
        items, report = regroup_rows(regroup, _real_rows(element[1]), named, graph, rows_wait=waits)
        if report.status == "failed":
            stop_if_strict(self._config, report)
        yield pvalue.TaggedOutput(_REPORT, (NO_GROUP, report))
        for item in items:
            yield Row(item=item)


class AnswerItems(beam.PTransform[Any, Any]):
    """Rows → rows with the answers of one `ItemStage`."""

    def __init__(self, config: RunConfig, stage: ItemStage, sides: SideInputs, most_in_flight: int) -> None:
        super().__init__()
        self._fn = _ItemFn(config, stage, most_in_flight)
        self._sides = sides

    def expand(self, rows: PCollection[Any]) -> Any:
        return rows | "Answer" >> beam.ParDo(self._fn, **_as_dicts(self._sides)).with_output_types(Row)


class AnswerGlobal(beam.PTransform[Any, Any]):
    """Rows → (group, `Result`) of one `GlobalStage`, or one per group.

    Without rows there is one, skipped, if the input is bounded and in one window, and no result in other windows.
    """

    def __init__(self, config: RunConfig, stage: GlobalStage, sides: SideInputs, most_in_flight: int) -> None:
        super().__init__()
        self._config = config
        self._name = stage.name
        self._fn = _GlobalFn(config, (stage.name,), most_in_flight)
        self._sides = sides

    def expand(self, rows: PCollection[Any]) -> Any:
        config, name = self._config, self._name
        sides = dict(self._sides)
        if config.graph.dimensions[name].per is not None and config.may_wait:
            sides[WAITS] = rows | "Waiting rows" >> beam.FlatMap(_waiting(config, name)).with_output_types(
                tuple[str, Result]
            )
        answer = beam.ParDo(self._fn, **_as_dicts(sides)).with_output_types(tuple[str, Result])
        if config.graph.dimensions[name].per is None:
            return rows | _Gather() | "Answer" >> answer

        def keyed_by_group(row: Row) -> Iterator[tuple[str, Row]]:
            if not is_duplicate(row):
                yield group_of(config.graph.dimensions[name], row, config.graph), row

        keyed = rows | "Group of" >> beam.FlatMap(keyed_by_group).with_output_types(tuple[str, Row])
        return keyed | "Gather" >> beam.GroupByKey() | "Answer" >> answer


def _waiting(config: RunConfig, name: str) -> Callable[[Row], Iterator[tuple[str, Result]]]:
    """What makes a sign of each row that belongs to a group of which nobody knows yet."""

    def sign(row: Row) -> Iterator[tuple[str, Result]]:
        if not is_duplicate(row) and groups_wait(config.graph.dimensions[name], [row], config.graph):
            yield NO_GROUP, Result(dimension=name, item_id=NO_GROUP, status="pending")

    return sign


class MakeItems(beam.PTransform[Any, Any]):
    """Rows → a tuple: rows of the new items, and (group, report) of one `RegroupStage`."""

    def __init__(self, config: RunConfig, stage: RegroupStage, sides: SideInputs) -> None:
        super().__init__()
        self._fn = _RegroupFn(config, stage.name)
        self._sides = sides

    def expand(self, rows: PCollection[Any]) -> Any:
        regroup = beam.ParDo(self._fn, **_as_dicts(self._sides))
        regroup = regroup.with_output_types(Row, **{_REPORT: tuple[str, Result]})
        made = rows | _Gather() | "Regroup" >> regroup.with_outputs(_REPORT, main="rows")
        return made.rows | "Spread" >> beam.Reshuffle(), made[_REPORT]


class _Gather(beam.PTransform[Any, Any]):
    """Rows → ("", all rows) per window; in the global window of a bounded input also where there are none."""

    def expand(self, rows: PCollection[Any]) -> Any:
        keyed = rows | "Key" >> beam.Map(lambda row: (NO_GROUP, row)).with_output_types(tuple[str, Row])
        if rows.is_bounded and isinstance(rows.windowing.windowfn, GlobalWindows):
            end = rows.pipeline | "End" >> beam.Create([(NO_GROUP, _NO_ROW)]).with_output_types(tuple[str, Row])
            keyed = (keyed, end) | "With end" >> beam.Flatten()
        return keyed | "Gather" >> beam.GroupByKey()


def _real_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows of a group, for the step that reads them. On the bundle's thread: a runner may let no other iterate."""
    return [row for row in rows if row.item.id and not is_duplicate(row)]


def _rows_wait(sides: Sides) -> bool:
    return any(result.status == "pending" for result in sides.get(WAITS, {}).values())


def _as_dicts(sides: SideInputs) -> dict[str, pvalue.AsDict]:
    return {f"side_{name}": pvalue.AsDict(answers) for name, answers in sides.items()}
