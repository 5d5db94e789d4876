"""What the tests of the evaluation share: dags over scripted answers, walked without Beam."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from helpers.calls import make_caller

from beam_llmdag.dag import Dag
from beam_llmdag.model import Request
from beam_llmdag.providers.prices import Price
from beam_llmdag.records.item import Item
from beam_llmdag.records.result import Result, Row
from beam_llmdag.run.evaluate_global import NO_GROUP, Sides, evaluate_global
from beam_llmdag.run.walk import Route, walk
from beam_llmdag.testing import ScriptedProvider

PRICES = {"scripted:x": Price(input=1, output=2)}


def prompt_of(request: Request) -> str:
    """The text of the last message."""
    content = request.messages[-1].content
    return content if isinstance(content, str) else repr(content)


def make_dag(answers: Any, **options: Any) -> tuple[Dag, ScriptedProvider]:
    """A dag whose model is `scripted:x`, and the provider behind it."""
    provider = answers if isinstance(answers, ScriptedProvider) else ScriptedProvider(answers)
    options.setdefault("model", "scripted:x")
    return Dag("test", providers={"scripted": provider}, prices=PRICES, **options), provider


def answered(answer: Callable[[str], Any]) -> Callable[[Request], Any]:
    """An answer function of the prompt alone."""
    return lambda request: answer(prompt_of(request))


def walked(dag: Dag, *items: Item) -> dict[str, dict[str, Result]]:
    """Item id -> dimension -> result, for a dag of item dimensions."""

    async def run() -> list[Row]:
        caller = make_caller(dag.providers, prices=dict(dag.prices.own))
        route = Route(list(dag.dimensions.values()), dag)
        rows = await asyncio.gather(*(walk(Row(item=item), route, {}, caller) for item in items))
        await caller.aclose()
        return list(rows)

    return {row.item.id: dict(row.results) for row in asyncio.run(run())}


def evaluated(dag: Dag, name: str, rows: Sequence[Row], sides: Sides | None = None, group: str = NO_GROUP) -> Result:
    """The result of a global over rows."""

    async def run() -> Result:
        caller = make_caller(dag.providers, prices=dict(dag.prices.own))
        result = await evaluate_global(dag.dimensions[name], rows, sides or {}, dag, caller, group)
        await caller.aclose()
        return result

    return asyncio.run(run())


def row(item_id: str, content: Any = "x", **data: Any) -> Row:
    """A row with good answers of the dimensions in `data`; a `Result` stands for itself."""
    results = {
        name: value
        if isinstance(value, Result)
        else Result(dimension=name, item_id=item_id, status="ok", data=value, model="scripted:x")
        for name, value in data.items()
    }
    return Row(item=Item(item_id, content), results=results)


def not_ok(dimension: str, item_id: str = "", status: Any = "failed", **known: Any) -> Result:
    """A result without data."""
    if status == "failed":
        known = {"error_class": "refused", "message": "no", **known}
    return Result(dimension=dimension, item_id=item_id, status=status, **known)
