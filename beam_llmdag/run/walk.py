"""One item's way through the dimensions of a stage: each starts as soon as those it needs have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from beam_llmdag.calls.caller import Caller
from beam_llmdag.graph.dimension import Dimension
from beam_llmdag.graph.graph import Graph
from beam_llmdag.graph.plan import ItemStage
from beam_llmdag.records.result import Result, Row
from beam_llmdag.run.evaluate import evaluate_item
from beam_llmdag.run.evaluate_global import Sides, item_sides

__all__ = ["Route", "walk"]


class Route:
    """The way that all items of a stage take.

    Args:
        dimensions: in an order in which each comes after those it needs.
        graph: the dag.
    """

    def __init__(self, dimensions: Sequence[Dimension], graph: Graph) -> None:
        names = {dimension.name for dimension in dimensions}
        self.dimensions = dimensions
        self.graph = graph
        self.awaited = {d.name: sum(name in names for name in d.needs) for d in dimensions}
        """Dimension -> how many others must end before it starts."""
        self.starts = [d for d in dimensions if not self.awaited[d.name]]
        self.followers = {name: [d for d in dimensions if name in d.needs] for name in names}
        """Dimension -> those that wait for it."""

    @classmethod
    def of(cls, stage: ItemStage, graph: Graph) -> Route:
        """The way through a stage."""
        return cls([step for name in stage.dimensions if isinstance(step := graph.steps[name], Dimension)], graph)


async def walk(row: Row, route: Route, sides: Sides, caller: Caller) -> Row:
    """`row` with the results of the dimensions on `route` added.

    Args:
        sides: results of the globals they need.

    Raises:
        StoreError: the answer store does not work.
    """
    walked = _Walked(row, route, sides, caller)
    try:
        walked.branch_off(route.starts[1:])
        await walked.follow(route.starts[0])
        for branch in walked.branches:  # there may be more of them while we wait
            await branch
    except BaseException:
        for branch in walked.branches:
            branch.cancel()
        await asyncio.gather(*walked.branches, return_exceptions=True)
        raise
    return Row(item=row.item, results={**row.results, **{d.name: walked.results[d.name] for d in route.dimensions}})


class _Walked:
    """How far an item has come. A task is dear: there is one less than calls at the same time."""

    __slots__ = ("awaited", "branches", "caller", "results", "route", "row", "sides")

    def __init__(self, row: Row, route: Route, sides: Sides, caller: Caller) -> None:
        self.results: dict[str, Result] = dict(row.results)
        self.row = Row(item=row.item, results=self.results)
        self.route = route
        self.sides = sides
        self.caller = caller
        self.awaited = dict(route.awaited)
        self.branches: list[asyncio.Task[None]] = []

    def branch_off(self, dimensions: Sequence[Dimension]) -> None:
        self.branches.extend(asyncio.create_task(self.follow(dimension)) for dimension in dimensions)

    async def follow(self, dimension: Dimension | None) -> None:
        """Evaluates a dimension, then one that waited for it; others that did branch off."""
        item, graph = self.row.item, self.route.graph
        while dimension is not None:
            known: Mapping[str, Result] = self.results
            if self.sides:
                known = self.results | item_sides(dimension, self.row, self.sides, graph)
            self.results[dimension.name] = await evaluate_item(dimension, item, known, graph, self.caller)
            ready = []
            for follower in self.route.followers[dimension.name]:
                self.awaited[follower.name] -= 1
                if not self.awaited[follower.name]:
                    ready.append(follower)
            self.branch_off(ready[1:])
            dimension = ready[0] if ready else None
