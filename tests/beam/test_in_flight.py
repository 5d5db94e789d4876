"""Many calls in flight in one bundle, and none that outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from beam_llmdag import Dag, Item, LLMDagError, Row
from beam_llmdag.beam.config import RunConfig
from beam_llmdag.beam.stages import AnswerItems
from beam_llmdag.calls.call_thread import CallThread
from beam_llmdag.calls.in_flight import InFlight
from beam_llmdag.calls.options import CallOptions
from beam_llmdag.graph.plan import ItemStage
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider


@pytest.fixture
def calls() -> Iterator[CallThread]:
    calls = CallThread()
    yield calls
    calls.loop.call_soon_threadsafe(calls.loop.stop)


async def after(turns: int, value: Any) -> Any:
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


def all_ended(flight: InFlight[Any, Any]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    while flight.pending:
        flight.wait()
        found.update(flight.ended())
    return found


def test_each_result_comes_back_with_its_tag_in_whatever_order_they_end(calls: CallThread) -> None:
    flight: InFlight[str, int] = InFlight(calls)
    for number in range(100):
        flight.submit(f"tag {number}", after(100 - number, number))
    assert all_ended(flight) == {f"tag {number}": number for number in range(100)}


def test_an_error_comes_out_where_its_result_would(calls: CallThread) -> None:
    async def broken() -> None:
        raise KeyError("this one")

    flight: InFlight[str, None] = InFlight(calls)
    flight.submit("a", broken())
    with pytest.raises(KeyError, match="this one"):
        all_ended(flight)


def test_when_cancel_returns_nothing_runs_any_more(calls: CallThread) -> None:
    running: set[int] = set()

    async def hang(number: int) -> None:
        running.add(number)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # a clean-up that takes a turn
            running.discard(number)

    flight: InFlight[int, None] = InFlight(calls)
    started: InFlight[int, None] = InFlight(calls)
    for number in range(10):
        flight.submit(number, hang(number))
    started.submit(0, after(1, None))  # behind them in the loop's queue
    started.wait()
    assert running == set(range(10))
    flight.submit(10, hang(10))
    flight.cancel()
    assert running == set()
    assert flight.pending == 0
    assert list(flight.ended()) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_waits_hears_that_the_thread_has_ended(calls: CallThread) -> None:
    async def end() -> None:
        raise SystemExit(3)

    async def wait() -> None:
        await asyncio.Event().wait()

    flight: InFlight[str, None] = InFlight(calls)
    flight.submit("waits", wait())
    flight.submit("ends", end())
    with pytest.raises(LLMDagError, match="thread that makes the calls has ended"):
        all_ended(flight)
    flight.cancel()  # and does not wait for nobody
    assert not calls.lives


def scripted(latency: Callable[[Request], float] | float) -> tuple[Dag, ScriptedProvider]:
    provider = ScriptedProvider(["fine"], latency_seconds=latency, default_in_flight=1000)
    dag = Dag("flight", model="scripted:m", providers={"scripted": provider})

    @dag.dimension
    def first(item: Item) -> str:
        return f"first {item.id}"

    @dag.dimension
    def second(item: Item, first: str) -> str:
        return f"second {item.id}"

    return dag, provider


def items(number: int) -> list[dict[str, str]]:
    return [{"id": f"{index:03}", "content": "x"} for index in range(number)]


def test_all_items_of_a_bundle_are_in_flight_together(run: Any, plan: str) -> None:
    dag, provider = scripted(0.2)
    outcome = run(dag, items(50), plan=plan)
    assert provider.peak_in_flight == 50
    assert len(outcome.items) == 50


def test_no_more_items_are_in_flight_than_allowed(run: Any, plan: str) -> None:
    dag, provider = scripted(0.01)
    outcome = run(dag, items(30), plan=plan, most_in_flight=4)
    # siblings and followers of one bundle are fused in the staged plan: each stage has its own items in flight
    assert provider.peak_in_flight <= (4 if plan == "pipelined" else 8)
    assert len(outcome.items) == 30


def test_most_in_flight_of_one_asks_one_item_at_a_time(run: Any) -> None:
    dag, provider = scripted(0.0)
    run(dag, items(5), plan="pipelined", most_in_flight=1)
    assert provider.peak_in_flight == 1


def test_a_slow_call_delays_only_its_own_item_in_the_pipelined_plan(run: Any) -> None:
    dag, provider = scripted(lambda request: 0.5 if request.messages[0].content == "first 000" else 0.0)
    run(dag, items(10), plan="pipelined")
    asked = [request.messages[0].content for request in provider.requests]
    assert asked[-1] == "second 000"
    assert len(asked) == 20


def test_when_a_step_behind_the_calls_fails_none_of_them_runs_on() -> None:
    dag, provider = scripted(lambda request: 0.3 if request.messages[0].content == "first 000" else 30.0)
    config = RunConfig(graph=dag, options=CallOptions(run_id="fails behind the calls"))
    stage = ItemStage(name="first", space=None, dimensions=("first",), rows=(), sides=())

    def explode(row: Row) -> None:
        raise ValueError(f"cannot bear {row.item.id}")

    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([]))
    rows = beam.Create([Row(item=Item(f"{index:03}", "x")) for index in range(5)], reshuffle=False)
    pipeline | rows | AnswerItems(config, stage, {}, most_in_flight=5) | "Explode" >> beam.Map(explode)
    with pytest.raises(ValueError, match="cannot bear 000"):
        pipeline.run()
    assert provider.in_flight == 0
    assert provider.cancelled == len(provider.requests) - 1 == 4
