"""Limits shared through a real Redis server."""

import asyncio
import logging
import shutil
import socket
import subprocess
import sys
import time

import pytest
from calls import GOOD, ask, make_caller, question

from beam_llmdag import Dag, GraphError, LLMDag
from beam_llmdag.clock import SystemClock
from beam_llmdag.limits import Gate, Limits
from beam_llmdag.limits.redis import RedisLimits
from beam_llmdag.limits.shared import UnreachableError
from beam_llmdag.model import Model
from beam_llmdag.testing import ScriptedProvider

ASKER = """
import asyncio, sys, time
from beam_llmdag.limits.redis import RedisLimits

async def run(url, seconds):
    limits = RedisLimits(url)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        wait = await limits.take("requests of m", 1200, 1, burst=2)
        print(wait == 0)
        await asyncio.sleep(wait)

asyncio.run(run(sys.argv[1], float(sys.argv[2])))
"""


@pytest.fixture
def server(tmp_path):
    """The URL of a redis-server that is this test's own, and its process."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server on the PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0", process
    finally:
        process.kill()
        process.wait()


def take(url: str, *amounts: int, per_minute: int = 6000, burst: int = 6000) -> list[float]:
    async def run() -> list[float]:
        limits = RedisLimits(url)
        return [await limits.take("a", per_minute, amount, burst=burst) for amount in amounts]

    return asyncio.run(run())


def test_what_is_there_is_taken_and_else_the_wait_is_named(server):
    url, _ = server
    assert take(url, 5000, 2000, 1000) == [0.0, pytest.approx(10, abs=0.5), 0.0]


def test_after_the_wait_that_was_named_there_is_enough(server):
    async def run(url: str) -> list[float]:
        limits = RedisLimits(url)
        waits = [await limits.take("a", 600, 1, burst=1), await limits.take("a", 600, 1, burst=1)]
        await asyncio.sleep(waits[-1])
        return [*waits, await limits.take("a", 600, 1, burst=1)]

    assert asyncio.run(run(server[0])) == [0.0, pytest.approx(0.1, abs=0.05), 0.0]


def test_two_processes_together_keep_to_the_limit(server):
    """20 requests a second for two seconds, whoever asks."""
    command = [sys.executable, "-c", ASKER, server[0], "2"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    taken = [process.communicate(timeout=60)[0].split().count("True") for process in processes]
    assert all(taken)
    assert sum(taken) <= 2 + 20 * 2 * 2  # the two may run one after the other


def test_processes_do_not_divide_what_is_counted_for_all_of_them(server):
    provider = ScriptedProvider([GOOD])
    limits = RedisLimits(server[0])
    caller = make_caller({"scripted": provider}, clock=SystemClock(), workers=1000, shared=limits)
    model = Model("scripted:a", requests_per_minute=60_000, output_tokens_per_minute=1_000_000)
    replies = ask(caller, *(question(str(n), model=model) for n in range(200)))
    assert [reply.error for reply in replies] == [None] * 200
    assert sum(attempt.waited_seconds for reply in replies for attempt in reply.attempts) < 200 * 10


def test_keys_expire_by_themselves_and_say_whose_they_are(server):
    import redis

    take(server[0], 6000)
    client = redis.Redis.from_url(server[0])
    [key] = client.keys("*")
    assert key.decode().startswith("llmdag:")
    assert 0 < client.ttl(key) <= 60
    client.close()


def test_a_server_that_does_not_answer_is_said_to_be_so_without_its_password(server):
    url, process = server
    process.kill()
    process.wait()
    with pytest.raises(UnreachableError) as raised:
        take(url.replace("redis://", "redis://:hush@"), 1)
    assert "hush" not in str(raised.value)


def test_without_the_server_each_process_goes_by_its_own_part(server, caplog):
    url, process = server
    process.kill()
    process.wait()
    provider = ScriptedProvider([GOOD])
    caller = make_caller({"scripted": provider}, clock=SystemClock(), workers=2, shared=RedisLimits(url))
    with caplog.at_level(logging.WARNING):
        replies = ask(
            caller, *(question(str(n), model=Model("scripted:a", requests_per_minute=1200)) for n in range(5))
        )
    assert [reply.error for reply in replies] == [None] * 5
    assert len([record for record in caplog.records if "shared limits do not answer" in record.message]) == 1
    moments = sorted(reply.attempts[0].waited_seconds for reply in replies)
    assert moments[-1] - moments[0] >= 0.3  # ten a second: half of twenty


def test_a_cancelled_wait_does_not_stop_the_line(server):
    async def run() -> bool:
        model = Model("scripted:a", requests_per_minute=600)
        gate: Gate = Limits().gate(model, 64, workers=1, clock=SystemClock(), shared=RedisLimits(server[0]))
        tasks = [asyncio.create_task(gate.enter(0.0)) for _ in range(4)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        tasks[1].cancel()
        return all([await task for task in tasks[2:]])

    assert asyncio.run(run())


def test_variables_in_the_url_are_those_of_the_worker(server, monkeypatch):
    monkeypatch.setenv("LIMITS_SERVER", server[0])
    assert take("$LIMITS_SERVER", 1) == [0.0]


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost"])
def test_another_url_is_refused_when_the_pipeline_is_built(url):
    dag = Dag("d", model="openai:gpt-5-mini")

    @dag.dimension(output=str)
    def analyze(item):
        return item.content

    with pytest.raises(GraphError, match="shared_limits is the URL of a Redis server"):
        LLMDag(dag, shared_limits=url)
