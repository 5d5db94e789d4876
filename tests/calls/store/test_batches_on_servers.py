"""Runs in batches with their answers on every kind of store, from two processes' point of view."""

from __future__ import annotations

import asyncio

from helpers.batched import BatchedProvider

from beam_llmdag import Dag, Price
from beam_llmdag.calls.batch.desk import Desk
from beam_llmdag.calls.store.documents import open_documents
from beam_llmdag.calls.store.ledger import read_totals
from beam_llmdag.clock import SystemClock
from beam_llmdag.providers.batch.base import BatchLimits

ITEMS = [{"id": str(number), "content": f"text {number}"} for number in range(5)]


def dag(provider: BatchedProvider) -> Dag:
    made = Dag("stored", model="batched:m", providers={"batched": provider}, prices={"m": Price(input=1, output=1)})

    @made.dimension(output=dict[str, str])
    def first(item):
        return item.content

    @made.dimension(output=dict[str, str])
    def second(item, first):
        return f"second of {first['label']}"

    return made


def test_a_run_goes_round_by_round_and_is_on_the_bill_once(place):
    provider = BatchedProvider(limits=BatchLimits(2, 10**6))
    report = dag(provider).run(ITEMS, lane="batch", store=place, budget_usd=1)
    assert (report.failures, len(provider.sent), len(report.costs)) == ([], 6, 10)
    [total] = read_totals(place)
    assert (total.calls, total.cost_nano_usd) == (10, sum(row.attempt.cost_nano_usd for row in report.costs))
    with open_documents(place) as documents:
        assert not documents.keys("pending") | documents.keys("replies") | documents.keys("runs")


def test_two_who_hand_in_at_the_same_time_send_each_call_once(place):
    provider = BatchedProvider()
    provider.ends = False
    dag(provider).run(ITEMS, lane="batch", store=place, wait=False, run_id="r")
    provider.sent.clear()
    provider.states.clear()
    with open_documents(place) as documents:
        documents.remove("batches", documents.keys("batches"))  # as if nothing had been handed in

    async def both() -> list[int]:
        with open_documents(place) as one, open_documents(place) as other:
            desks = [Desk(documents, {"batched": provider}, SystemClock()) for documents in (one, other)]
            sent = await asyncio.gather(*(desk.submit("r") for desk in desks))
        return sorted(len(batches) for batches in sent)

    assert asyncio.run(both()) == [0, 1]
    assert len(provider.lines) == 5
