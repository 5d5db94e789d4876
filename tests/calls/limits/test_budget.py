"""Money that may be spent."""

from __future__ import annotations

import pytest

from beam_llmdag import Dag, GraphError, Model, Price, Usage
from beam_llmdag.model import Answer
from beam_llmdag.testing import ScriptedProvider

MILLION = Usage(input_tokens=1_000_000)


def dollar_dag(price: Price | None) -> tuple[Dag, ScriptedProvider]:
    """A dag whose calls cost a dollar each, one after the other."""
    provider = ScriptedProvider([Answer(text="fine", usage=MILLION)])
    prices = {} if price is None else {"scripted:any": price}
    dag = Dag("paid", model=Model("scripted:any", max_in_flight=1), providers={"scripted": provider}, prices=prices)
    dag.dimension(lambda item: item.content, name="said")
    return dag, provider


def test_no_call_is_made_when_the_budget_is_spent() -> None:
    dag, provider = dollar_dag(Price(input=1, output=1))
    report = dag.run([str(number) for number in range(5)], store=False, budget_usd=2.0)
    assert len(provider.requests) == 2
    assert sorted(row.results["said"].status for row in report.items) == ["failed"] * 3 + ["ok"] * 2
    assert {failure.error_class for failure in report.failures} == {"over_budget"}
    assert "budget of $2" in report.failures[0].message


def test_answers_from_the_store_cost_nothing_of_a_budget(tmp_path) -> None:
    dag, provider = dollar_dag(Price(input=1, output=1))
    store = tmp_path / "answers.sqlite"
    dag.run(["a", "b", "c"], store=store)
    assert dag.run(["a", "b", "c"], store=store, budget_usd=0.5).failures == []
    assert len(provider.requests) == 3


def test_a_budget_with_a_model_that_has_no_price_is_refused_before_any_call() -> None:
    """Case cost-03, with a budget."""
    dag, provider = dollar_dag(None)
    with pytest.raises(GraphError, match=r"'said'.*'scripted:any', which has no known price"):
        dag.run(["a"], store=False, budget_usd=2.0)
    assert provider.requests == []


def test_a_budget_is_positive() -> None:
    dag, _ = dollar_dag(Price(input=1, output=1))
    with pytest.raises(GraphError, match="budget_usd must be positive, not 0"):
        dag.run(["a"], store=False, budget_usd=0)
