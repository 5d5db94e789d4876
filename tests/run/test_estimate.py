"""`dag.estimate`: what a run will cost, from a sample that runs for real, or within bounds from no call at all."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from helpers.dags import prompt_of

from beam_llmdag import Dag, GraphError, Item, Model, Price, read_items
from beam_llmdag.model import Answer, Request
from beam_llmdag.testing import ScriptedProvider, Simulator
from beam_llmdag.usage import Usage

PRICES = {"scripted:x": Price(input=1, output=5)}
WORDS = ["quick", "quiet", "it leaks", "arrived late", "easy to clean", "the handle broke after a week"]


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "answers.sqlite")


def reviews(count: int, seed: int = 0) -> list[Item]:
    """Texts as long as people write them: most short, some long."""
    rng = random.Random(seed)
    return [
        Item(str(n), f"{n}: " + " ".join(rng.choices(WORDS, k=max(3, round(rng.lognormvariate(3, 0.8))))))
        for n in range(count)
    ]


def answer(request: Request, *, bad: float = 0.0) -> Answer:
    """An answer as long as its prompt says by chance; some are no good the first time they are asked for."""
    prompt = prompt_of(request)
    rng = random.Random(prompt + str(len(request.messages)))
    usage = Usage(input_tokens=len(prompt) // 4, output_tokens=max(1, round(rng.lognormvariate(4, 0.4))))
    text = "no json" if len(request.messages) == 1 and rng.random() < bad else '{"label": "a"}'
    return Answer(text=text, usage=usage)


def make_dag(*, bad: float = 0.0, **model: Any) -> tuple[Dag, ScriptedProvider]:
    provider = ScriptedProvider(lambda request: answer(request, bad=bad))
    known = Model("scripted:x", **model)
    dag = Dag("d", model=known, providers={"scripted": provider}, prices=PRICES)
    schema = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}

    @dag.dimension(output=schema)
    def spam(item: Item) -> str:
        return f"Is this spam?\n{item.content}"

    @dag.dimension(output=schema, skip_if=lambda item: len(item.content) % 4 == 0)
    def summary(item: Item, spam: dict[str, str]) -> str:
        return f"Sum up what is {spam['label']}.\n{item.content}"

    return dag, provider


def paid(report: Any) -> int:
    return sum(cost.attempt.cost_nano_usd for cost in report.costs)


def test_estimates_of_20_items_are_near_what_the_run_costs_whatever_the_seed(tmp_path):
    items = reviews(600)
    near = inside = 0
    off = []
    dag, _ = make_dag(bad=0.2)
    actual = paid(dag.run(items, store=False))
    for seed in range(30):
        estimate = dag.estimate(items, seed=seed, store=str(tmp_path / f"{seed}.sqlite"))
        off.append(estimate.nano_usd.value / actual - 1)
        near += abs(off[-1]) <= 0.2
        inside += estimate.nano_usd.low <= actual <= estimate.nano_usd.high
    assert near >= 29
    assert inside >= 26
    assert abs(sum(off) / len(off)) < 0.04


def test_the_answers_of_the_sample_are_kept_and_the_run_pays_what_is_left(store):
    items = reviews(100)
    dag, provider = make_dag()
    estimate = dag.estimate(items, sample=10, store=store)
    asked = len(provider.requests)
    report = dag.run(items, store=store)
    everything = paid(dag.run(items, store=False))
    assert (estimate.sample, estimate.items, estimate.asked_items) == (10, 100, 100)
    assert estimate.paid_nano_usd + paid(report) == everything
    assert estimate.to_pay_usd == pytest.approx(paid(report) / 1e9, rel=0.2)
    assert 10 <= asked <= 20


def test_an_estimate_that_is_made_again_asks_nothing_and_says_the_same(store):
    dag, provider = make_dag(bad=0.3)
    first = dag.estimate(reviews(100), store=store)
    asked = len(provider.requests)
    again = dag.estimate(reviews(100), store=store)
    assert len(provider.requests) == asked
    assert (again.nano_usd, again.paid_nano_usd) == (first.nano_usd, first.paid_nano_usd)


def test_what_a_run_has_paid_before_counts_for_nothing(store):
    items = reviews(200)
    dag, _ = make_dag()
    everything = dag.run(items, store=store)
    assert dag.estimate(items, store=store).usd == 0
    assert paid(everything) > 0


def test_a_sample_of_all_is_exact(store):
    items = reviews(30)
    dag, _ = make_dag(bad=0.3)
    estimate = dag.estimate(items, sample=100, store=store)
    actual = paid(dag.run(items, store=False))
    assert estimate.nano_usd == (actual, actual, actual)
    assert estimate.to_pay_usd == 0


@pytest.mark.parametrize(("kept", "asked"), [(True, 50), (False, 100)])
def test_items_that_ask_the_same_are_asked_once_where_answers_are_kept(store, kept, asked):
    items = [Item(str(n), f"text {n % 50}") for n in range(100)]
    dag, _ = make_dag()
    estimate = dag.estimate(items, store=store if kept else False)
    assert (estimate.items, estimate.asked_items) == (100, asked)
    assert estimate.lines[0].calls == pytest.approx(asked)
    assert ("50 of 100 items ask what another asks" in repr(estimate)) is kept


def test_calls_that_are_asked_again_and_skipped_ones_count_as_in_the_sample(store):
    items = reviews(60)
    dag, provider = make_dag(bad=0.5)
    estimate = dag.estimate(items, sample=60, store=store)
    calls = {line.dimension: line.calls for line in estimate.lines}
    assert sum(calls.values()) == len(provider.requests)
    assert calls["spam"] > 60 > calls["summary"] / 1.5


def test_without_a_sample_nothing_is_asked_and_first_prompts_are_known(store):
    items = reviews(50)
    dag, provider = make_dag(max_tokens=100)
    estimate = dag.estimate(items, sample=0, store=store)
    actual = paid(dag.run(items, store=False))
    assert len(provider.requests) < 101  # those of the run itself
    spam, summary = estimate.lines
    assert (spam.calls, summary.calls) == (50, 50)
    assert spam.input_tokens == sum((len(f"Is this spam?\n{item.content}".encode())) // 3 for item in items)
    assert (spam.basis, summary.basis, estimate.seconds) == ("bound", "bound", None)
    assert estimate.nano_usd.low == 0
    assert actual <= estimate.nano_usd.high
    assert "nothing was asked" in repr(estimate)


def test_a_global_is_scaled_with_the_rows_that_it_reads_and_says_that_this_is_rough(store):
    dag, _ = make_dag()

    @dag.dimension(scope="global")
    def themes(items: list[Item], spam: list[dict[str, str]]) -> str:
        return "Themes?\n" + "\n".join(item.content for item in items)

    items = reviews(100)
    estimate = dag.estimate(items, sample=20, store=store)
    [line] = [line for line in estimate.lines if line.dimension == "themes"]
    [actual] = [cost.attempt for cost in dag.run(items, store=False).costs if cost.dimension == "themes"]
    assert (line.basis, line.calls) == ("scaled", 1)
    assert line.input_tokens == pytest.approx(actual.usage.input_tokens, rel=0.3)
    assert line.nano_usd.low <= actual.cost_nano_usd <= line.nano_usd.high
    assert "roughly (~)" in repr(estimate)


def test_a_model_without_a_price_makes_the_estimate_a_lower_bound(store):
    provider = ScriptedProvider(["fine"])
    dag = Dag("d", model="scripted:unknown", providers={"scripted": provider})

    @dag.dimension()
    def mood(item: Item) -> str:
        return f"Mood of {item.content}?"

    estimate = dag.estimate(reviews(50), store=store)
    assert (estimate.is_complete, estimate.lines[0].nano_usd) == (False, None)
    assert "lower bound" in repr(estimate)


def test_the_time_is_that_of_the_tightest_limit(store):
    dag, _ = make_dag(requests_per_minute=60_000)
    slow = dag.estimate(reviews(100), store=store)
    calls = sum(line.calls for line in slow.lines)
    assert slow.seconds == pytest.approx(calls / 1000, rel=0.5, abs=0.05)


def test_no_items_cost_nothing_and_a_negative_sample_is_an_error(store):
    dag, _ = make_dag()
    assert dag.estimate([], store=store).usd == 0
    with pytest.raises(GraphError, match="sample must be 0 or more, not -1"):
        dag.estimate(reviews(3), sample=-1, store=store)


def test_records_of_files_that_are_no_items_are_left_out(tmp_path, store):
    file = tmp_path / "in.jsonl"
    file.write_text('{"id": "1", "content": "good"}\nno json\n{"id": "2", "content": "bad"}\n', encoding="utf-8")
    dag, _ = make_dag()
    assert dag.estimate(read_items(str(file)), store=store).items == 2


def test_its_text_is_a_table_with_dollars_and_what_is_left_to_pay(store):
    dag, _ = make_dag()
    lines = repr(dag.estimate(reviews(100), store=store)).splitlines()
    assert lines[0].split() == ["model", "calls", "tokens", "in", "tokens", "out", "cost", "$", "95", "%"]
    assert [line.split()[0] for line in (*lines[2:4], lines[5])] == ["spam", "summary", "total"]
    assert lines[6].startswith("20 of 100 items were analysed for it, for $0.0")
    assert "still to pay: $0.0" in lines[6]


def test_an_estimate_says_what_batches_would_cost_and_how_many_rounds_they_take(tmp_path: Path) -> None:
    with Simulator(lambda _: "a word") as simulator:
        cheap = Model("anthropic:cheap", base_url=simulator.base_url("anthropic"), api_key_env="PATH", max_tokens=50)
        price = Price(input=1, output=5)
        dag = Dag("batched", model=cheap, prices={"cheap": price, "scripted:m": price})

        @dag.dimension
        def first(item: Item) -> str:
            return f"first {item.content}"

        @dag.dimension
        def second(item: Item, first: str) -> str:
            return f"second {first}"

        items = [f"text {number}" for number in range(50)]
        estimate = dag.estimate(items, sample=10, store=str(tmp_path / "s.sqlite"), lane="batch")
        assert {request.lane for request in simulator.requests} == {"direct"}
        paid = estimate.paid_nano_usd
        report = dag.run(items, store=str(tmp_path / "s.sqlite"), lane="batch")
    assert (estimate.rounds, estimate.batched) == (2, {"anthropic:cheap"})
    assert estimate.batch_to_pay_usd == pytest.approx(estimate.to_pay_usd / 2)
    assert "in batches: $0.00" in repr(estimate)
    assert "a day for each of 2 rounds" in repr(estimate)
    assert paid > 0
    assert report.summary.total.cost_nano_usd == pytest.approx(estimate.batch_to_pay_usd * 1e9, rel=0.2)
