"""Batches over the vendors' real SDKs, against the simulator: the same requests and answers as without them."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from beam_llmdag import Dag, Model, Price
from beam_llmdag.calls.batch.desk import Desk
from beam_llmdag.calls.store.documents import open_documents
from beam_llmdag.clock import SystemClock
from beam_llmdag.testing import BatchBehaviour, Reply, Simulator

VENDORS = ("anthropic", "openai-responses", "openai-chat", "google")
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY")
ITEMS = [{"id": f"é/{number} #", "content": f"text {number}"} for number in range(8)]


class Answer(BaseModel):
    reason: str
    label: Literal["a", "b"]


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in KEYS:
        monkeypatch.setenv(name, "sk-test-0123456789abcdef")
    return str(request.param)


@pytest.fixture
def store(tmp_path: Any) -> str:
    return str(tmp_path / "answers.sqlite")


def says(request: Any) -> Any:
    return {"reason": request.prompt.partition("\n")[0], "label": "a"}


def dag_for(vendor: str, simulator: Simulator, **options: Any) -> Dag:
    address = simulator.base_url(vendor)
    model = Model(f"{vendor}:m-1", base_url=address, temperature=0.5, system="Be brief.", max_tokens=99, **options)
    dag = Dag("vendors", model=model, prices={"m-1": Price(input=1, output=2)})

    @dag.dimension(output=Answer)
    def first(item):
        return item.content

    @dag.dimension(output=Answer)
    def second(item, first):
        return f"second of {first.reason}"

    return dag


def reasons(report: Any, dimension: str = "first") -> list[str]:
    return [row.results[dimension].data["reason"] for row in report.items]


def test_a_run_in_batches_asks_and_says_the_same_as_one_without(vendor, store):
    with Simulator(says) as simulator:
        direct = dag_for(vendor, simulator).run(ITEMS, store=False)
        alone = {request.raw for request in simulator.requests}
        simulator.reset()
        report = dag_for(vendor, simulator).run(ITEMS, lane="batch", store=store)
        batched = simulator.requests
        assert len(simulator.batches) == 2
    assert {request.lane for request in batched} == {"batch"}
    assert {normal(request.raw) for request in batched} == {normal(raw) for raw in alone}
    assert (report.failures, reasons(report)) == ([], [item["content"] for item in ITEMS])
    assert [row.results["second"].data for row in report.items] == [row.results["second"].data for row in direct.items]
    assert 2 * report.summary.total.cost_nano_usd == direct.summary.total.cost_nano_usd
    assert [cost.attempt.usage for cost in report.costs] == [cost.attempt.usage for cost in direct.costs]
    assert [cost.attempt.request_id for cost in report.costs].count(None) == 0


def normal(raw: bytes) -> str:
    return json.dumps(json.loads(raw))


def test_ids_on_the_wire_fit_the_vendor_and_ids_in_rows_are_the_users(vendor, store):
    with Simulator(says) as simulator:
        report = dag_for(vendor, simulator).run(ITEMS, lane="batch", store=store)
        ids = [line.custom_id for batch in simulator.batches for line in batch.lines]
    assert [row.item.id for row in report.items] == [item["id"] for item in ITEMS]
    assert len(set(ids)) == 16
    assert all(len(name) <= 64 and name.isascii() and name.isalnum() for name in ids)


def test_expired_and_failed_requests_are_asked_again_and_the_others_are_not(vendor, store):
    with Simulator(says, batches=BatchBehaviour(expired=0.3, failed=0.2), seed=3) as simulator:
        report = dag_for(vendor, simulator, attempts=20).run(ITEMS, lane="batch", store=store)
        asked = [request.prompt for request in simulator.requests]
        sent = sum(len(batch.lines) for batch in simulator.batches)
    assert report.failures == []
    assert (len(asked), len(set(asked))) == (16, 16)
    assert sent > 16
    paid = [cost.attempt for cost in report.costs if cost.attempt.cost_nano_usd]
    assert (len(paid), report.summary.cost_is_complete) == (16, True)


def test_a_request_that_the_vendor_rejects_fails_with_its_words(vendor, store):
    def odd(request: Any) -> Any:
        return Reply(status=400, message="max_tokens is too large") if request.prompt == "text 3" else says(request)

    with Simulator(odd) as simulator:
        report = dag_for(vendor, simulator).run(ITEMS, lane="batch", store=store)
    [failure] = [failure for failure in report.failures if failure.dimension == "first"]
    assert (failure.item_id, failure.error_class) == ("é/3 #", "bad_request")
    assert "max_tokens is too large" in failure.message


def test_a_bad_answer_is_asked_again_in_the_next_batch(vendor, store):
    def odd(request: Any) -> Any:
        return {"label": "c"} if request.prompt == "text 3" else says(request)

    with Simulator(odd) as simulator:
        report = dag_for(vendor, simulator).run(ITEMS, lane="batch", store=store)
        sizes = [len(batch.lines) for batch in simulator.batches]
    assert (report.failures, sizes[1]) == ([], 8)
    assert len([cost for cost in report.costs if cost.item_id == "é/3 #"]) == 3


def test_a_batch_whose_creation_was_not_confirmed_is_found_and_not_sent_twice(vendor, store):
    with Simulator(says, batches=BatchBehaviour(loses_creations=1)) as simulator:
        report = dag_for(vendor, simulator).run(ITEMS, lane="batch", store=store)
        assert len(simulator.batches) == 2
        assert len(simulator.requests) == 16
    assert report.failures == []


def test_a_batch_that_ends_twice_is_collected_once(vendor, store):
    with Simulator(says, batches=BatchBehaviour(ends_twice=True)) as simulator:
        report = dag_for(vendor, simulator).run(ITEMS, lane="batch", store=store)
        assert len(simulator.requests) == 16
    assert reasons(report) == [item["content"] for item in ITEMS]
    assert len(report.costs) == 16


def test_what_waits_is_found_by_the_same_call_later(vendor, store):
    with Simulator(says, batches=BatchBehaviour(delay_seconds=3600)) as simulator:
        rounds = []
        for _ in itertools.count():
            report = dag_for(vendor, simulator).run(ITEMS, lane="batch", store=store, wait=False)
            rounds.append(report.summary.total.pending)
            if not report.summary.total.pending:
                break
            simulator.end_batches()
        assert len(simulator.batches) == 2
    assert (report.failures, len(report.costs)) == ([], 16)
    assert rounds[0] == 16


async def cancelled(store: str) -> None:
    """Cancels all batches of a store."""
    with open_documents(store) as documents:
        desk = Desk(documents, {}, SystemClock())
        for batch in desk.open_batches():
            await desk.cancel(batch.label)
        await desk.aclose()


def test_a_cancelled_batch_is_asked_again(vendor, store):
    with Simulator(says, batches=BatchBehaviour(delay_seconds=3600)) as simulator:
        dag_for(vendor, simulator).run(ITEMS, lane="batch", store=store, wait=False)
        asyncio.run(cancelled(store))
        simulator.end_batches()
        dag_for(vendor, simulator).run(ITEMS, lane="batch", store=store, wait=False)
        assert [len(batch.lines) for batch in simulator.batches] == [8, 8]


def test_a_batch_that_is_too_large_for_the_vendor_names_the_limit(vendor, store):
    with Simulator(says, batches=BatchBehaviour(most_requests=4)) as simulator:
        report = dag_for(vendor, simulator).run(ITEMS, lane="batch", store=store)
    told = {failure.error_class for failure in report.failures}
    assert told <= {"bad_request", "timeout"}
    assert "4" in report.failures[0].message
