"""A run in batches that dies between any two steps, and goes on: nothing is asked twice, and nothing is lost."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.batched import BatchedProvider
from pydantic import BaseModel

from beam_llmdag import Dag, Price
from beam_llmdag.calls.batch import lease
from beam_llmdag.calls.store.ledger import read_totals
from beam_llmdag.calls.store.sqlite_documents import SqliteDocuments
from beam_llmdag.providers.batch.base import BatchLimits

ITEMS = [{"id": str(number), "content": f"text {number}"} for number in range(3)]
STEPS_OF_STORE = ("all", "keys", "get", "add", "swap", "remove")
STEPS_OF_VENDOR = ("create", "state", "recent", "replies")


class Label(BaseModel):
    label: str


class Killed(BaseException):
    """Stands for kill -9."""


class Killer:
    """Lets a process live for so many steps; then each further one raises, those that clean up included."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self._pids = itertools.count(2**30)  # more than there can be
        self._pid = next(self._pids)
        monkeypatch.setattr(lease.os, "getpid", lambda: self._pid)
        for name in STEPS_OF_STORE:
            monkeypatch.setattr(SqliteDocuments, name, self.watched(getattr(SqliteDocuments, name)))

    def watch(self, provider: BatchedProvider) -> None:
        for name in STEPS_OF_VENDOR:
            setattr(provider, name, self.awaited(getattr(provider, name)))

    def new_process(self, steps: int | None) -> None:
        self._pid, self.left = next(self._pids), steps

    def step(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed

    def watched(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            self.step()
            made = method(*arguments)
            self.step()
            return made

        return step

    def awaited(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def step(*arguments: Any) -> Any:
            self.step()
            made = await method(*arguments)
            self.step()
            return made

        return step


def new_dag(provider: BatchedProvider) -> Dag:
    dag = Dag("killed", model="batched:m", providers={"batched": provider}, prices={"m": Price(input=1, output=1)})

    @dag.dimension(output=Label)
    def first(item):
        return item.content

    @dag.dimension(output=Label, scope="global")
    def second(items, first):
        return "all of " + ", ".join(answer.label for answer in first)

    return dag


@pytest.mark.parametrize("labels", [True, False], ids=["batches have names", "batches have no names"])
def test_whenever_it_dies_it_goes_on_and_pays_for_each_call_once(monkeypatch, tmp_path: Path, labels: bool):
    killer = Killer(monkeypatch)
    for steps in itertools.count(1, 2):
        store = str(tmp_path / f"{steps}.sqlite")
        provider = BatchedProvider(limits=BatchLimits(2, 10**6), labels=labels)
        killer.watch(provider)
        killer.new_process(steps)
        try:
            new_dag(provider).run(ITEMS, lane="batch", store=store)
            assert steps > 40
            return
        except Killed:
            pass
        killer.new_process(None)
        report = new_dag(provider).run(ITEMS, lane="batch", store=store)
        told = f"died at step {steps}"
        assert {row.results["first"].data["label"] for row in report.items} == {"text 0", "text 1", "text 2"}, told
        assert report.globals[0].data["label"] == "all of text 0, text 1, text 2", told
        assert set(Counter(line.custom_id for line in provider.lines).values()) == {1}, told
        [total] = read_totals(store)
        assert (total.calls, total.answers, total.in_flight) == (4, 4, 0), told
        assert len(report.costs) in (0, 4), told  # none if it died when all was over
