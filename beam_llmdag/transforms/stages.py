"""The stages of a plan as transforms: item dimensions, globals, regroups."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints.decorators import IOTypeHints

from beam_llmdag.call import Caller
from beam_llmdag.dimension import Dimension, Regroup
from beam_llmdag.errors import StrictModeError
from beam_llmdag.evaluate_global import NO_GROUP, Sides, evaluate_global, group_of
from beam_llmdag.item import Item
from beam_llmdag.plan import GlobalStage, ItemStage, RegroupStage
from beam_llmdag.regroup import regroup_rows
from beam_llmdag.result import Result, Row
from beam_llmdag.run_config import RunConfig
from beam_llmdag.transforms.call_fn import CallFn
from beam_llmdag.walk import walk

__all__ = ["AnswerGlobal", "AnswerItems", "MakeItems"]

_NO_ROW = Row(item=Item("", ""))
"""Stands among the rows of a global so that it hears of their end even where there are none."""

_REPORT = "report"

SideInputs = Mapping[str, beam.PCollection]
"""Global -> its answers, keyed by group."""


class _ItemFn(CallFn):
    """`Row` → the row with the answers of a stage's dimensions."""

    def __init__(self, config: RunConfig, stage: ItemStage, most_in_flight: int) -> None:
        super().__init__(config, stage.dimensions, most_in_flight)

    def answer(self, element: Row, sides: Sides, caller: Caller) -> Coroutine[Any, Any, Row]:
        dag = self._config.dag
        return walk(element, [dag.dimensions[name] for name in self._dimensions], sides, dag.steps, caller)

    def results(self, made: Row) -> Iterable[Result]:
        return (made.results[name] for name in self._dimensions)


class _GlobalFn(CallFn):
    """(group, rows) → (group, result) of a global."""

    def answer(self, element: tuple[str, Iterable[Row]], sides: Sides, caller: Caller) -> Coroutine[Any, Any, tuple[str, Result]]:
        group, rows = element
        real = [row for row in rows if row is not _NO_ROW and row.item.id]
        return self._answer(group, real, sides, caller)

    async def _answer(self, group: str, rows: list[Row], sides: Sides, caller: Caller) -> tuple[str, Result]:
        steps = self._config.dag.steps
        return group, await evaluate_global(self._config.dag.dimensions[self._dimensions[0]], rows, sides, steps, caller, group)

    def results(self, made: tuple[str, Result]) -> Iterable[Result]:
        return (made[1],)


class _RegroupFn(beam.DoFn):
    """(group, rows) → new rows, and the report."""

    def __init__(self, config: RunConfig, regroup: Regroup) -> None:
        self._config = config
        self._regroup = regroup

    def default_type_hints(self) -> IOTypeHints:
        """None: Beam would take the annotation of `**sides` for that of each side input."""
        return IOTypeHints.empty()

    def process(self, element: tuple[str, Iterable[Row]], **sides: Any) -> Iterator[Any]:
        named = {name.removeprefix("side_"): groups for name, groups in sides.items()}
        rows = [row for row in element[1] if row.item.id]
        items, report = regroup_rows(self._regroup, rows, named, self._config.dag.steps)
        if self._config.strict and report.status == "failed":
            raise StrictModeError(report.message)
        yield pvalue.TaggedOutput(_REPORT, (NO_GROUP, report))
        for item in items:
            yield Row(item=item)


class AnswerItems(beam.PTransform):
    """Rows → rows with the answers of one `ItemStage`."""

    def __init__(self, config: RunConfig, stage: ItemStage, sides: SideInputs, most_in_flight: int) -> None:
        super().__init__()
        self._fn = _ItemFn(config, stage, most_in_flight)
        self._sides = sides

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        return rows | "Answer" >> beam.ParDo(self._fn, **_as_dicts(self._sides)).with_output_types(Row)


class AnswerGlobal(beam.PTransform):
    """Rows → (group, `Result`) of one `GlobalStage`: one, or one per group. No rows in a bounded input: one, skipped."""

    def __init__(self, config: RunConfig, stage: GlobalStage, sides: SideInputs, most_in_flight: int) -> None:
        super().__init__()
        self._dimension = config.dag.dimensions[stage.name]
        self._steps = config.dag.steps
        self._fn = _GlobalFn(config, (stage.name,), most_in_flight)
        self._sides = sides

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        answer = beam.ParDo(self._fn, **_as_dicts(self._sides)).with_output_types(tuple[str, Result])
        if self._dimension.per is None:
            return rows | _Gather() | "Answer" >> answer
        dimension: Dimension = self._dimension
        steps = self._steps
        keyed = rows | "Group of" >> beam.Map(lambda row: (group_of(dimension, row, steps), row)).with_output_types(tuple[str, Row])
        return keyed | "Gather" >> beam.GroupByKey() | "Answer" >> answer


class MakeItems(beam.PTransform):
    """Rows → a tuple: rows of the new items, and (group, report) of one `RegroupStage`."""

    def __init__(self, config: RunConfig, stage: RegroupStage, sides: SideInputs) -> None:
        super().__init__()
        regroup = config.dag.steps[stage.name]
        assert isinstance(regroup, Regroup)
        self._fn = _RegroupFn(config, regroup)
        self._sides = sides

    def expand(self, rows: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        made = rows | _Gather() | "Regroup" >> beam.ParDo(self._fn, **_as_dicts(self._sides)).with_outputs(_REPORT, main="rows")
        new_rows = made.rows | "Type rows" >> beam.Map(lambda row: row).with_output_types(Row)
        report = made[_REPORT] | "Type report" >> beam.Map(lambda report: report).with_output_types(tuple[str, Result])
        return new_rows | "Spread" >> beam.Reshuffle(), report


class _Gather(beam.PTransform):
    """Rows → ("", all rows) per window; in the global window of a bounded input also where there are none."""

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        keyed = rows | "Key" >> beam.Map(lambda row: (NO_GROUP, row)).with_output_types(tuple[str, Row])
        if rows.is_bounded and isinstance(rows.windowing.windowfn, GlobalWindows):
            end = rows.pipeline | "End" >> beam.Create([(NO_GROUP, _NO_ROW)]).with_output_types(tuple[str, Row])
            keyed = (keyed, end) | "With end" >> beam.Flatten()
        return keyed | "Gather" >> beam.GroupByKey()


def _as_dicts(sides: SideInputs) -> dict[str, pvalue.AsDict]:
    return {f"side_{name}": pvalue.AsDict(answers) for name, answers in sides.items()}
