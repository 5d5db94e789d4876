"""`dag.diff`: what a run would ask and what it would find in the store, without a call."""

from __future__ import annotations

from pathlib import Path

import pytest

from beam_llmdag import Dag, DiffLine, GraphError, Item, Price
from beam_llmdag.testing import ScriptedProvider


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "answers.sqlite")


def make_dag(*, mood: str = "Mood", summary: str = "Sum up") -> tuple[Dag, ScriptedProvider]:
    provider = ScriptedProvider(["fine"])
    prices = {"scripted:x": Price(input=1, output=5)}
    dag = Dag("d", model="scripted:x", providers={"scripted": provider}, prices=prices)
    dag.dimension(lambda item: f"{mood} of {item.content}?", name="mood")
    dag.dimension(
        lambda item, mood: f"{summary} {mood} {item.content}.", name="summary", skip_if=lambda item: item.id == "0"
    )
    dag.dimension(lambda items, summary: f"Report on {summary}.", name="report", scope="global")
    return dag, provider


ITEMS = [Item(str(number), f"text {number}") for number in range(5)]


def counts(line: DiffLine) -> tuple[int, int, int, int]:
    return line.in_store, line.to_ask, line.waiting, line.skipped


def test_all_is_asked_of_an_empty_store_and_what_needs_it_waits(store):
    dag, provider = make_dag()
    mood, summary, report = dag.diff(ITEMS, store=store).lines
    assert (counts(mood), counts(summary)) == ((0, 5, 0, 0), (0, 0, 5, 0))
    assert report.in_store == report.to_ask == 0
    assert provider.requests == []


def test_nothing_is_asked_after_a_run(store):
    dag, provider = make_dag()
    dag.run(ITEMS, store=store)
    asked = len(provider.requests)
    found = dag.diff(ITEMS, store=store)
    assert [counts(line) for line in found.lines] == [(5, 0, 0, 0), (4, 0, 0, 1), (1, 0, 0, 0)]
    assert (found.to_ask, len(provider.requests)) == (0, asked)
    assert "nothing would be asked" in repr(found)


def test_a_changed_prompt_is_asked_again_at_the_price_of_its_calls_before(store):
    dag, _ = make_dag()
    report = dag.run(ITEMS, store=store)
    changed, provider = make_dag(summary="Sum up in one word")
    found = changed.diff(ITEMS, store=store)
    mood, summary, _ = found.lines
    paid = sum(cost.attempt.cost_nano_usd for cost in report.costs if cost.dimension == "summary")
    assert (counts(mood), counts(summary)) == ((5, 0, 0, 0), (0, 4, 0, 1))
    assert summary.nano_usd == pytest.approx(paid)
    assert provider.requests == []
    assert [row.results["mood"].data for row in found.report.items] == ["fine"] * 5


def test_new_items_alone_are_asked(store):
    dag, _ = make_dag()
    dag.run(ITEMS[:3], store=store)
    mood, *_ = dag.diff(ITEMS, store=store).lines
    assert counts(mood) == (3, 2, 0, 0)


def test_a_dimension_that_has_never_been_paid_for_has_an_unknown_price(store):
    dag, _ = make_dag()
    found = dag.diff(ITEMS, store=store)
    assert found.lines[0].nano_usd is None
    assert "dag.estimate measures it" in repr(found)


def test_without_a_store_there_is_nothing_to_look_into():
    dag, _ = make_dag()
    with pytest.raises(GraphError, match="no answer store"):
        dag.diff(ITEMS, store=False)


def test_a_run_after_it_is_as_if_nobody_had_looked(store):
    dag, provider = make_dag()
    dag.diff(ITEMS, store=store)
    report = dag.run(ITEMS, store=store)
    assert report.failures == []
    assert len(provider.requests) == 10
