"""Money that may be spent."""

from __future__ import annotations

import asyncio
import random

import pytest
from helpers.calls import classes, eventually, make_caller, question

from beam_llmdag import CallError, Dag, GraphError, Model, Price, Report, Usage
from beam_llmdag.calls.limits.budget import ProcessBudget, Spender
from beam_llmdag.model import Answer, Request
from beam_llmdag.testing import ScriptedProvider

SPENDER = Spender("said", Model("scripted:any"))
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


def run_with_answers(answer: Answer | CallError, items: int, budget_usd: float, max_tokens: int) -> tuple[Report, int]:
    """A run of calls that write 10 tokens for a dollar, all in flight at once; with the number of calls."""
    provider = ScriptedProvider([answer], latency_seconds=0.01)
    dag = Dag(
        "paid",
        model=Model("scripted:any", max_in_flight=100, max_tokens=max_tokens, attempts=1),
        providers={"scripted": provider},
        prices={"scripted:any": Price(input=0, output=100_000)},
    )
    dag.dimension(lambda item: item.content, name="said")
    report = dag.run([str(number) for number in range(items)], store=False, budget_usd=budget_usd)
    return report, len(provider.requests)


@pytest.mark.parametrize(
    "answer",
    [Answer(text="fine", usage=Usage(output_tokens=10)), Answer(text="fine"), CallError("timeout", "no answer")],
    ids=["known cost", "no usage", "timeout"],
)
def test_calls_in_flight_do_not_go_beyond_a_budget(answer: Answer | CallError) -> None:
    report, calls = run_with_answers(answer, items=100, budget_usd=30.0, max_tokens=10)
    assert calls == 30
    assert sum(failure.error_class == "over_budget" for failure in report.failures) == 70


@pytest.mark.parametrize("in_flight", [20, 100, 1000])
@pytest.mark.parametrize("limit", [200, None], ids=["max_tokens", "no limit"])
def test_no_bill_is_above_its_budget_however_many_calls_are_in_flight(in_flight: int, limit: int | None) -> None:
    """Answers are as long as they may be, or as a hundredth of that."""
    bill = 0

    def answer(request: Request) -> Answer:
        nonlocal bill
        written = random.Random(str(request.messages)).randint(2, 200)
        bill += 10 + 5 * written
        return Answer(text="fine", usage=Usage(input_tokens=10, output_tokens=written))

    provider = ScriptedProvider(answer, latency_seconds=0.01)
    model = Model("scripted:any", max_in_flight=in_flight, max_tokens=limit)
    dag = Dag("paid", model=model, providers={"scripted": provider}, prices={"scripted:any": Price(input=1, output=5)})
    dag.dimension(lambda item: f"What do you say of {item.content}?", name="said")
    report = dag.run([str(number) for number in range(2000)], store=False, budget_usd=0.3)
    assert 0.95 * 300_000 < bill <= 300_000  # micro-dollars
    assert {failure.error_class for failure in report.failures} == {"over_budget"}


def test_a_call_that_may_cost_more_than_is_left_is_not_made_and_says_what_to_do() -> None:
    report, calls = run_with_answers(Answer(text="fine", usage=Usage(output_tokens=10)), 3, 99.0, max_tokens=1_000)
    assert calls == 0
    assert report.failures[0].message.endswith(
        "$99.000000 of the budget of $99 of this process is left, and a call may cost $100.000000: "
        "raise budget_usd, or lower max_tokens"
    )


def test_the_limit_that_a_provider_sets_by_itself_is_what_a_call_may_cost() -> None:
    provider = ScriptedProvider([Answer(text="fine", usage=Usage(output_tokens=10))])
    provider.default_max_tokens = 1_000  # type: ignore[attr-defined]
    dag = Dag(
        "paid",
        model="scripted:any",
        providers={"scripted": provider},
        prices={"scripted:any": Price(input=0, output=1_000)},
    )
    dag.dimension(lambda item: item.content, name="said")
    assert dag.run(["x"], store=False, budget_usd=0.9).failures[0].error_class == "over_budget"
    assert dag.run(["x"], store=False, budget_usd=1.1).failures == []


def test_calls_wait_while_all_money_is_set_aside_for_those_that_turn_out_to_cost_less() -> None:
    answer = Answer(text="fine", usage=Usage(output_tokens=10))
    report, calls = run_with_answers(answer, items=20, budget_usd=120.0, max_tokens=1_000)
    assert (report.failures, calls) == ([], 20)


def test_a_cancelled_call_may_have_been_paid_for() -> None:
    async def after_a_cancelled_call() -> list[str | None]:
        provider = ScriptedProvider([{"label": "a"}], latency_seconds=lambda _: 0.0 if provider.cancelled else 60.0)
        prices = {"scripted:a": Price(input=0, output=100_000)}
        caller = make_caller({"scripted": provider}, prices=prices, budget=ProcessBudget(1.0))
        model = Model("scripted:a", max_tokens=10)
        first = asyncio.create_task(caller.ask(question("1", model=model)))
        await eventually(lambda: provider.in_flight == 1)
        first.cancel()
        await asyncio.wait([first])
        return classes(await caller.ask(question("2", model=model)))

    assert asyncio.run(after_a_cancelled_call()) == ["over_budget"]


def test_who_waits_for_money_and_is_cancelled_takes_none() -> None:
    async def taken() -> list[int | CallError]:
        budget = ProcessBudget(2e-9)
        first = await budget.reserve(lambda: 2, SPENDER)
        waiting = [asyncio.create_task(budget.reserve(lambda: 1, SPENDER)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        budget.settle(2, 0, SPENDER)
        waiting[1].cancel()
        await asyncio.wait(waiting)
        return [first, await waiting[2], await budget.reserve(lambda: 1, SPENDER)]

    assert asyncio.run(taken()) == [2, 1, 1]


def two_dimensions(**options: object) -> tuple[Dag, ScriptedProvider]:
    """Calls of a dollar each, of two dimensions; the options are of the second one."""
    provider = ScriptedProvider([Answer(text="fine", usage=MILLION)])
    prices = {"scripted:any": Price(input=1, output=1), "scripted:other": Price(input=1, output=1)}
    model = Model("scripted:any", max_in_flight=1)
    dag = Dag("paid", model=model, providers={"scripted": provider}, prices=prices)
    dag.dimension(lambda item: f"free {item.content}", name="free")
    dag.dimension(lambda item: f"dear {item.content}", name="dear", **options)
    return dag, provider


TEXTS = [str(number) for number in range(5)]


def answered(report: Report, dimension: str) -> int:
    return sum(row.results[dimension].status == "ok" for row in report.items)


def test_a_budget_of_a_dimension_ends_its_calls_and_no_others(tmp_path) -> None:
    dag, _ = two_dimensions(budget_usd=2.0)
    for store in (False, tmp_path / "answers.sqlite"):
        report = dag.run(TEXTS, store=store)
        assert (answered(report, "free"), answered(report, "dear")) == (5, 2)
        assert "of $2 of dimension 'dear'" in report.failures[0].message
        assert {failure.error_class for failure in report.failures} == {"over_budget"}


def test_a_budget_of_a_model_ends_calls_to_it_and_no_others() -> None:
    dag, provider = two_dimensions(model=Model("scripted:other", max_in_flight=1, budget_usd=3.0))
    report = dag.run(TEXTS, store=False)
    assert (answered(report, "free"), answered(report, "dear")) == (5, 3)
    assert "of $3 of model 'scripted:other'" in report.failures[0].message
    assert len(provider.requests) == 8


def test_a_call_must_fit_in_the_budgets_of_run_dimension_and_model() -> None:
    for of_run, of_dimension, of_model, calls in ((4.0, 2.0, 9.0, 4), (9.0, 9.0, 1.0, 6), (9.0, 3.0, 2.0, 7)):
        dag, provider = two_dimensions(
            budget_usd=of_dimension, model=Model("scripted:other", max_in_flight=1, budget_usd=of_model)
        )
        dag.run(TEXTS, store=False, budget_usd=of_run)
        assert len(provider.requests) <= calls
        dear = [request for request in provider.requests if "dear" in str(request.messages[0].content)]
        assert len(dear) <= min(of_dimension, of_model)


def test_a_budget_of_a_dimension_goes_on_when_its_run_does(tmp_path) -> None:
    dag, provider = two_dimensions(budget_usd=2.0)
    for _ in range(2):
        dag.run(TEXTS, store=tmp_path / "answers.sqlite", run_id="r")
    assert len([r for r in provider.requests if "dear" in str(r.messages[0].content)]) == 2


def test_a_budget_must_be_positive_and_every_model_under_it_have_a_price() -> None:
    with pytest.raises(GraphError, match="dimension 'dear': budget_usd must be positive, not 0"):
        two_dimensions(budget_usd=0.0)
    with pytest.raises(GraphError, match="budget_usd must be positive, not -1"):
        Model("scripted:any", budget_usd=-1)
    dag, _ = two_dimensions(budget_usd=1.0, model="scripted:unpriced")
    with pytest.raises(GraphError, match=r"'dear'.*'scripted:unpriced', which has no known price"):
        dag.run(["a"], store=False)
