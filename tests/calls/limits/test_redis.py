"""Limits counted in a real Redis server."""

import asyncio
import json
import logging
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from helpers.calls import GOOD, ask, make_caller, question
from helpers.servers import new_redis

from beam_llmdag import Dag, GraphError, LLMDag
from beam_llmdag.calls.limits import Gate, Limits
from beam_llmdag.calls.limits.redis import RedisLimits
from beam_llmdag.calls.limits.shared import Claim, UnreachableError
from beam_llmdag.clock import SystemClock
from beam_llmdag.errors import SharedLimitsError
from beam_llmdag.model import Model
from beam_llmdag.testing import FakeClock, ScriptedProvider
from beam_llmdag.usage import Usage

pytestmark = pytest.mark.processes

# Takes what it gets for some seconds, and says when that was.
ASKER = """
import asyncio, json, sys, time
from beam_llmdag.calls.limits.redis import RedisLimits
from beam_llmdag.calls.limits.shared import Claim

async def run(url, seconds, per_minute, amount):
    limits, began, taken = RedisLimits(url), time.monotonic(), []
    while time.monotonic() < began + seconds:
        wait = await limits.take("a", [Claim("requests", per_minute, amount)])
        if wait:
            await asyncio.sleep(min(wait, began + seconds - time.monotonic()))
        else:
            taken.append(time.monotonic())
    await limits.aclose()
    print(json.dumps([began, *taken]))

asyncio.run(run(sys.argv[1], *map(int, sys.argv[2:])))
"""


@pytest.fixture
def server(tmp_path):
    server = new_redis(tmp_path)
    server.start()
    yield server
    server.stop()


def with_limits(url, use, **options):
    """What `use(limits)` returns."""

    async def run():
        limits = RedisLimits(url, **options)
        try:
            return await use(limits)
        finally:
            await limits.aclose()

    return asyncio.run(run())


def test_a_call_is_let_through_and_the_next_is_told_how_long_to_wait(server):
    async def use(limits):
        began = time.monotonic()
        first = await limits.take("a", [Claim("requests", 60, 1)])
        wait = await limits.take("a", [Claim("requests", 60, 1)])
        return first, wait, time.monotonic() - began

    first, wait, passed = with_limits(server.url, use)
    assert first == 0.0
    assert 1 - passed <= wait <= 1


def test_after_the_wait_that_was_named_there_is_room(server):
    async def use(limits):
        claims = [Claim("requests", 300, 1)]
        await limits.take("a", claims)
        await asyncio.sleep(await limits.take("a", claims))
        return await limits.take("a", claims)

    assert with_limits(server.url, use) == 0.0


def test_two_processes_together_keep_to_the_limit(server):
    """1200 a minute: at most two at once, and 1199 in 60 seconds after them."""
    command = [sys.executable, "-c", ASKER, server.url, "2", "1200", "1"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    began, taken = min(first for first, *_ in told), [moments for _, *moments in told]
    assert all(taken)
    seconds = max(max(moments) for moments in taken) - began
    assert sum(map(len, taken)) <= 2 + seconds * 1199 / 60


def test_large_calls_do_not_starve_beside_small_ones(server):
    """60,000 tokens a minute that eight would use up, who ask for 100 each time, and one asks for 1,000."""

    async def use(limits):
        async def asking(amount, times):
            for _ in range(times):
                while wait := await limits.take("a", [Claim("tokens", 60_000, amount)]):
                    await asyncio.sleep(wait)

        small = [asyncio.create_task(asking(100, 1000)) for _ in range(8)]
        await asyncio.wait_for(asking(1000, 2), timeout=60)
        return [task.cancel() for task in small]

    assert with_limits(server.url, use) == [True] * 8


def test_a_call_may_ask_for_more_tokens_than_go_at_once_and_those_after_it_wait_until_they_are_made_good(server):
    async def use(limits):
        first = await limits.take("a", [Claim("tokens", 6000, 5000)])
        return first, await limits.take("a", [Claim("tokens", 6000, 1)])

    first, wait = with_limits(server.url, use)
    assert first == 0.0
    assert 45 < wait < 51


def test_all_limits_let_a_call_through_or_none_is_taken_from(server):
    async def use(limits):
        await limits.take("a", [Claim("tokens", 60, 30)])
        waits = [await limits.take("a", [Claim("requests", 60, 1), Claim("tokens", 60, 1)]) for _ in range(3)]
        return waits, await limits.take("a", [Claim("requests", 60, 1)])

    waits, alone = with_limits(server.url, use)
    assert all(20 < wait <= 30 for wait in waits)
    assert alone == 0.0


def test_accounts_do_not_take_from_each_other(server):
    async def use(limits):
        return [await limits.take(account, [Claim("requests", 1, 1)]) for account in ("a", "b")]

    assert with_limits(server.url, use) == [0.0, 0.0]


@pytest.mark.parametrize(("correction", "wait"), [(20, 50), (-20, 10), (-1000, 0)])
def test_corrections_count_in_both_directions_and_no_more_is_given_back_than_was_taken(server, correction, wait):
    """One token a second, of which 30 were taken."""

    async def use(limits):
        await limits.take("a", [Claim("tokens", 60, 30)])
        await limits.take("a", [Claim("tokens", 60, 0, correction)])
        waits = [await limits.take("a", [Claim("tokens", 60, 1)]) for _ in range(2)]
        return next(filter(None, waits)), waits[0]

    named, first = with_limits(server.url, use)
    assert named == pytest.approx(wait or 1, abs=5 if wait else 1)
    assert (first == 0.0) == (not wait)


def test_a_correction_counts_even_when_the_call_has_to_wait(server):
    async def use(limits):
        await limits.take("a", [Claim("tokens", 60, 30)])
        refused = await limits.take("a", [Claim("tokens", 60, 1, -10)])
        return refused, await limits.take("a", [Claim("tokens", 60, 1)])

    waits = with_limits(server.url, use)
    assert all(10 < wait <= 20 for wait in waits)


def test_those_who_wait_do_not_all_come_back_at_the_same_moment(server):
    """What goes at once, 100 requests, is also the longest by which somebody is late: so no room is lost."""

    async def use(limits):
        await limits.take("a", [Claim("requests", 60_000, 6000)])
        return [await limits.take("a", [Claim("requests", 60_000, 1)]) for _ in range(20)]

    waits = with_limits(server.url, use, rng=random.Random(1))
    assert len({round(wait, 3) for wait in waits}) > 10
    assert all(0 < wait <= 6.2 for wait in waits)


def test_keys_expire_by_themselves_and_say_whose_they_are(server):
    async def use(limits):
        return await limits.take("openai:gpt-5 KEY_1", [Claim("requests", 600, 1), Claim("input_tokens", 6000, 5)])

    with_limits(server.url, use)
    assert set(server.ask("keys", "*").split("\n")) <= {
        "llmdag:{openai:gpt-5 KEY_1} requests",
        "llmdag:{openai:gpt-5 KEY_1} input_tokens",
    }
    deadline = time.monotonic() + 20
    while server.ask("dbsize") != "0":
        assert time.monotonic() < deadline, "the keys are still there"
        time.sleep(0.05)


def nothing(limits):
    return limits.take("a", [Claim("requests", 60, 1)])


def test_a_server_that_is_not_there_is_named_without_the_password(server):
    server.stop()
    url = server.url.replace("redis://", "redis://me:hush@")
    with pytest.raises(SharedLimitsError) as raised:
        with_limits(url, nothing, patience_seconds=0)
    assert f"redis://127.0.0.1:{server.port}/0" in str(raised.value)
    assert "Is that address right" in str(raised.value)
    assert "hush" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_server_that_comes_up_later_is_waited_for(server):
    server.stop()

    async def use(limits):
        task = asyncio.create_task(nothing(limits))
        await asyncio.sleep(0.1)
        server.start()
        return await task

    assert with_limits(server.url, use) == 0.0


def test_a_password_that_is_refused_is_an_error_at_once(server):
    server.ask("config", "set", "requirepass", "open")
    for url in (server.url, server.url.replace("redis://", "redis://:hush@")):
        with pytest.raises(SharedLimitsError, match="user and password") as raised:
            with_limits(url, nothing, patience_seconds=1000)
        assert "hush" not in str(raised.value)
    assert with_limits(server.url.replace("redis://", "redis://:open@"), nothing) == 0.0


def test_a_server_that_goes_away_later_is_told_apart_and_used_again_when_it_is_back(server):
    async def use(limits):
        await nothing(limits)
        server.stop()
        with pytest.raises(UnreachableError, match=f"redis://127.0.0.1:{server.port}/0"):
            await nothing(limits)
        server.start()
        return await nothing(limits)

    assert with_limits(server.url, use) == 0.0


def test_a_server_that_hangs_is_not_waited_for_for_ever(server):
    async def use(limits):
        await nothing(limits)
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(UnreachableError, match="Timeout"):
            await nothing(limits)

    with_limits(server.url, use, timeout_seconds=0.2)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hu/sh@host:6379/0",
        "redis://:hu?sh@host:6379/0",
        "redis://:hu#sh@host:6379/0",
        "hush://:hush@",
        "redis://host/0?hush=hush",
    ],
)
def test_a_url_that_is_none_is_refused_and_not_shown(url):
    with pytest.raises(SharedLimitsError, match="redis://host:6379/0") as raised:
        RedisLimits(url)
    assert "sh@" not in str(raised.value)
    assert "hush" not in str(raised.value).replace("hush://", "")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rediss://me:hush@host:6379/1", "rediss://host:6379/1"),
        ("redis://host/0?password=hush", "redis://host/0"),
        ("redis://me:1/hush@host:6379/0", "redis://me:1"),  # a / that should have been %2F
    ],
)
def test_the_password_is_not_in_its_text(url, shown):
    assert repr(RedisLimits(url)) == f"RedisLimits({shown!r})"


def test_connections_may_be_encrypted(server, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on the PATH to make a certificate with")
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, *named], check=True, capture_output=True)
    server.stop()
    server.options += ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no"]
    server.start(tls=True)
    url = server.url.replace("redis://", "rediss://")
    assert with_limits(f"{url}?ssl_ca_certs={certificate}", nothing) == 0.0
    with pytest.raises(SharedLimitsError, match="CERTIFICATE_VERIFY_FAILED"):
        with_limits(url, nothing, patience_seconds=0)


def test_variables_in_the_url_are_those_of_the_worker(server, monkeypatch):
    monkeypatch.setenv("LIMITS_PORT", str(server.port))
    assert with_limits("redis://127.0.0.1:$LIMITS_PORT/0", nothing) == 0.0
    with pytest.raises(SharedLimitsError, match=r"\$NOT_SET: set it on the worker"):
        RedisLimits("redis://:$NOT_SET@host:6379/0")


# The gate of a model


def gate_of(limits: RedisLimits, model: Model, clock=None, workers: int = 1) -> Gate:
    return Limits().gate(model, 64, workers=workers, clock=clock or SystemClock(), shared=limits)


def test_processes_do_not_divide_what_is_counted_for_all_of_them(server):
    provider = ScriptedProvider([GOOD])
    limits = RedisLimits(server.url)
    caller = make_caller({"scripted": provider}, clock=SystemClock(), workers=1000, shared=limits)
    model = Model("scripted:a", requests_per_minute=60_000, output_tokens_per_minute=1_000_000)
    replies = ask(caller, *(question(str(n), model=model) for n in range(200)))
    assert [reply.error for reply in replies] == [None] * 200
    assert sum(attempt.waited_seconds for reply in replies for attempt in reply.attempts) < 200 * 10


def test_tokens_that_were_not_used_are_given_back_to_all_processes(server):
    """600 output tokens a minute. A first call is expected to bring 256, of which it brings 6."""

    async def use(limits):
        gate = gate_of(limits, Model("scripted:a", output_tokens_per_minute=600))
        ticket = await gate.enter(0.0)
        before = await limits.take("scripted:a", [Claim("output_tokens", 600, 1)])
        gate.learn(ticket, None, Usage(input_tokens=1, output_tokens=6), ())
        await gate.enter(0.0)  # tells of it, and waits for what is left of the 6
        after = await limits.take("scripted:a", [Claim("output_tokens", 600, 1)])
        return before, after

    before, after = with_limits(server.url, use)
    assert 20 < before <= 25.6
    assert 20 < after <= 25.6  # the second's 256, and nothing of the first's


def test_without_the_server_each_process_goes_by_its_own_part_and_says_so_once(server, caplog):
    async def use(limits):
        clock = FakeClock()
        gate = gate_of(limits, Model("scripted:a", requests_per_minute=1200), clock, workers=2)
        await gate.enter(0.0)
        gate.leave()
        server.stop()
        began = clock.monotonic()
        for _ in range(600):  # a minute's: the server is looked for every ten seconds
            await gate.enter(0.0)
            gate.leave()
        return clock.monotonic() - began

    with caplog.at_level(logging.WARNING, logger="beam_llmdag"):
        seconds = with_limits(server.url, use)
    assert seconds == pytest.approx(60, abs=1)
    assert len([record for record in caplog.records if "shared limits do not answer" in record.message]) == 1


def test_what_was_counted_for_all_processes_is_no_debt_of_the_own_part(server):
    """A hundred calls of a process whose own part is one per second."""

    async def use(limits):
        clock = FakeClock()
        gate = gate_of(limits, Model("scripted:a", requests_per_minute=60_000), clock, workers=1000)
        for _ in range(100):
            await gate.enter(0.0)
            gate.leave()
        server.stop()
        began = clock.monotonic()
        await gate.enter(0.0)
        gate.leave()
        return clock.monotonic() - began

    assert with_limits(server.url, use) == 0.0


def test_a_server_that_was_never_there_fails_the_call_and_all_that_wait_behind_it(server):
    server.stop()

    async def use(limits):
        gate = gate_of(limits, Model("scripted:a", requests_per_minute=600))
        return await asyncio.gather(*(gate.enter(0.0) for _ in range(5)), return_exceptions=True)

    errors = with_limits(server.url, use, patience_seconds=0)
    assert [type(error) for error in errors] == [SharedLimitsError] * 5


def test_a_cancelled_wait_does_not_stop_the_line(server):
    async def use(limits):
        gate = gate_of(limits, Model("scripted:a", requests_per_minute=600))
        tasks = [asyncio.create_task(gate.enter(0.0)) for _ in range(4)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        tasks[1].cancel()
        return all([await task for task in tasks[2:]])

    assert with_limits(server.url, use)


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost"])
def test_another_url_is_refused_when_the_pipeline_is_built(url):
    with pytest.raises(GraphError, match="shared_limits is the URL of a Redis server"):
        LLMDag(dag_of(Model("openai:gpt-5-mini"), {}), shared_limits=url)


def test_a_variable_that_the_worker_lacks_ends_the_run(run):
    dag = dag_of(Model("scripted:a", requests_per_minute=600), {"scripted": ScriptedProvider(["a"])})
    with pytest.raises(Exception, match=r"shared_limits names \$NOT_SET: set it on the worker"):
        run(dag, [{"id": "1", "content": "a"}], shared_limits="redis://:$NOT_SET@host:6379/0")


def test_runs_count_their_calls_there(run, server):
    dag = dag_of(Model("scripted:a", requests_per_minute=60), {"scripted": ScriptedProvider(["a"])})
    out = run(dag, [{"id": "1", "content": "a"}], shared_limits=server.url)
    assert out.statuses("analyze") == {"1": "ok"}
    assert "cmdstat_set:calls=1," in server.ask("info", "commandstats")


def dag_of(model: Model, providers: dict[str, ScriptedProvider]) -> Dag:
    dag = Dag("d", model=model, providers=providers)

    @dag.dimension(output=str)
    def analyze(item):
        return item.content

    return dag
