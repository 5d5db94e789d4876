import asyncio

from helpers.calls import eventually, make_caller
from helpers.dags import answered, make_dag, prompt_of, walked

from beam_llmdag.clock import SystemClock
from beam_llmdag.records.item import Item
from beam_llmdag.records.result import Row
from beam_llmdag.run.walk import Route, walk
from beam_llmdag.testing import ScriptedProvider


def test_a_slow_branch_does_not_hold_the_other():
    provider = ScriptedProvider(
        answered(str), latency_seconds=lambda request: 60 if prompt_of(request) == "slow" else 0
    )
    dag, _ = make_dag(provider)

    @dag.dimension
    def slow(item):
        return "slow"

    @dag.dimension
    def quick(item):
        return "quick"

    @dag.dimension
    def quicker(item, quick):
        return "after " + quick

    async def run():
        caller = make_caller(dag.providers, clock=SystemClock())
        route = Route(list(dag.dimensions.values()), dag)
        task = asyncio.create_task(walk(Row(item=Item("a", "x")), route, {}, caller))
        await eventually(lambda: len(provider.requests) == 3)
        task.cancel()
        await asyncio.wait([task])
        return provider.cancelled

    assert asyncio.run(run()) == 1
    assert {prompt_of(request) for request in provider.requests} == {"slow", "quick", "after quick"}


def test_siblings_are_asked_at_the_same_time():
    provider = ScriptedProvider(answered(str), latency_seconds=0.01)
    dag, _ = make_dag(provider)
    for name in ("p", "q", "r"):
        dag.dimension(lambda item: item.content, name=name)
    walked(dag, Item("a", "x"))
    assert provider.peak_in_flight == 3


def test_a_dimension_waits_for_the_slowest_of_those_it_needs():
    latencies = {"one": 0.02, "two": 0.0}
    provider = ScriptedProvider(answered(str), latency_seconds=lambda request: latencies.get(prompt_of(request), 0))
    dag, _ = make_dag(provider)
    dag.dimension(lambda item: "one", name="one")
    dag.dimension(lambda item: "two", name="two")

    @dag.dimension
    def both(item, one, two):
        return f"{one}+{two}"

    assert walked(dag, Item("a", "x"))["a"]["both"].data == "one+two"


def test_results_come_in_the_order_of_the_dimensions_however_fast_they_are():
    provider = ScriptedProvider(answered(str), latency_seconds=lambda request: 0.02 if prompt_of(request) == "p" else 0)
    dag, _ = make_dag(provider)
    for name in ("p", "q", "r"):
        dag.dimension(lambda item, name=name: name, name=name)
    assert list(walked(dag, Item("a", "x"))["a"]) == ["p", "q", "r"]


def test_a_dimension_that_fails_does_not_touch_its_siblings():
    dag, _ = make_dag(answered(str))

    @dag.dimension
    def broken(item):
        raise RuntimeError

    @dag.dimension
    def fine(item):
        return "fine"

    results = walked(dag, Item("a", "x"))["a"]
    assert (results["broken"].status, results["fine"].status) == ("failed", "ok")
