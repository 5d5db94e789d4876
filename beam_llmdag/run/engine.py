"""A graph over items on one event loop: items walk on their own, barriers wait for all of them. asyncio, no Beam."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from types import TracebackType
from typing import Any, Protocol

from beam_llmdag.calls.caller import Caller
from beam_llmdag.calls.limits.turn import next_turn
from beam_llmdag.graph.graph import Graph
from beam_llmdag.graph.plan import GlobalStage, Plan, RegroupStage, has_barrier, head_of, rows_end_in_head
from beam_llmdag.records.item import Item
from beam_llmdag.records.result import Failure, Result, Row
from beam_llmdag.run.graph_walk import PaneWalk
from beam_llmdag.run.strict import strict_error
from beam_llmdag.run.walk import Route, walk

__all__ = ["Engine", "Sink"]


class Sink(Protocol):
    """Where the results of a run go. Its methods are called on the loop that makes the calls."""

    async def row(self, regroup: str | None, row: Row) -> None:
        """A row is finished: of an item that went in, or of a new one. Returns when there is room for another."""

    async def answer(self, result: Result) -> None:
        """A global has answered, or a regroup has made its items."""

    async def failure(self, failure: Failure) -> None:
        """A record is no item."""


class Engine:
    """Runs a pipelined plan.

    Args:
        graph: what is run.
        plan: of kind `"pipelined"`.
        caller: makes the calls; the engine runs on its loop.
        sink: where the results go.
        most_in_flight: items on their way at the same time.
        strict: whether the first failure ends the run.
    """

    def __init__(
        self, graph: Graph, plan: Plan, caller: Caller, sink: Sink, *, most_in_flight: int, strict: bool
    ) -> None:
        self._plan = plan
        self._graph = graph
        self._caller = caller
        self._sink = sink
        self._most_in_flight = most_in_flight
        self._strict = strict
        self._head = [Route.of(stage, graph) for stage in head_of(plan)]
        self._ends_in_head = rows_end_in_head(plan)
        self._gathered: list[Row] | None = [] if has_barrier(plan) else None

    async def run(self, source: AsyncIterator[Item | Failure]) -> None:
        """Takes items as long as there are any and returns when the last result is delivered.

        Raises:
            StrictModeError: something failed in a strict run.
            StoreError: the answer store does not work.
        """
        async with _Crowd(self._most_in_flight) as crowd:
            async for item in source:
                if isinstance(item, Failure):
                    await self._refuse(item)
                else:
                    await crowd.start(self._walk_head(self._place(), Row(item=item)))
        if self._gathered is not None:
            await self._pass_barriers(self._gathered)

    async def _refuse(self, failure: Failure) -> None:
        if self._strict:
            raise strict_error(failure)
        await self._sink.failure(failure)

    def _place(self) -> int:
        """Keeps a place for a row among those that barriers wait for: in the order in which they came."""
        if self._gathered is None:
            return 0
        self._gathered.append(_NO_ROW)
        return len(self._gathered) - 1

    async def _walk_head(self, place: int, row: Row) -> None:
        for route in self._head:
            row = await walk(row, route, {}, self._caller)
        self._check(row.results.values())
        if self._gathered is not None:
            self._gathered[place] = row
        if self._ends_in_head:
            await self._sink.row(None, row)

    async def _pass_barriers(self, rows: list[Row]) -> None:
        pane = PaneWalk(self._plan, self._graph, self._caller, rows)
        async with _Crowd(self._most_in_flight) as crowd:
            for stage in self._plan.stages:
                if isinstance(stage, GlobalStage):
                    crowd.add(self._answer(pane, stage.name))
                elif isinstance(stage, RegroupStage):
                    crowd.add(self._answer(pane, stage.name))
                    crowd.add(self._finish_new(pane, stage.name, crowd))
            if not self._ends_in_head:
                for index, row in enumerate(rows):
                    await crowd.start(self._finish(pane, None, index, row))

    async def _answer(self, pane: PaneWalk, barrier: str) -> None:
        answers = (await pane.answers(barrier)).values()
        self._check(answers)
        for result in answers:
            await self._sink.answer(result)

    async def _finish_new(self, pane: PaneWalk, regroup: str, crowd: _Crowd) -> None:
        for index, row in enumerate(await pane.new_rows(regroup)):
            await crowd.start(self._finish(pane, regroup, index, row))

    async def _finish(self, pane: PaneWalk, regroup: str | None, index: int, before: Row) -> None:
        row = await pane.finished(regroup, index)
        self._check(result for name, result in row.results.items() if name not in before.results)
        await self._sink.row(regroup, row)

    def _check(self, results: Iterable[Result]) -> None:
        """Ends a strict run if one of the results is a failure."""
        if self._strict:
            failed = next((result for result in results if result.status == "failed"), None)
            if failed is not None:
                raise strict_error(failed)


_NO_ROW = Row(item=Item("", ""))


class _Crowd:
    """Tasks that run at the same time, at most so many of those that are started; the first error ends all."""

    def __init__(self, most: int) -> None:
        self._room = asyncio.Semaphore(most)
        self._group = asyncio.TaskGroup()

    async def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Starts a task as soon as there is room for it."""
        try:
            await self._room.acquire()
        except BaseException:
            coroutine.close()
            raise
        self._group.create_task(coroutine, context=next_turn()).add_done_callback(self._leave)

    def add(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Starts a task that takes no room: others wait for what it makes."""
        self._group.create_task(coroutine)

    def _leave(self, _: asyncio.Task[None]) -> None:
        self._room.release()

    async def __aenter__(self) -> _Crowd:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            raise _first(group) from None


def _first(error: BaseException) -> BaseException:
    """The first error of a group: the others are of tasks that were ended because of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
