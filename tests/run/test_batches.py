"""Runs whose calls go in batches: rounds, what waits, what is paid, and what a crash may leave behind."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import apache_beam as beam
import pytest
from helpers.batched import BatchedProvider
from pydantic import BaseModel

from beam_llmdag import Dag, GraphError, LLMDag, LLMDagError, Model, Price, Rounds
from beam_llmdag.calls.store.documents import open_documents
from beam_llmdag.calls.store.ledger import read_totals
from beam_llmdag.errors import CallError
from beam_llmdag.providers.batch.base import BatchLimits, BatchReply
from beam_llmdag.testing import FakeClock, ScriptedProvider

ITEMS = [{"id": str(number), "content": f"text {number}"} for number in range(5)]
PRICES = {"batched:m": Price(input=1, output=1), "other:m": Price(input=1, output=1)}


class Label(BaseModel):
    label: str


def chain(provider: BatchedProvider, **options: Any) -> Dag:
    """Two dimensions of which one needs the other, a global, one per group, and a regroup with one over it."""
    dag = Dag("chain", model="batched:m", providers={"batched": provider, "other": provider}, prices=PRICES, **options)

    @dag.dimension(output=Label)
    def first(item):
        return f"first {item.content}"

    @dag.dimension(output=Label)
    def second(item, first):
        return f"second of {first.label}"

    @dag.dimension(output=Label, scope="global")
    def overall(items, second):
        return "overall " + ", ".join(answer.label for answer in second)

    @dag.dimension(output=Label, scope="global", per=lambda first: first.label[-1] in "01")
    def per_group(items, second):
        return "group of " + ", ".join(item.id for item in items)

    @dag.regroup
    def halves(items, overall):
        return {"low": ["0", "1"], "high": ["2", "3", "4"]}

    @dag.dimension(output=Label, over=halves)
    def of_half(item):
        return f"half {item.id}"

    @dag.dimension(output=Label, scope="global", over=halves)
    def of_halves(items, of_half):
        return f"all {len(items)} halves"

    return dag


def answers(made: Any) -> Any:
    """All that is said, but for prices."""

    def unpriced(result: Any) -> Any:
        return replace(result, attempts=tuple(replace(attempt, cost_nano_usd=None) for attempt in result.attempts))

    rows = [*made.items, *(row for rows in made.regrouped.values() for row in rows)]
    results = [unpriced(result) for row in rows for result in row.results.values()]
    return results, [unpriced(result) for result in made.globals], made.failures


def cost(made: Any) -> int:
    return sum(row.attempt.cost_nano_usd for row in made.costs)


def test_a_run_in_batches_says_what_one_without_says_at_half_the_price(run, store, engine):
    provider = BatchedProvider()
    direct = run(chain(provider), ITEMS, plan=engine, store=False)
    made = in_rounds(run, chain(provider), store, engine)
    assert answers(made) == answers(direct)
    assert (len(made.costs), 2 * cost(made)) == (len(direct.costs), cost(direct))


def in_rounds(run: Any, dag: Dag, store: str, engine: str, **options: Any) -> Any:
    """The last round of a run in batches."""
    if engine == "local":
        return run(dag, ITEMS, plan="local", store=store, lane="batch", **options)
    rounds = Rounds(store, name=dag.name, providers=dag.providers)
    while True:
        made = run(dag, ITEMS, plan=engine, store=store, run_id=rounds.run_id, lane="batch", **options)
        if rounds.next() == "done":
            return made


def test_what_is_asked_again_was_in_the_store_for_nothing(store):
    provider = BatchedProvider()
    chain(provider).run(ITEMS, lane="batch", store=store)
    sent = len(provider.lines)
    again = chain(provider).run(ITEMS, lane="batch", store=store)
    assert (len(provider.lines), again.costs, again.summary.total.store_hits) == (sent, [], sent)


def test_the_bill_the_ledger_and_the_requests_agree(store):
    provider = BatchedProvider()
    report = chain(provider).run(ITEMS, lane="batch", store=store)
    [total] = read_totals(store)
    assert (total.calls, total.cost_nano_usd) == (len(provider.lines), cost(report))
    assert len(report.costs) == len(provider.lines)


def test_a_first_round_goes_as_far_as_it_can_and_the_rest_is_pending(run, store, engine):
    provider = BatchedProvider()
    provider.ends = False
    dag = chain(provider)
    options = {"wait": False} if engine == "local" else {}
    made = run(dag, ITEMS, plan=engine, store=store, lane="batch", run_id="r", **options)
    assert {result.status for row in made.items for result in row.results.values()} == {"pending"}
    assert {result.status for result in made.globals} == {"pending"}
    assert (made.failures, made.costs, provider.requests) == ([], [], [])
    reasons = {name: result.reason for name, result in made.items[0].results.items()}
    assert reasons == {"first": "its answer waits for a batch", "second": "needs 'first', which waits for a batch"}
    with open_documents(store) as documents:
        entered = documents.keys("pending")
    assert len(entered) == len(ITEMS)


def test_without_waiting_a_run_ends_pending_and_the_same_call_goes_on(store):
    provider = BatchedProvider()
    provider.ends = False
    first = chain(provider).run(ITEMS, lane="batch", store=store, wait=False)
    assert (first.summary.total.pending, len(provider.sent)) == (14, 1)
    again = chain(provider).run(ITEMS, lane="batch", store=store, wait=False)
    assert (again.summary.total.pending, len(provider.sent)) == (14, 1)
    provider.end_all()
    last = chain(provider).run(ITEMS, lane="batch", store=store)
    assert last.summary.total.pending == 0
    assert answers(last) == answers(chain(provider).run(ITEMS, store=False))
    assert len(last.costs) == len(provider.lines)


def test_a_batch_is_no_larger_than_the_vendor_takes(store):
    provider = BatchedProvider(limits=BatchLimits(2, 10**6))
    chain(provider).run(ITEMS, lane="batch", store=store)
    assert [len(batch) for batch in provider.sent[:3]] == [2, 2, 1]
    provider = BatchedProvider(limits=BatchLimits(1000, 100))
    Dag.run(simple(provider), ITEMS, lane="batch", store=store)
    assert all(sum(len(line.body) for line in batch) <= 100 for batch in provider.sent)


def simple(provider: BatchedProvider, **options: Any) -> Dag:
    dag = Dag("simple", model=Model("batched:m", attempts=3), providers={"batched": provider}, prices=PRICES)

    @dag.dimension(output=Label, **options)
    def label(item):
        return item.content

    return dag


def test_custom_ids_fit_every_vendor_and_are_the_same_when_a_batch_is_sent_again(store):
    provider = BatchedProvider()

    def fails() -> None:
        raise CallError("overloaded", "not now", http_status=529)

    provider.on_create = (fails, lambda: None)
    odd = [
        {"id": name, "content": name} for name in ("a/b#1", "é", "x" * 70 + "1", "x" * 70 + "2", "a b", "a-b", "A-B")
    ]
    with pytest.raises(LLMDagError, match="not now"):
        simple(provider).run(odd, lane="batch", store=store, wait=False)
    with open_documents(store) as documents:
        entered = documents.keys("pending")
    provider.on_create = (lambda: None, lambda: None)
    report = simple(provider).run(odd, lane="batch", store=store)
    ids = {line.custom_id for line in provider.lines}
    assert ids == entered
    assert len(ids) == 7
    assert all(len(name) <= 64 and name.isascii() and name.isalnum() for name in ids)
    assert [row.item.id for row in report.items] == [record["id"] for record in odd]
    assert [row.results["label"].data["label"] for row in report.items] == [record["content"] for record in odd]


def test_a_bad_answer_is_asked_again_in_the_next_batch_with_what_was_wrong(store):
    def says(prompt: str) -> Any:
        return {"label": "good"} if "does not fit" in prompt or "text 1" not in prompt else {"wrong": 1}

    provider = BatchedProvider(says)
    report = simple(provider).run(ITEMS, lane="batch", store=store)
    result = report.items[1].results["label"]
    assert (result.data, [attempt.error_class for attempt in result.attempts]) == (
        {"label": "good"},
        ["invalid_answer", None],
    )
    assert [len(batch) for batch in provider.sent] == [5, 1]
    assert "does not fit" in json.loads(provider.lines[-1].body)["prompt"]
    assert len(report.costs) == 6
    assert read_totals(store)[0].calls == 6


def test_an_answer_that_stays_bad_fails_after_as_many_tries_as_without_batches(store):
    provider = BatchedProvider(lambda prompt: {"wrong": 1})
    report = simple(provider).run(ITEMS[:1], lane="batch", store=store)
    [failure] = report.failures
    assert (failure.error_class, len(failure.attempts), len(provider.sent)) == ("invalid_answer", 3, 3)


def test_what_expired_is_asked_again_and_what_was_answered_is_not(store):
    provider = BatchedProvider()
    luck = iter([BatchReply(0, None), BatchReply(200, {"prompt": "text 2"})])
    provider.said["text 2"] = lambda: next(luck)
    report = simple(provider).run(ITEMS, lane="batch", store=store)
    assert [len(batch) for batch in provider.sent] == [5, 1]
    assert report.failures == []
    [_, _, odd, *_] = report.items
    assert [attempt.error_class for attempt in odd.results["label"].attempts] == ["timeout", None]
    assert odd.results["label"].attempts[0].cost_nano_usd == 0


def test_what_a_batch_does_not_mention_is_asked_again(store):
    provider = BatchedProvider()
    replies = provider.replies
    lost = iter([True])

    async def some(batch_id: str) -> Any:
        return list(await replies(batch_id))[1:] if next(lost, False) else await replies(batch_id)

    provider.replies = some  # type: ignore[method-assign]
    report = simple(provider).run(ITEMS, lane="batch", store=store)
    assert (report.failures, [len(batch) for batch in provider.sent]) == ([], [5, 1])


def test_by_policy_what_a_batch_has_not_answered_is_asked_on_its_own_for_the_full_price(store):
    provider = BatchedProvider()
    provider.said["text 2"] = lambda: BatchReply(0, None)
    report = simple(provider).run(ITEMS, lane="batch", store=store, batch_retries="direct")
    assert (report.failures, len(provider.sent), len(provider.requests)) == ([], 1, 1)
    costs = [row.attempt.cost_nano_usd for row in report.costs if row.attempt.cost_nano_usd]
    assert costs[2] == 2 * costs[0]


def test_what_the_vendor_rejects_fails_with_its_words_and_the_others_are_answered(store):
    provider = BatchedProvider()
    provider.said["text 3"] = lambda: BatchReply(400, "max_tokens is too large")
    report = simple(provider).run(ITEMS, lane="batch", store=store)
    [failure] = report.failures
    assert (failure.item_id, failure.error_class) == ("3", "bad_request")
    assert "max_tokens is too large" in failure.message
    assert len(report.costs) == 5


def test_a_batch_that_is_refused_as_a_whole_fails_its_calls_and_ends_the_run(store):
    provider = BatchedProvider()

    def refuses() -> None:
        raise CallError("bad_request", "this model takes no batches", http_status=400)

    provider.on_create = (refuses, lambda: None)
    report = simple(provider).run(ITEMS, lane="batch", store=store)
    assert {failure.error_class for failure in report.failures} == {"bad_request"}
    assert "this model takes no batches" in report.failures[0].message


def test_a_wrong_key_ends_the_run_and_says_so(store):
    provider = BatchedProvider()

    def refuses() -> None:
        raise CallError("auth", "check the key in X_API_KEY", http_status=401)

    provider.on_create = (refuses, lambda: None)
    with pytest.raises(LLMDagError, match="check the key in X_API_KEY"):
        simple(provider).run(ITEMS, lane="batch", store=store)


def test_a_model_falls_back_after_its_batches_have_failed(store):
    provider = BatchedProvider()
    providers = {"batched": provider, "other": BatchedProvider(lambda _: {"label": "other"})}
    dag = Dag("fallback", model=Model("batched:m", fallbacks=["other:m"]), providers=providers, prices=PRICES)

    @dag.dimension(output=Label)
    def label(item):
        return item.content

    provider.said["text 1"] = lambda: BatchReply(400, "no")
    report = dag.run(ITEMS, lane="batch", store=store)
    assert (report.failures, report.items[1].results["label"].model) == ([], "other:m")


@pytest.mark.parametrize("labels", [True, False], ids=["by name", "by size and age"])
def test_a_batch_that_was_taken_and_not_confirmed_is_found_again_and_not_sent_twice(store, labels):
    provider = BatchedProvider(labels=labels)

    def dies() -> None:
        raise CallError("connection", "the connection was cut", sent=True)

    provider.on_create = (lambda: None, dies)
    report = simple(provider).run(ITEMS, lane="batch", store=store)
    assert (report.failures, len(provider.sent), len(report.costs)) == ([], 1, 5)


def test_a_batch_that_never_arrived_is_sent_again(store):
    provider = BatchedProvider()

    def cut() -> None:
        raise CallError("connection", "the connection was cut", sent=True)

    provider.on_create = (cut, lambda: None)
    with pytest.raises(LLMDagError, match="the connection was cut"):
        simple(provider).run(ITEMS, lane="batch", store=store, wait=False)
    provider.on_create = (lambda: None, lambda: None)
    report = simple(provider).run(ITEMS, lane="batch", store=store)
    assert (report.failures, len(provider.sent)) == ([], 1)


def test_a_batch_that_the_vendor_does_not_know_is_looked_for_for_a_while_and_then_sent_again(store):
    provider = BatchedProvider()
    provider.ends = False
    simple(provider).run(ITEMS, lane="batch", store=store, wait=False)
    provider.states.clear()
    provider.sent.clear()
    again = simple(provider).run(ITEMS, lane="batch", store=store, wait=False)
    assert (again.summary.total.pending, provider.sent) == (5, [])
    provider.ends = True
    report = simple(provider).run(ITEMS, lane="batch", store=store, clock=FakeClock())
    assert (report.failures, len(provider.sent)) == ([], 1)


def test_a_batch_that_the_account_has_no_room_for_is_handed_in_again_and_counts_as_no_try(store):
    provider = BatchedProvider()
    create, times = provider.create, iter(range(6))

    async def full(*arguments: Any) -> Any:
        state = await create(*arguments)
        if next(times, None) is not None:
            provider.sent[-1] = []
            state = replace(state, status="failed", problem="enqueued token limit reached", passes=True)
            provider.states[-1] = state
        return state

    provider.create = full  # type: ignore[method-assign]
    report = simple(provider).run(ITEMS, lane="batch", store=store, clock=FakeClock())
    assert (report.failures, len(report.costs), len(provider.lines)) == ([], 5, 5)


def test_replies_that_are_not_ours_or_come_twice_change_nothing(store):
    provider = BatchedProvider()
    provider.extra_replies = [("nobody's", BatchReply(200, {"prompt": "stolen"}))]
    report = simple(provider).run(ITEMS, lane="batch", store=store)
    first = provider.lines[0].custom_id
    provider.extra_replies = [(first, BatchReply(200, {"prompt": "stolen"}))]
    assert [row.results["label"].data["label"] for row in report.items] == [item["content"] for item in ITEMS]
    more = simple(provider).run([*ITEMS, {"id": "5", "content": "new"}], lane="batch", store=store)
    assert [row.results["label"].data["label"] for row in more.items][:5] == [item["content"] for item in ITEMS]


def test_rows_that_are_shifted_or_edited_between_rounds_get_their_own_answers(store):
    provider = BatchedProvider()
    provider.ends = False
    simple(provider).run(ITEMS, lane="batch", store=store, wait=False)
    provider.end_all()
    shifted = [{"id": str(number), "content": f"text {number + 1}"} for number in range(4)] + [
        {"id": "9", "content": "new"}
    ]
    report = simple(provider).run(shifted, lane="batch", store=store)
    assert [row.results["label"].data["label"] for row in report.items] == [item["content"] for item in shifted]


def test_only_what_says_so_goes_in_batches(store):
    provider = BatchedProvider()
    dag = Dag("mixed", model="batched:m", providers={"batched": provider}, prices=PRICES)

    @dag.dimension(output=Label)
    def quick(item):
        return f"quick {item.content}"

    @dag.dimension(output=Label, lane="batch")
    def slow(item, quick):
        return f"slow {quick.label}"

    report = dag.run(ITEMS, store=store)
    assert (report.failures, len(provider.requests), len(provider.lines)) == ([], 5, 5)
    direct = dag.run([{"id": "new", "content": "new"}], store=store, lane="direct")
    assert (direct.failures, len(provider.requests), len(provider.lines)) == ([], 7, 5)


def test_a_dimension_is_pending_even_where_it_would_run_without_the_answer(store):
    provider = BatchedProvider()
    provider.ends = False
    dag = Dag("patient", model="batched:m", providers={"batched": provider}, prices=PRICES)

    @dag.dimension(output=Label)
    def first(item):
        return item.content

    @dag.dimension(output=Label, on_missing="run", on_failure=Label(label="never"))
    def second(item, first):
        return f"second {first}"

    report = dag.run(ITEMS, lane="batch", store=store, wait=False)
    assert {row.results["second"].status for row in report.items} == {"pending"}


def test_samples_wait_for_all_of_them_and_are_asked_in_one_batch(store):
    provider = BatchedProvider()
    report = simple(provider, samples=3).run(ITEMS, lane="batch", store=store)
    assert [len(batch) for batch in provider.sent] == [15]
    assert report.items[0].results["label"].data == [{"label": "text 0"}] * 3


def test_a_budget_holds_for_what_is_handed_in(store):
    provider = BatchedProvider()
    dag = simple(provider)
    dear = Price(input=1_000_000, output=1_000_000)
    dag = Dag(
        "dear", model=Model("batched:m", max_tokens=100), providers={"batched": provider}, prices={"batched:m": dear}
    )

    @dag.dimension(output=Label)
    def label(item):
        return item.content

    report = dag.run(ITEMS, lane="batch", store=store, budget_usd=120)
    spent = sum(row.attempt.cost_nano_usd for row in report.costs) / 1e9
    assert {failure.error_class for failure in report.failures} == {"over_budget"}
    assert 0 < len(provider.lines) < 5
    assert spent <= 120


def test_a_run_goes_on_under_its_own_id_until_it_is_done(store):
    provider = BatchedProvider()
    provider.ends = False
    first = Rounds(store, name="simple").run_id
    simple(provider).run(ITEMS, lane="batch", store=store, wait=False)
    assert Rounds(store, name="simple").run_id == first
    provider.end_all()
    simple(provider).run(ITEMS, lane="batch", store=store)
    assert Rounds(store, name="simple").run_id != first
    with open_documents(store) as documents:
        assert (documents.keys("pending"), documents.keys("replies")) == (set(), set())


def test_a_program_with_a_loop_goes_from_round_to_round_as_well(store):
    provider = BatchedProvider()
    report = asyncio.run(chain(provider).arun(ITEMS, lane="batch", store=store))
    assert (report.failures, report.summary.total.pending) == ([], 0)


def test_a_cancelled_run_can_go_on(store):
    provider = BatchedProvider()
    provider.ends = False

    async def cancelled() -> None:
        task = asyncio.create_task(simple(provider).arun(ITEMS, lane="batch", store=store))
        while not provider.sent:
            await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    provider.end_all()
    assert simple(provider).run(ITEMS, lane="batch", store=store).failures == []
    assert len(provider.sent) == 1


def test_batches_need_a_store_and_a_stream_takes_none(store):
    dag = simple(BatchedProvider())
    with pytest.raises(GraphError, match="needs an answer store"):
        dag.run(ITEMS, lane="batch", store=False)
    with pytest.raises(GraphError, match="use run, or lane='direct'"):
        dag.stream(ITEMS, lane="batch", store=store)
    with pytest.raises(GraphError, match="lane is one of direct, batch, not 'slow'"):
        dag.run(ITEMS, lane="slow")
    with pytest.raises(GraphError, match="lane is one of direct, batch"):
        Model("a:b", lane="slow")  # type: ignore[arg-type]


def test_unbounded_input_takes_no_batches():
    from apache_beam.testing.test_stream import TestStream

    dag = simple(BatchedProvider())
    pipeline = beam.Pipeline()
    with pytest.raises(GraphError, match="lane='batch' is for bounded input"):
        pipeline | TestStream() | LLMDag(dag, lane="batch", store="x.sqlite")


def test_a_model_that_a_function_picks_may_not_say_batch(store):
    provider = BatchedProvider()
    dag = Dag("routed", providers={"batched": provider})

    @dag.dimension(output=Label, model=lambda item: Model("batched:m", lane="batch"))
    def label(item):
        return item.content

    [failure, *_] = dag.run(ITEMS, store=store).failures
    assert "say that of the dimension" in failure.message


@pytest.mark.parametrize(("of_model", "of_run", "failures"), [(None, "batch", 0), ("batch", None, 5)])
def test_a_model_without_a_batch_api_goes_on_its_own_unless_it_says_batch(store, of_model, of_run, failures):
    provider = ScriptedProvider(lambda _: {"label": "x"})
    dag = Dag("without", model=Model("scripted:m", lane=of_model), providers={"scripted": provider})

    @dag.dimension(output=Label)
    def label(item):
        return item.content

    report = dag.run(ITEMS, lane=of_run, store=store)
    assert len(report.failures) == failures
    assert all("has no batch API" in failure.message for failure in report.failures)


def test_results_that_are_late_are_waited_for_and_not_paid_twice(store):
    provider = BatchedProvider()
    provider.tells_done = True
    replies, calls = provider.replies, iter([None, []])

    async def late(batch_id: str) -> Any:
        return next(calls, await replies(batch_id))

    provider.replies = late  # type: ignore[method-assign]
    report = simple(provider).run(ITEMS, lane="batch", store=store)
    assert (report.failures, len(provider.sent)) == ([], 1)


def test_a_batch_of_somebody_else_is_not_taken_for_one_that_was_not_confirmed(store):
    provider = BatchedProvider(labels=False)

    def dies() -> None:
        provider.sent.append([line._replace(custom_id=f"other{index}") for index, line in enumerate(provider.sent[0])])
        provider.states.append(replace(provider.states[0], id="somebody-else's"))
        provider.on_create = (lambda: None, lambda: None)
        raise CallError("connection", "the connection was cut", sent=True)

    provider.on_create = (lambda: None, dies)
    report = simple(provider).run(ITEMS, lane="batch", store=store)
    assert (report.failures, len(provider.sent), len(report.costs)) == ([], 2, 5)


def test_an_answer_that_nobody_asks_for_any_more_is_in_the_ledger_and_found_by_the_old_prompt(store):
    provider = BatchedProvider()
    provider.ends = False
    simple(provider).run(ITEMS, lane="batch", store=store, wait=False)
    provider.end_all()
    edited = [{**item, "content": f"edited {item['content']}"} for item in ITEMS[:2]] + ITEMS[2:]
    report = simple(provider).run(edited, lane="batch", store=store)
    [total] = read_totals(store)
    assert (total.calls, len(provider.lines), len(report.costs)) == (7, 7, 5)
    assert 5 * total.cost_nano_usd == 7 * cost(report)
    again = simple(provider).run(ITEMS, lane="batch", store=store)
    assert (again.failures, len(provider.lines), again.costs) == ([], 7, [])


def test_a_request_that_the_provider_cannot_write_costs_this_call_and_not_the_run(store):
    provider = BatchedProvider()
    body = provider.body

    async def odd(request: Any) -> Any:
        if "text 2" in str(request.messages):
            raise ZeroDivisionError("a bug")
        if "text 3" in str(request.messages):
            raise CallError("bad_request", "cannot be written", sent=False)
        return await body(request)

    provider.body = odd  # type: ignore[method-assign]
    report = simple(provider).run(ITEMS, lane="batch", store=store)
    told = {failure.item_id: failure.error_class for failure in report.failures}
    assert told == {"2": "user_function", "3": "bad_request"}


def test_what_somebody_has_broken_in_the_store_is_asked_again_or_left_alone(store):
    provider = BatchedProvider()
    provider.ends = False
    simple(provider).run(ITEMS, lane="batch", store=store, wait=False)
    first, second, third, *_ = [line.custom_id for line in provider.lines]
    with open_documents(store) as documents:
        documents.add("batches", {"odd": "[]", "old": '{"label": 1}'})
        documents.add("replies", {first: "no JSON", second: "[1]", "unknown": "{}"})
        documents.remove("pending", [third])
        documents.add("pending", {third: '{"number": 1}', "odd": "null"})
    provider.end_all()
    report = simple(provider).run(ITEMS, lane="batch", store=store)
    assert report.failures == []
    assert [row.results["label"].data["label"] for row in report.items] == [item["content"] for item in ITEMS]


def test_a_vendor_that_raises_what_it_should_not_ends_the_run_with_words(store):
    provider = BatchedProvider()

    def breaks() -> None:
        raise ZeroDivisionError("a bug")

    provider.on_create = (breaks, lambda: None)
    with pytest.raises(LLMDagError, match="a batch API raised ZeroDivisionError: a bug"):
        simple(provider).run(ITEMS, lane="batch", store=store)


def test_who_starts_rounds_elsewhere_hands_in_what_the_one_before_has_left(store):
    provider = BatchedProvider()

    def fails() -> None:
        raise CallError("overloaded", "not now", http_status=529)

    provider.on_create = (fails, lambda: None)
    with pytest.raises(LLMDagError, match="not now"):
        simple(provider).run(ITEMS, lane="batch", store=store, wait=False)
    provider.on_create = (lambda: None, lambda: None)
    rounds = Rounds(store, name="simple", providers={"batched": provider})
    rounds.start()
    assert provider.sent == []
    rounds.start(hand_in=True)
    assert len(provider.lines) == 5


def test_another_run_that_asks_what_is_in_a_batch_already_waits_for_that_one(store):
    provider = BatchedProvider()
    provider.ends = False
    simple(provider).run(ITEMS, lane="batch", store=store, wait=False, run_id="given up")
    waiting = simple(provider).run(ITEMS[:3], lane="batch", store=store, wait=False, run_id="another")
    assert (waiting.summary.total.pending, len(provider.sent)) == (3, 1)
    provider.end_all()
    report = simple(provider).run(ITEMS[:3], lane="batch", store=store, run_id="another")
    assert (report.failures, len(provider.sent), len(report.costs)) == ([], 1, 3)


def in_hours(hours: float, clock: FakeClock) -> datetime:
    return datetime.fromtimestamp(clock.now(), UTC) + timedelta(hours=hours)


def asked_alone(report: Any) -> int:
    """Calls at their full price."""
    whole = max(row.attempt.cost_nano_usd for row in report.costs)
    return sum(row.attempt.cost_nano_usd == whole for row in report.costs)


def test_with_a_far_deadline_all_goes_in_batches(run, store, engine):
    provider, clock = BatchedProvider(), FakeClock()
    direct = run(chain(provider), ITEMS, plan=engine, store=False)
    made = in_rounds(run, chain(provider), store, engine, deadline=in_hours(10_000, clock), clock=clock)
    assert answers(made) == answers(direct)
    assert 2 * cost(made) == cost(direct)


def test_with_a_deadline_before_a_batch_must_have_ended_nothing_goes_in_one(run, store, engine):
    provider, clock = BatchedProvider(), FakeClock()
    direct = run(chain(provider), ITEMS, plan=engine, store=False)
    made = run(chain(provider), ITEMS, plan=engine, store=store, deadline=in_hours(23, clock), clock=clock)
    assert (answers(made), cost(made), provider.lines) == (answers(direct), cost(direct), [])


def test_as_many_levels_of_a_graph_go_in_batches_as_the_deadline_has_days_for(store):
    provider, clock = BatchedProvider(), FakeClock()
    provider.ends = False
    asked = {"store": store, "clock": clock, "deadline": in_hours(30, clock)}
    waiting = chain(provider).run(ITEMS, wait=False, **asked)
    clock.advance(10 * 3600)
    provider.end_all()
    report = chain(provider).run(ITEMS, **asked)
    assert waiting.summary.total.pending
    assert len(provider.lines) == len(ITEMS)
    assert asked_alone(report) == len(report.costs) - len(ITEMS)
    assert report.summary.total.pending == 0


def test_what_waits_for_a_batch_when_the_deadline_nears_is_not_asked_a_second_time(store):
    provider, clock = BatchedProvider(), FakeClock()
    provider.ends = False
    asked = {"store": store, "clock": clock, "deadline": in_hours(30, clock), "wait": False}
    chain(provider).run(ITEMS, **asked)
    clock.advance(29 * 3600)
    report = chain(provider).run(ITEMS, **asked)
    assert (report.costs, len(provider.lines)) == ([], len(ITEMS))
    assert report.summary.total.pending


def test_what_a_batch_has_not_asked_goes_on_its_own_when_the_deadline_nears(store):
    provider, clock = BatchedProvider(), FakeClock()
    provider.ends = False
    provider.said["first text 3"] = lambda: BatchReply(0, None)
    asked = {"store": store, "clock": clock, "deadline": in_hours(30, clock)}
    chain(provider).run(ITEMS, wait=False, **asked)
    clock.advance(29 * 3600)
    provider.end_all()
    report = chain(provider).run(ITEMS, **asked)
    assert (report.summary.total.failed, len(provider.lines)) == (0, len(ITEMS))
    assert [row.results["first"].data["label"] for row in report.items] == [f"first text {n}" for n in range(5)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"deadline": datetime(2027, 1, 1)}, "datetime with a time zone"),
        ({"deadline": 3600.0}, "datetime with a time zone, not 3600.0"),
        ({"deadline": datetime(2027, 1, 1, tzinfo=UTC), "lane": "direct"}, "leave out one"),
        ({"deadline": datetime(2027, 1, 1, tzinfo=UTC), "store": False}, "needs an answer store"),
    ],
)
def test_a_deadline_that_cannot_be_kept_is_refused(options, told):
    with pytest.raises(GraphError, match=told):
        chain(BatchedProvider()).run(ITEMS, **options)
    with pytest.raises(GraphError, match=told):
        LLMDag(chain(BatchedProvider()), **options)
