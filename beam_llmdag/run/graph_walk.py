"""What lies behind the first barrier of a dag, answered over the rows of one window and pane. asyncio, no Beam.

In unbounded input a barrier cannot wait for all rows there will ever be. It waits for those of a *pane*, and all that
comes after it concerns them alone: globals, regroups, and the item dimensions that need those. So one gathering is
enough for the whole rest of the graph, and every step of it sees the same rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from beam_llmdag.calls.caller import Caller
from beam_llmdag.calls.limits.turn import next_turn
from beam_llmdag.graph.dimension import Dimension, Regroup
from beam_llmdag.graph.graph import Graph
from beam_llmdag.graph.plan import GlobalStage, ItemStage, Plan, RegroupStage, head_of
from beam_llmdag.records.result import Result, Row
from beam_llmdag.run.evaluate_global import NO_GROUP, Sides, evaluate_global, group_of, groups_wait
from beam_llmdag.run.regroup import regroup_rows
from beam_llmdag.run.walk import Route, walk

__all__ = ["PaneWalk"]


class PaneWalk:
    """Answers the stages of a pipelined plan behind its head over some rows, each when somebody asks for it, and once.

    Args:
        plan: of kind `"pipelined"`.
        graph: the dag.
        caller: makes the calls.
        rows: the rows, with the results of the plan's head.
    """

    def __init__(self, plan: Plan, graph: Graph, caller: Caller, rows: Sequence[Row]) -> None:
        self._plan = plan
        self._graph = graph
        self._caller = caller
        self._stages = {stage.name: stage for stage in plan.stages}
        self._head = {stage.name for stage in head_of(plan)}
        self._rows: dict[str | None, Sequence[Row]] = {None: rows}
        self._routes: dict[str, Route] = {}
        self._tasks: dict[tuple[str, int], asyncio.Task[Any]] = {}
        self._error: Exception | None = None

    async def answers(self, barrier: str) -> Mapping[str, Result]:
        """Group -> answer of a global, or the report of a regroup, in the order of the groups' names."""
        stage = self._stages[barrier]
        assert not isinstance(stage, ItemStage)
        answers: Mapping[str, Result] = await self._result_of(self._once((barrier, 0), partial(self._answer, stage)))
        return answers

    async def new_rows(self, regroup: str) -> Sequence[Row]:
        """The rows of the items that a regroup makes, not yet analysed."""
        return await self._rows_of(regroup)

    async def finished(self, space: str | None, index: int) -> Row:
        """Row number `index` of a space with the results of all its dimensions."""
        return await self._joined(self._plan.leaves[space], space, index)

    async def between(self, index: int) -> Row:
        """Row number `index` with those results only that a barrier needs and that come after another barrier."""
        barriers = [s for s in self._plan.stages if not isinstance(s, ItemStage) and s.space is None]
        names = tuple(dict.fromkeys(name for stage in barriers for name in stage.rows))
        row = await self._joined(names, None, index)
        before = self._rows[None][index].results
        return Row(item=row.item, results={n: result for n, result in row.results.items() if n not in before})

    async def _answer(self, stage: GlobalStage | RegroupStage) -> Mapping[str, Result]:
        count = len(await self._rows_of(stage.space))
        rows = await _all([self._joined(stage.rows, stage.space, index) for index in range(count)])
        sides = await self._sides_of(stage)
        step = self._graph.steps[stage.name]
        made = {} if stage.space is None else await self.answers(stage.space)
        rows_wait = any(report.status == "pending" for report in made.values())
        if isinstance(step, Regroup):
            items, report = regroup_rows(step, rows, sides, self._graph, rows_wait=rows_wait)
            self._rows[stage.name] = [Row(item=item) for item in items]
            return {NO_GROUP: report}
        groups = self._groups(step, rows)
        rows_wait = rows_wait or groups_wait(step, rows, self._graph)
        results = await _all(
            [
                evaluate_global(step, some, sides, self._graph, self._caller, group, rows_wait=rows_wait)
                for group, some in groups.items()
            ]
        )
        return dict(zip(groups, results, strict=True))

    def _groups(self, dimension: Dimension, rows: Sequence[Row]) -> Mapping[str, Sequence[Row]]:
        if dimension.per is None:
            return {NO_GROUP: rows}
        groups: dict[str, list[Row]] = {}
        for row in rows:
            groups.setdefault(group_of(dimension, row, self._graph), []).append(row)
        return dict(sorted(groups.items()))

    async def _walk(self, stage: ItemStage, index: int) -> Row:
        row = await self._joined(stage.rows, stage.space, index)
        return await walk(row, self._route_of(stage), await self._sides_of(stage), self._caller)

    def _route_of(self, stage: ItemStage) -> Route:
        route = self._routes.get(stage.name)
        if route is None:
            route = self._routes[stage.name] = Route.of(stage, self._graph)
        return route

    async def _joined(self, stages: Sequence[str], space: str | None, index: int) -> Row:
        """A row with the results of some item stages; it has those of the head from the start."""
        first = (await self._rows_of(space))[index]
        named = [
            stage for name in stages if name not in self._head and isinstance(stage := self._stages[name], ItemStage)
        ]
        parts = [self._once((stage.name, index), partial(self._walk, stage, index)) for stage in named]
        results = dict(first.results)
        for part in parts:
            results.update((await self._result_of(part)).results)
        return Row(item=first.item, results=results)

    async def _sides_of(self, stage: ItemStage | GlobalStage | RegroupStage) -> Sides:
        answers = await _all([self.answers(name) for name in stage.sides])
        return dict(zip(stage.sides, answers, strict=True))

    async def _rows_of(self, space: str | None) -> Sequence[Row]:
        if space is not None:
            await self.answers(space)
        return self._rows[space]

    def _once(self, key: tuple[str, int], coroutine: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Task[Any]:
        task = self._tasks.get(key)
        if task is None:
            guarded = self._guarded(coroutine())
            task = self._tasks[key] = asyncio.get_running_loop().create_task(guarded, context=next_turn())
        return task

    async def _guarded(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await coroutine
        except Exception as error:
            self._error = self._error or error
            raise

    async def _result_of(self, task: asyncio.Task[Any]) -> Any:
        """The result of a task that others wait for as well; when it ends because one of them failed: that error."""
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if self._error is not None and (current is None or not current.cancelling()):
                raise self._error from None
            raise


async def _all(coroutines: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """The results of coroutines that run at the same time."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
    return [task.result() for task in tasks]
