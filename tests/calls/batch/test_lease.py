"""What one process may do at a time: who has leave to, who waits, and what a death leaves behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from beam_llmdag.calls.batch import lease as leases
from beam_llmdag.calls.batch.lease import Lease
from beam_llmdag.calls.store.documents import open_documents
from beam_llmdag.testing import FakeClock


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "answers.sqlite")


def test_who_comes_second_waits_for_the_first(place):
    async def both() -> list[str]:
        told: list[str] = []
        with open_documents(place) as one, open_documents(place) as other:
            clock = FakeClock()

            async def second() -> None:
                async with Lease(other, "x", clock).held():
                    told.append("second")

            async with Lease(one, "x", clock).held():
                waiting = asyncio.create_task(second())
                for _ in range(5):
                    await asyncio.sleep(0)
                told.append("first")
            await waiting
        return told

    assert asyncio.run(both()) == ["first", "second"]


@pytest.mark.parametrize("lives", [True, False])
def test_a_dead_holder_of_this_machine_is_not_waited_for_and_of_another_until_its_time_is_over(
    place, lives, monkeypatch
):
    async def hold() -> float:
        clock = FakeClock()
        with open_documents(place) as documents:
            lost = Lease(documents, "x", clock)
            assert lost._take()
            if lives:
                monkeypatch.setattr(leases.socket, "gethostname", lambda: "another")
            else:
                monkeypatch.setattr(leases.os, "kill", _no_process)
            before = clock.now()
            async with Lease(documents, "x", clock).held():
                return clock.now() - before

    assert asyncio.run(hold()) == pytest.approx(300.0 if lives else 0.0, abs=1.0)


def _no_process(_pid: int, _signal: int) -> None:
    raise ProcessLookupError


def test_renewed_it_is_held_for_longer(place):
    async def renewed() -> bool:
        clock = FakeClock()
        with open_documents(place) as documents:
            mine = Lease(documents, "x", clock)
            async with mine.held():
                await clock.sleep(299)
                mine.renew()
                await clock.sleep(299)
                return not Lease(documents, "x", clock)._take()

    assert asyncio.run(renewed())
