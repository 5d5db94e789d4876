"""The part of a dag behind its first barrier, over the rows of a pane, without Beam."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from helpers.calls import make_caller
from helpers.dags import make_dag, prompt_of, row

from beam_llmdag.calls.store.answers import AnswerStore, Asked, Found, Payer
from beam_llmdag.dag import Dag
from beam_llmdag.errors import StoreError
from beam_llmdag.graph.plan import make_plan
from beam_llmdag.model import Request
from beam_llmdag.records.result import Attempt, Row
from beam_llmdag.run.graph_walk import PaneWalk


def paned(dag: Dag, *rows: Row, store: AnswerStore | None = None) -> PaneWalk:
    """The walk of a pane; to be made on a running loop."""
    return PaneWalk(make_plan(dag.steps, "pipelined"), dag, make_caller(dag.providers, store=store), rows)


class FullStore:
    """An answer store that has room for one answer."""

    claims = False

    def __init__(self) -> None:
        self.answers = 0

    async def find(self, keys: Sequence[str], payer: Payer) -> Found:
        return Found([], [], frozenset())

    def begin(self, asked: Asked) -> int:
        return 0

    async def end(self, number: int, asked: Asked, attempt: Attempt, answer: str | None = None) -> None:
        self.answers += 1
        if self.answers > 1:
            raise StoreError("the disk is full")

    async def adopt(self, key: str, dimension: str) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass


def chained_dag(answers: Any) -> tuple[Dag, Any]:
    """theme over all items, fit needs theme, verdict over all fits."""
    dag, provider = make_dag(answers)
    dag.dimension(lambda items: "theme of " + "+".join(item.id for item in items), name="theme", scope="global")
    dag.dimension(lambda item, theme: f"fit of {item.id}", name="fit")
    dag.dimension(lambda items, fit: "verdict on " + "+".join(fit), name="verdict", scope="global")
    return dag, provider


def echo(request: Request) -> str:
    return f"<{prompt_of(request)}>"


def test_every_step_is_asked_once_however_many_wait_for_it() -> None:
    dag, provider = chained_dag(echo)

    async def run() -> list[Any]:
        walk = paned(dag, row("1"), row("2"))
        asked = (walk.finished(None, 0), walk.finished(None, 1), walk.answers("verdict"), walk.answers("theme"))
        return list(await asyncio.gather(*asked))

    first, _, verdict, _ = asyncio.run(run())
    assert first.results["fit"].data == "<fit of 1>"
    assert verdict[""].data == "<verdict on <fit of 1>+<fit of 2>>"
    assert sorted(prompt_of(request) for request in provider.requests) == [
        "fit of 1",
        "fit of 2",
        "theme of 1+2",
        "verdict on <fit of 1>+<fit of 2>",
    ]


def test_nothing_is_asked_that_nobody_waits_for() -> None:
    dag, provider = chained_dag(echo)
    asyncio.run(_one(dag, lambda walk: walk.answers("theme")))
    assert [prompt_of(request) for request in provider.requests] == ["theme of 1"]


def test_between_barriers_are_the_results_that_a_later_barrier_needs() -> None:
    dag, _ = chained_dag(echo)
    between = asyncio.run(_one(dag, lambda walk: walk.between(0)))
    assert list(between.results) == ["fit"]


def test_a_regroup_that_makes_nothing_leaves_a_global_over_it_without_items() -> None:
    dag, provider = make_dag(echo)

    @dag.regroup
    def nothing(items: list[Any]) -> dict[str, list[str]]:
        return {}

    dag.dimension(lambda items: "never", name="overall", scope="global", over=nothing)
    answers = asyncio.run(_one(dag, lambda walk: walk.answers("overall")))
    assert (answers[""].status, answers[""].reason) == ("skipped", "no items")
    assert provider.requests == []


def test_a_store_that_does_not_work_is_the_error_of_all_who_wait() -> None:
    dag, _ = chained_dag(echo)

    async def run() -> list[Any]:
        walk = paned(dag, row("1"), row("2"), row("3"), store=FullStore())
        asked = (walk.finished(None, 1), walk.answers("verdict"))
        return list(await asyncio.gather(*asked, return_exceptions=True))

    for error in asyncio.run(run()):
        assert "the disk is full" in repr(error)


async def _one(dag: Dag, wanted: Any) -> Any:
    return await wanted(paned(dag, row("1")))


@pytest.mark.parametrize("name", ["theme", "verdict"])
def test_who_is_cancelled_cancels_what_it_waits_for(name: str) -> None:
    dag, provider = make_dag(echo)
    provider = type(provider)(echo, latency_seconds=60)
    dag, _ = chained_dag(provider)

    async def run() -> None:
        waiting = asyncio.get_running_loop().create_task(_one(dag, lambda walk: walk.answers(name)))
        while not provider.in_flight:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert provider.cancelled == 1

    asyncio.run(run())
