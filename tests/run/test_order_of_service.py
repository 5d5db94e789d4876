"""Where calls wait for a permit, the oldest item's go first: rows that were begun are finished early."""

from __future__ import annotations

import asyncio

from helpers.dags import answered, make_dag

from beam_llmdag import Dag, Item, Model
from beam_llmdag.testing import ScriptedProvider

ONE_AT_A_TIME = Model("scripted:x", max_in_flight=1)


def chain(*, in_flight: int = 1) -> tuple[Dag, ScriptedProvider]:
    dag, provider = make_dag(answered(lambda prompt: prompt), model=Model("scripted:x", max_in_flight=in_flight))

    @dag.dimension()
    def first(item: Item) -> str:
        return f"{item.id}, first"

    @dag.dimension()
    def other(item: Item) -> str:
        return f"{item.id}, other"

    @dag.dimension()
    def last(first: str, other: str, item: Item) -> str:
        return f"{item.id}, last"

    return dag, provider


def test_with_one_call_at_a_time_one_row_is_finished_after_the_other():
    dag, provider = chain()
    ids = [str(number) for number in range(5)]
    dag.run([Item(name, "x") for name in ids])
    asked = [request.messages[-1].content for request in provider.requests]
    assert asked == [f"{name}, {step}" for name in ids for step in ("first", "other", "last")]


def test_the_first_row_of_many_in_line_comes_after_as_many_calls_as_it_has():
    dag, provider = chain(in_flight=2)
    dag.run([Item(str(number), "x") for number in range(50)])
    asked = [request.messages[-1].content for request in provider.requests]
    assert asked.index("0, last") <= 5


def test_a_global_that_others_wait_for_goes_before_new_rows():
    dag, provider = make_dag(answered(lambda prompt: prompt), model=ONE_AT_A_TIME)

    @dag.dimension(scope="global")
    def theme(items: list[Item]) -> str:
        return "theme"

    @dag.dimension()
    def fits(item: Item, theme: str) -> str:
        return f"{item.id}, fits"

    @dag.dimension()
    def why(item: Item, fits: str) -> str:
        return f"{item.id}, why"

    asyncio.run(dag.arun([Item("a", "x"), Item("b", "x")]))
    asked = [request.messages[-1].content for request in provider.requests]
    assert asked == ["theme", "a, fits", "a, why", "b, fits", "b, why"]
