"""The kind `cost`: what a run has cost, also where something went wrong or nobody knows the price."""

from __future__ import annotations

from typing import Literal

import pytest
from helpers.dags import walked
from pydantic import BaseModel

from beam_llmdag.calls.store.ledger import read_totals
from beam_llmdag.dag import Dag
from beam_llmdag.model import Model
from beam_llmdag.providers.prices import Price
from beam_llmdag.records.item import Item
from beam_llmdag.testing import FakeClock, Reply
from beam_llmdag.usage import Usage

PRICE = Price(input=0.25, output=2.0)


class Answer(BaseModel):
    label: Literal["a", "b"]


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")


def used(text, read, written, **options):
    return Reply(text, usage=Usage(input_tokens=read, output_tokens=written), **options)


def make_dag(simulator, model="openai:gpt-5-mini", **options):
    dag = Dag(
        "case",
        model=Model(model, base_url=simulator.base_url("openai"), **options),
        prices={"openai:gpt-5-mini": PRICE},
    )

    @dag.dimension(output=Answer)
    def analyze(item):
        return f"Analyse: {item.content}"

    return dag


REJECTED = [used({"label": "c"}, 200, 50), used("not json", 260, 40), used({"label": "a"}, 300, 10)]


def test_every_attempt_is_paid_in_row_bill_counter_and_ledger(simulator, run, plan, tmp_path):
    """cost-04-every-attempt-is-paid"""
    simulator.script(REJECTED)
    store = tmp_path / "answers.sqlite"
    source = [{"id": "r1", "content": "It arrived late."}]
    done = run(make_dag(simulator, attempts=3), source, plan=plan, store=store)
    result = done.items[0].results["analyze"]
    assert (result.status, result.data) == ("ok", {"label": "a"})
    assert [attempt.error_class for attempt in result.attempts] == ["invalid_answer", "invalid_answer", None]
    assert (result.usage.input_tokens, result.usage.output_tokens) == (760, 100)
    assert result.cost_nano_usd == 390_000
    assert [cost.attempt.cost_nano_usd for cost in done.costs] == [150_000, 145_000, 95_000]
    assert [cost.number for cost in done.costs] == [1, 2, 3]
    counters = done.counters["analyze"]
    assert (counters["cost_nano_usd"], counters["input_tokens"], counters["output_tokens"]) == (390_000, 760, 100)
    assert [(total.calls, total.cost_nano_usd) for total in read_totals(store)] == [(3, 390_000)]


@pytest.mark.parametrize(
    ("bad", "error_class", "cost"),
    [
        (used({"label": "a"}, 200, 50, stop="length"), "truncated", 150_000),
        (used("", 200, 50, stop="refusal", refusal="No."), "refused", 150_000),
        (Reply(status=500), "overloaded", 0),
        (Reply(status=400, message="bad field"), "bad_request", 0),
        (Reply(hang=True), "timeout", None),
        (Reply(drop=True), "connection", None),
    ],
)
def test_the_tokens_of_answers_that_would_not_do_are_paid_as_far_as_known(simulator, bad, error_class, cost):
    """cost-04-every-attempt-is-paid: other ways to pay for nothing"""
    simulator.script([bad])
    dag = make_dag(simulator, attempts=1, timeout_seconds=1 if bad.hang else 60)
    result = walked(dag, Item("r1", "It arrived late."))["r1"]["analyze"]
    assert (result.status, result.error_class) == ("failed", error_class)
    assert (result.attempts[0].cost_nano_usd, result.cost_nano_usd) == (cost, cost)


def test_a_first_model_that_failed_is_part_of_the_cost(simulator):
    """cost-04-every-attempt-is-paid: with a fallback"""
    simulator.script([used("not json", 100, 100)], model="gpt-5-mini")
    simulator.script([used({"label": "a"}, 1000, 100)], model="other")
    fallback = Model("openai:other", base_url=simulator.base_url("openai"))
    dag = Dag(
        "case",
        model=Model("openai:gpt-5-mini", base_url=simulator.base_url("openai"), attempts=1, fallbacks=[fallback]),
        prices={"openai:gpt-5-mini": PRICE, "openai:other": Price(input=1, output=1)},
    )
    dag.dimension(lambda item: "?", output=Answer, name="analyze")
    result = walked(dag, Item("r1", "x"))["r1"]["analyze"]
    assert result.model == "openai:other"
    assert result.cost_nano_usd == 225_000 + 1_100_000


def test_a_model_without_a_price_costs_null_and_the_total_says_that_it_is_incomplete(simulator):
    """cost-03-unknown-model"""
    simulator.script([used({"label": "a"}, 1000, 100)])
    models = {
        "a": Model("openai:house-model-7b", base_url=simulator.base_url("openai")),
        "b": Model("openai:gpt-5-mini", base_url=simulator.base_url("openai")),
    }
    dag = Dag("case", prices={"openai:gpt-5-mini": PRICE})

    @dag.dimension(output=Answer, model=lambda item: models[item.metadata["model"]])
    def analyze(item):
        return f"Analyse: {item.content}"

    source = [{"id": str(n), "content": f"Text {n}", "model": "a" if n <= 2 else "b"} for n in range(1, 5)]
    report = dag.run(source, store=False, clock=FakeClock(), progress=False)
    costs = {row.item.id: row.results["analyze"].cost_nano_usd for row in report.items}
    assert costs == {"1": None, "2": None, "3": 450_000, "4": 450_000}
    assert report.failures == []
    told = repr(report)
    assert "0.000900" in told
    assert "house-model-7b" in told


def test_one_attempt_without_a_price_makes_the_sum_unknown(simulator):
    """cost-03-unknown-model: a priced model that failed before an unpriced one answered"""
    simulator.script([used("not json", 100, 100)], model="gpt-5-mini")
    simulator.script([used({"label": "a"}, 1000, 100)], model="house-model-7b")
    fallback = Model("openai:house-model-7b", base_url=simulator.base_url("openai"))
    dag = make_dag(simulator, attempts=1, fallbacks=[fallback])
    result = walked(dag, Item("r1", "x"))["r1"]["analyze"]
    assert [attempt.cost_nano_usd for attempt in result.attempts] == [225_000, None]
    assert result.cost_nano_usd is None
