"""The budget of a run, shared by its processes through an answer store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from beam_llmdag import CallError, Dag, Model, Price, Usage
from beam_llmdag.calls.limits.budget import RunBudget, Spender, granted
from beam_llmdag.model import Answer
from beam_llmdag.testing import ScriptedProvider

SPENDER = Spender("said", Model("scripted:any"))
ONE = 10_000_000  # nano-dollars: a hundredth of a dollar

ASKER = """
import sys
from beam_llmdag import Dag, Model, Price, Usage
from beam_llmdag.model import Answer
from beam_llmdag.testing import ScriptedProvider

provider = ScriptedProvider([Answer(text="fine", usage=Usage(output_tokens=10))], latency_seconds=0.005)
model = Model("scripted:any", max_in_flight=50, max_tokens=10)
dag = Dag("paid", model=model, providers={"scripted": provider}, prices={"scripted:any": Price(input=0, output=1000)})
dag.dimension(lambda item: item.content, name="said")
texts = [f"{sys.argv[2]} {n}" for n in range(200)]
dag.run(texts, store=sys.argv[1], run_id="r", budget_usd=2.0, progress=False)
print(len(provider.requests))
"""


class Purse:
    """What a store knows of one budget."""

    def __init__(self) -> None:
        self.drawn = 0
        self.draws = 0

    async def draw(self, run_id: str, wanted: int, limit: int) -> int:
        self.draws += 1
        amount = granted(wanted, self.drawn, limit)
        self.drawn += amount
        return amount


def budget(purse: Purse, usd: float = 1.0) -> RunBudget:
    return RunBudget(usd, "r", purse.draw)


def test_a_process_draws_a_hundredth_at_once_and_gives_back_what_is_left():
    purse = Purse()

    async def run() -> int:
        mine = budget(purse)
        for _ in range(10):
            assert await mine.reserve(lambda: ONE // 10, SPENDER) == ONE // 10
            mine.settle(ONE // 10, ONE // 20, SPENDER)
        drawn = purse.drawn
        await mine.aclose()
        return drawn

    assert asyncio.run(run()) == ONE
    assert (purse.draws, purse.drawn) == (2, ONE // 2)


def test_all_together_draw_no_more_than_the_budget():
    purse = Purse()

    async def spend(mine: RunBudget) -> int:
        spent = 0
        while isinstance(taken := await mine.reserve(lambda: 3 * ONE, SPENDER), int):
            await asyncio.sleep(0)
            mine.settle(taken, taken, SPENDER)
            spent += taken
        return spent

    async def run() -> list[int]:
        return await asyncio.gather(*(spend(budget(purse)) for _ in range(5)))

    spent = asyncio.run(run())
    assert 88 * ONE <= sum(spent) <= 100 * ONE


def test_a_call_waits_for_those_in_flight_and_is_refused_when_there_are_none():
    purse = Purse()

    async def run() -> tuple[bool, Any, Any]:
        mine = budget(purse)
        first = await mine.reserve(lambda: 60 * ONE, SPENDER)
        assert isinstance(first, int)
        second = asyncio.create_task(mine.reserve(lambda: 60 * ONE, SPENDER))
        await asyncio.sleep(0.01)
        waited = not second.done()
        mine.settle(first, 10 * ONE, SPENDER)
        return waited, await second, None

    waited, second, _ = asyncio.run(run())
    assert (waited, second) == (True, 60 * ONE)

    async def refused() -> Any:
        return await budget(Purse()).reserve(lambda: 101 * ONE, SPENDER)

    error = asyncio.run(refused())
    assert isinstance(error, CallError)
    assert "a call may cost $1.010000: raise budget_usd, or lower max_tokens" in error.message


def test_where_nothing_is_left_a_call_without_a_price_is_not_made_either():
    error = asyncio.run(budget(Purse(), 0.0).reserve(lambda: 0, SPENDER))
    assert isinstance(error, CallError)
    assert error.message == "the budget of $0 of this run is spent"


def dag_of(provider: ScriptedProvider) -> Dag:
    model = Model("scripted:any", max_tokens=10)
    dag = Dag(
        "paid", model=model, providers={"scripted": provider}, prices={"scripted:any": Price(input=0, output=1000)}
    )
    dag.dimension(lambda item: item.content, name="said")
    return dag


def test_a_run_that_is_started_again_goes_on_with_what_is_left_or_with_more(tmp_path):
    provider = ScriptedProvider([Answer(text="fine", usage=Usage(output_tokens=10))])
    dag, store = dag_of(provider), str(tmp_path / "answers.sqlite")
    texts = [str(number) for number in range(10)]
    for dollars, asked in ((0.03, 3), (0.03, 3), (0.05, 5)):
        report = dag.run(texts, store=store, run_id="r", budget_usd=dollars)
        assert len(provider.requests) == asked
        assert sum(failure.error_class == "over_budget" for failure in report.failures) == 10 - asked
    assert dag.run(texts, store=store, run_id="another", budget_usd=0.05).failures == []
    assert len(provider.requests) == 10


@pytest.mark.processes
def test_processes_of_a_run_share_its_budget(tmp_path):
    place = str(tmp_path / "answers.sqlite")
    processes = [
        subprocess.Popen([sys.executable, "-c", ASKER, place, name], stdout=subprocess.PIPE, text=True)
        for name in ("a", "b", "c")
    ]
    calls = [int(process.communicate()[0]) for process in processes]
    assert sum(calls) == 200
