"""The same question of several processes: asked once, where they share a store on a server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from beam_llmdag import Dag, Model
from beam_llmdag.calls.store import postgres, redis, server
from beam_llmdag.calls.store.contents import open_contents
from beam_llmdag.calls.store.place import open_store
from beam_llmdag.testing import ScriptedProvider, Simulator

pytestmark = pytest.mark.processes

ASKER = """
import sys
from beam_llmdag import Dag, Model

dag = Dag("asked", model=Model("anthropic:m", base_url=sys.argv[2], api_key_env="PATH", max_in_flight=50))
dag.dimension(lambda item: item.content, name="said")
dag.dimension(lambda item, said: f"{said} and {item.content}", name="more")
report = dag.run([f"text {n}" for n in range(60)], store=sys.argv[1], progress=False)
assert report.failures == [], report.failures[:1]
print(report.summary.total.calls)
"""


@pytest.fixture(params=["postgres", "redis"])
def url(request: pytest.FixtureRequest, new_place: Any) -> str:
    place: str = new_place(request.param)
    return place


def test_three_processes_with_the_same_questions_ask_each_once(url: str) -> None:
    with Simulator(lambda request: f"<{request.prompt}>", latency=0.05) as simulator:
        command = [sys.executable, "-c", ASKER, url, simulator.base_url("anthropic")]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        told = [process.communicate(timeout=120)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0]
        assert simulator.request_count == 120
    assert sum(map(int, told)) == 120


def test_a_claim_is_for_one_process_until_it_is_given_back(url: str) -> None:
    async def claims() -> list[bool]:
        one, other = open_store(url), open_store(url)
        taken = [await one.claim("k"), await other.claim("k"), await other.claim("another")]
        one.give_back("k")
        await one.aclose()
        taken.append(await other.claim("k"))
        for store in (one, other):
            await store.aclose()
        return taken

    assert asyncio.run(claims()) == [True, False, True, True]


def test_a_claim_is_held_for_as_long_as_its_process_lives_and_ends_with_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (server, postgres, redis):
        monkeypatch.setattr(module, "CLAIMED_SECONDS", 2)

    async def claims() -> list[bool]:
        one, other = open_store(url), open_store(url)
        taken = [await one.claim("k")]
        await asyncio.sleep(3)
        taken.append(await other.claim("k"))
        assert isinstance(one, server.ServerStore)
        assert one._holding is not None
        one._holding.cancel()  # as if its process had died
        for _ in range(60):
            if await other.claim("k"):
                taken.append(True)
                break
            await asyncio.sleep(0.1)
        for store in (one, other):
            await store.aclose()
        return taken

    assert asyncio.run(claims()) == [True, False, True]


def test_what_another_process_asks_is_waited_for_and_asked_if_no_answer_comes(url: str, tmp_path: Any) -> None:
    provider = ScriptedProvider(["fine"])
    dag = Dag("asked", model=Model("scripted:m"), providers={"scripted": provider})
    dag.dimension(lambda item: item.content, name="said")
    dag.run(["a"], store=tmp_path / "elsewhere.sqlite")
    with open_contents(tmp_path / "elsewhere.sqlite") as contents:
        [key] = [call.columns["key"] for call in contents.calls()]

    async def waits() -> list[int]:
        other = open_store(url)
        assert await other.claim(key)
        running = asyncio.create_task(dag.arun(["a"], store=url))
        await asyncio.sleep(1)
        asked = [len(provider.requests)]
        other.give_back(key)
        await other.aclose()
        assert (await running).failures == []
        return [*asked, len(provider.requests)]

    assert asyncio.run(waits()) == [1, 2]


def test_in_a_file_nobody_claims(tmp_path: Any) -> None:
    store = open_store(tmp_path / "answers.sqlite")
    assert not store.claims
    assert asyncio.run(store.claim("k"))
