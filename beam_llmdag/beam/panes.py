"""Unbounded input behind the first barrier: rows are gathered once per window and pane, and one DoFn does the rest.

Nothing here is a side input: which firing of a side input an element sees is not defined, Prism drops side inputs of
windows that late items re-open, and a late item would be told an answer that knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.options.pipeline_options import DebugOptions
from apache_beam.pvalue import PCollection
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.trigger import AccumulationMode
from apache_beam.transforms.userstate import TimerSpec, on_timer
from apache_beam.transforms.window import NonMergingWindowFn, TimestampCombiner
from apache_beam.utils.windowed_value import WindowedValue

from beam_llmdag.beam.call_fn import CallFn
from beam_llmdag.beam.config import RunConfig
from beam_llmdag.beam.items import Placed, keyed_by_id
from beam_llmdag.beam.strict import stop_if_strict
from beam_llmdag.beam.windows.accumulated import ARRIVED, KEPT, WAITING, OneByOne, Part, whole_pane
from beam_llmdag.beam.windows.checks import fires_once
from beam_llmdag.beam.windows.places import at_place
from beam_llmdag.beam.windows.rewindowed import Rewindowed, SameRewindowed, changed
from beam_llmdag.calls.in_flight import InFlight
from beam_llmdag.graph.plan import GlobalStage, Plan, RegroupStage, head_of, rows_end_in_head
from beam_llmdag.records.result import Result, Row
from beam_llmdag.run.evaluate_global import Sides
from beam_llmdag.run.graph_walk import PaneWalk

__all__ = ["AGAIN", "GLOBALS", "AnswerPanes"]

GLOBALS = "globals"
"""Tag of the answers of globals and the reports of regroups."""

AGAIN = "again"
"""Tag of rows that have been delivered before, with results that had to be made again for a later pane."""


class AnswerPanes(beam.PTransform[Any, Any]):
    """Rows with the results of a plan's head → finished rows, `GLOBALS`, `AGAIN`, and new rows by regroup.

    Args:
        config: the run.
        plan: of kind `"pipelined"`, with a barrier.
        most_in_flight: see `CallFn`.
    """

    def __init__(self, config: RunConfig, plan: Plan, most_in_flight: int) -> None:
        super().__init__()
        self._config = config
        self._plan = plan
        self._most_in_flight = most_in_flight

    def expand(self, rows: PCollection[Any]) -> Any:
        windowing = rows.windowing
        keyed = rows | "Place" >> keyed_by_id() | "Key" >> beam.ParDo(_KeyOfWindow(windowing.windowfn))
        # Rows leave with the timestamps they had: the watermark must not pass those before.
        timestamps = (
            windowing.timestamp_combiner if rows_end_in_head(self._plan) else TimestampCombiner.OUTPUT_AT_EARLIEST
        )
        gathered = changed(windowing, accumulation_mode=AccumulationMode.DISCARDING, timestamp_combiner=timestamps)
        keyed = keyed | "Each row once" >> SameRewindowed(gathered).with_output_types(tuple[bytes, Placed])
        grouped = keyed | "Gather" >> beam.GroupByKey()
        if windowing.accumulation_mode == AccumulationMode.ACCUMULATING and not fires_once(windowing, bounded=False):
            fn: _PaneFn = _RowsSoFarFn(self._config, self._plan, self._most_in_flight, windowing)
            panes = grouped | OneByOne()
            # Prism splits the bundles of stateful steps between elements of one key, lets go of the key, and then loses
            # what one of the two bundles wrote. Other runners do not know the experiment.
            rows.pipeline.options.view_as(DebugOptions).add_experiment("prism_disable_sdf_split")
        else:
            fn, panes = _NewRowsFn(self._config, self._plan, self._most_in_flight), grouped
        regroups = {name: Row for name in self._plan.leaves if name is not None}
        answer = Rewindowed(fn, windowing)
        answer = answer.with_output_types(Row, **{GLOBALS: Result, AGAIN: Row, **regroups})
        return panes | "Answer" >> answer.with_outputs(GLOBALS, AGAIN, *regroups, main="rows")


class _KeyOfWindow(beam.DoFn):
    """(id, row) → (key, row). Windows that do not merge have a key each, so that runners spread them."""

    def __init__(self, windowfn: Any) -> None:
        self._coder = windowfn.get_window_coder() if isinstance(windowfn, NonMergingWindowFn) else None

    def process(self, keyed: tuple[str, Placed], window: Any = beam.DoFn.WindowParam) -> Iterator[tuple[bytes, Placed]]:
        yield b"w" + (self._coder.encode(window) if self._coder else b""), keyed[1]


class _Part(NamedTuple):
    """What has been made of a pane.

    Attributes:
        tag: output that `values` go to; None for the main one.
        values: elements.
        results: new results in them, to be counted.
        then: what is to be submitted now.
    """

    tag: str | None
    values: tuple[Any, ...] = ()
    results: tuple[Result, ...] = ()
    then: tuple[Callable[[], Coroutine[Any, Any, _Part]], ...] = ()


class _PaneFn(CallFn):
    """The rows of a pane → everything behind the first barrier, each part as soon as it is known."""

    def __init__(self, config: RunConfig, plan: Plan, most_in_flight: int) -> None:
        head = head_of(plan)
        done = {name for stage in head for name in stage.dimensions}
        super().__init__(config, tuple(name for name in config.graph.dimensions if name not in done), most_in_flight)
        self._plan = plan

    def start_pane(
        self, flight: InFlight[WindowedValue, Any], place: WindowedValue, old: list[Placed], new: list[Placed]
    ) -> None:
        """Submits what is to be done with a pane.

        Args:
            flight: of the bundle.
            place: where the pane is.
            old: rows that were in an earlier pane of the window and have been delivered.
            new: the others.
        """
        walk = PaneWalk(self._plan, self._config.graph, self._caller, [row for _, row in (*old, *new)])
        [window] = place.windows  # of a grouping
        end = WindowedValue(None, window.max_timestamp(), place.windows, place.pane_info)
        for stage in self._plan.stages:
            if isinstance(stage, GlobalStage):
                flight.submit(end, _answered(walk, stage.name))
            elif isinstance(stage, RegroupStage):
                flight.submit(end, _reported(walk, stage.name))
                flight.submit(end, _regrouped(walk, stage.name))
        for index in range(len(old)):
            flight.submit(end, _again(walk, index))
        if not rows_end_in_head(self._plan):
            for index, (data, row) in enumerate(new, start=len(old)):
                flight.submit(at_place(None, data, window), _finished(walk, None, index, row))

    def results(self, made: _Part) -> Iterable[Result]:
        return made.results

    def outputs(self, flight: InFlight[WindowedValue, Any], place: WindowedValue, made: _Part) -> Iterator[Any]:
        for coroutine in made.then:
            flight.submit(place, coroutine())
        for value in made.values:
            if isinstance(value, Result) and value.status == "failed":
                stop_if_strict(self._config, value)
            windowed = place.with_value(value)
            yield windowed if made.tag is None else pvalue.TaggedOutput(made.tag, windowed)


class _NewRowsFn(_PaneFn):
    """As `_PaneFn`, of rows as they are grouped, which are all new: nothing before hands on a list of them."""

    def start(self, flight: InFlight[WindowedValue, Any], element: Any, place: WindowedValue, _: Sides) -> None:
        self.start_pane(
            flight, place, [], list(element[1])
        )  # on the bundle's thread: a runner may let no other iterate


class _RowsSoFarFn(_PaneFn):
    """As `_PaneFn`, of the parts of panes; knows the rows of earlier panes of their window."""

    EXPIRY = TimerSpec("expiry", TimeDomain.WATERMARK)

    def __init__(self, config: RunConfig, plan: Plan, most_in_flight: int, windowing: beam.Windowing) -> None:
        super().__init__(config, plan, most_in_flight)
        self._window_coder = windowing.windowfn.get_window_coder()
        self._allowed_lateness = windowing.allowed_lateness

    def process(  # type: ignore[override]  # Beam fills the parameters in by what their defaults are
        self,
        element: tuple[bytes, Part],
        kept: Any = beam.DoFn.StateParam(KEPT),
        waiting: Any = beam.DoFn.StateParam(WAITING),
        arrived: Any = beam.DoFn.StateParam(ARRIVED),
        expiry: Any = beam.DoFn.TimerParam(EXPIRY),
    ) -> Iterator[Any]:
        key, part = element
        window = self._window_coder.decode(key[1:])
        expiry.set(window.max_timestamp() + self._allowed_lateness)
        flight, new = self.flight(), whole_pane(part, waiting, arrived)
        if new is not None:
            old = list(kept.read())
            for row in new:
                kept.add(row)
            self.start_pane(flight, at_place(None, part[1], window), old, new)
        yield from self.ended(flight)

    @on_timer(EXPIRY)
    def expire(self, kept: Any = beam.DoFn.StateParam(KEPT)) -> None:
        """The window is over, and nothing late is let in any more."""
        kept.clear()


async def _answered(walk: PaneWalk, barrier: str) -> _Part:
    answers = tuple((await walk.answers(barrier)).values())
    return _Part(GLOBALS, answers, answers)


async def _reported(walk: PaneWalk, regroup: str) -> _Part:
    return _Part(GLOBALS, tuple((await walk.answers(regroup)).values()))


async def _regrouped(walk: PaneWalk, regroup: str) -> _Part:
    rows = await walk.new_rows(regroup)
    return _Part(regroup, then=tuple(partial(_finished, walk, regroup, index, row) for index, row in enumerate(rows)))


async def _finished(walk: PaneWalk, space: str | None, index: int, before: Row) -> _Part:
    row = await walk.finished(space, index)
    new = tuple(result for name, result in row.results.items() if name not in before.results)
    return _Part(space, (row,), new)


async def _again(walk: PaneWalk, index: int) -> _Part:
    row = await walk.between(index)
    return _Part(AGAIN, (row,) if row.results else (), tuple(row.results.values()))
