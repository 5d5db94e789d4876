"""Beam's counters and distributions under `llmdag/<dimension>`, with exact numbers."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from beam_llmdag import CallError, Dag, Item, Model, Price, RetryPolicy, Usage
from beam_llmdag.model import Answer, Request
from beam_llmdag.testing import FakeClock, ScriptedProvider


def dag_with(answers: Any, output: Any = str, **options: Any) -> Dag:
    provider = ScriptedProvider(answers)
    prices = {"scripted:m": Price(input=0.25, output=2.0, cache_read=0.025)}
    dag = Dag("metrics", model="scripted:m", providers={"scripted": provider}, prices=prices)

    @dag.dimension(output=output, **options)
    def analyze(item: Item) -> str:
        return f"analyze {item.id}"

    return dag


def answer(text: str, input_tokens: int, output_tokens: int, **usage: int) -> Answer:
    return Answer(text=text, usage=Usage(input_tokens=input_tokens, output_tokens=output_tokens, **usage))


ONE = [{"id": "1", "content": "x"}]


def test_two_overloads_and_an_answer_are_three_calls_two_retries_and_no_failure(run: Any) -> None:
    """Case errors-06: the counters."""
    overloaded = CallError("overloaded", "Overloaded", http_status=529)
    dag = dag_with([overloaded, overloaded, answer("a", 10, 5)])
    outcome = run(dag, ONE, clock=FakeClock(), retry=RetryPolicy())
    counters = outcome.counters["analyze"]
    assert (counters["calls"], counters["retries"], counters.get("failures", 0)) == (3, 2, 0)
    assert [attempt.error_class for attempt in outcome.items[0].results["analyze"].attempts] == [
        "overloaded",
        "overloaded",
        None,
    ]


def test_the_cost_of_rejected_answers_is_the_same_in_the_row_the_bill_and_the_counter(run: Any) -> None:
    """Case cost-04: where."""
    answers = [answer('{"label": "c"}', 200, 50), answer("not json", 260, 40), answer('"a"', 300, 10)]
    dag = dag_with(answers, Literal["a", "b"], attempts=3)
    outcome = run(dag, ONE, clock=FakeClock())
    [row] = outcome.items
    assert row.results["analyze"].data == "a"
    assert row.results["analyze"].cost_nano_usd == 390_000
    assert sum(cost.attempt.cost_nano_usd for cost in outcome.costs) == 390_000
    assert outcome.counters["analyze"]["cost_nano_usd"] == 390_000
    assert (outcome.counters["analyze"]["input_tokens"], outcome.counters["analyze"]["output_tokens"]) == (760, 100)


def test_every_counter_has_its_exact_number_in_both_plans(run: Any) -> None:
    def answers(request: Request) -> Any:
        if request.messages[0].content == "analyze 2":
            return CallError("refused", "no")
        return answer(
            "fine", 100, 20, cache_read_tokens=40, cache_write_tokens=7, cache_write_1h_tokens=3, reasoning_tokens=5
        )

    dag = dag_with(answers, skip_if=lambda item: item.id == "3")
    outcome = run.both(dag, [{"id": str(number), "content": "x"} for number in range(1, 5)])
    assert outcome.counters["analyze"] == {
        "results": 4,
        "calls": 3,
        "failures": 1,
        "skips": 1,
        "input_tokens": 200,
        "output_tokens": 40,
        "cache_read_tokens": 80,
        "cache_write_tokens": 14,
        "cache_write_1h_tokens": 6,
        "reasoning_tokens": 10,
        "cost_nano_usd": 2 * (53 * 250 + 40 * 25 + 7 * 250 + 20 * 2000),
        "unpriced_calls": 1,
    }


def test_latency_and_waiting_are_distributions_over_calls(run: Any, plan: str) -> None:
    provider = ScriptedProvider(["fine"], latency_seconds=0.05, default_in_flight=1)
    dag = Dag("metrics", model="scripted:m", providers={"scripted": provider})

    @dag.dimension
    def analyze(item: Item) -> str:
        return "x"

    outcome = run(dag, [{"id": str(number), "content": "x"} for number in range(3)], plan=plan)
    latency, waiting = (outcome.distributions["analyze"][name] for name in ("latency_ms", "waiting_ms"))
    assert (latency.count, waiting.count) == (3, 3)
    assert latency.min >= 50
    assert waiting.max >= 50  # the last waited for another at least


def test_a_fallback_and_a_store_hit_are_counted(run: Any, plan: str, tmp_path: Any) -> None:
    dag = dag_with(
        lambda request: CallError("refused", "no") if "1" in str(request.messages) else "fine", on_failure="?"
    )
    items = [{"id": "1", "content": "x"}, {"id": "2", "content": "x"}]
    first = run(dag, items, plan=plan, store=tmp_path / "answers.sqlite")
    second = run(dag, items, plan=plan, store=tmp_path / "answers.sqlite")
    assert (first.counters["analyze"]["fallbacks"], first.counters["analyze"].get("store_hits", 0)) == (1, 0)
    assert (second.counters["analyze"]["calls"], second.counters["analyze"]["store_hits"]) == (1, 1)


def test_calls_without_a_price_are_counted_as_such_and_cost_is_not_zero_but_absent(run: Any) -> None:
    provider = ScriptedProvider(["fine"])
    dag = Dag("metrics", model="scripted:unheard-of", providers={"scripted": provider})

    @dag.dimension
    def analyze(item: Item) -> str:
        return "x"

    outcome = run(dag, ONE)
    assert outcome.counters["analyze"]["unpriced_calls"] == 1
    assert "cost_nano_usd" not in outcome.counters["analyze"]


@pytest.mark.parametrize("used", [Usage(input_tokens=3), None])
def test_usage_that_nobody_knows_is_unpriced(run: Any, used: Usage | None) -> None:
    dag = dag_with([CallError("timeout", "late", usage=used)], attempts=1)
    outcome = run(dag, ONE)
    assert outcome.counters["analyze"].get("unpriced_calls", 0) == (1 if used is None else 0)


def test_time_that_limits_took_is_reported_to_the_runner(run: Any, plan: str) -> None:
    """11 requests at 6 a minute: 100 seconds of a clock that does not wait."""
    dag = dag_with([answer("a", 10, 5)], model=Model("scripted:m", requests_per_minute=6))
    outcome = run(dag, [{"id": str(n), "content": "x"} for n in range(11)], plan=plan, clock=FakeClock(), store=False)
    assert outcome.counters[""] == {"cumulativeThrottlingSeconds": 100}
    assert outcome.distributions["analyze"]["waiting_ms"].max >= 10_000  # one at least waited for the next in line


def test_a_run_that_no_limit_held_back_reports_none(run: Any, plan: str) -> None:
    outcome = run(dag_with([answer("a", 10, 5)]), ONE, plan=plan, clock=FakeClock())
    assert "" not in outcome.counters
