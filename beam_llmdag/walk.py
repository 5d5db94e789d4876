"""One item's way through the dimensions of a stage: each starts as soon as those it needs have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from beam_llmdag.call import Caller
from beam_llmdag.dimension import Dimension, Step
from beam_llmdag.evaluate import evaluate_item
from beam_llmdag.evaluate_global import Sides, item_sides
from beam_llmdag.result import Result, Row

__all__ = ["walk"]


async def walk(
    row: Row, dimensions: Sequence[Dimension], sides: Sides, steps: Mapping[str, Step], caller: Caller
) -> Row:
    """`row` with the results of `dimensions` added.

    Args:
        dimensions: in an order in which each comes after those it needs.
        sides: results of the globals they need.
        steps: the dag's.

    Raises:
        StoreError: the answer store does not work.
    """
    results: dict[str, Result] = dict(row.results)
    walked = Row(item=row.item, results=results)

    async def evaluate(dimension: Dimension) -> None:
        known = results | item_sides(dimension, walked, sides, steps) if sides else results
        results[dimension.name] = await evaluate_item(dimension, row.item, known, steps, caller)

    if len(dimensions) == 1:
        await evaluate(dimensions[0])
        return walked

    tasks: dict[str, asyncio.Task[None]] = {}

    async def evaluate_after(dimension: Dimension, before: Sequence[asyncio.Task[None]]) -> None:
        for task in before:
            await task
        await evaluate(dimension)

    async with asyncio.TaskGroup() as group:
        for dimension in dimensions:
            before = [tasks[name] for name in dimension.needs if name in tasks]
            tasks[dimension.name] = group.create_task(evaluate_after(dimension, before))
    return Row(item=row.item, results={**row.results, **{d.name: results[d.name] for d in dimensions}})
