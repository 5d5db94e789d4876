"""Answer stores on servers: what happens when the server is away, slow to come up, not ours, or used by many."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.calls import GOOD, make_caller, question
from helpers.put_answers import PAYER, enter
from helpers.servers import Postgres, new_postgres, new_redis

from beam_llmdag import Dag, Item
from beam_llmdag.calls.store.ledger import read_totals
from beam_llmdag.calls.store.place import open_store
from beam_llmdag.calls.store.postgres import PostgresStore
from beam_llmdag.calls.store.redis import RedisStore
from beam_llmdag.errors import StoreError
from beam_llmdag.testing import ScriptedProvider

pytestmark = pytest.mark.processes

PUTTER = str(Path(__file__).parents[2] / "helpers" / "put_answers.py")


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that the test may stop."""
    server = new_postgres()
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(params=["postgres", "redis"])
def server_place(request, new_place) -> str:
    place: str = new_place(request.param)
    return place


async def found(store: Any, *keys: str) -> list[str]:
    return [answer.text for answer in (await store.find(keys, PAYER)).answers]


def test_processes_that_start_and_write_at_the_same_time_lose_nothing(server_place):
    """The tables do not exist yet: all of them want to make them."""
    command = [sys.executable, PUTTER, server_place]
    processes = [
        subprocess.Popen([*command, f"p{n}", "40"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "READY\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait() for process in processes] == [0, 0, 0]
    [total] = read_totals(server_place)
    assert (total.calls, total.answers, total.in_flight) == (120, 120, 0)


def test_postgres_that_is_killed_and_comes_back_loses_nothing_and_enters_nothing_twice(own_postgres):
    place = own_postgres.new_database()

    async def run() -> tuple[list[str], bool]:
        store = PostgresStore(place)
        await enter(store, "before", "1")
        own_postgres.kill()
        waiting = asyncio.create_task(enter(store, "meanwhile", "2"))
        await asyncio.sleep(0.2)
        was_waiting = not waiting.done()
        await asyncio.to_thread(own_postgres.start)
        await waiting
        texts = await found(store, "before", "meanwhile")
        await store.aclose()
        return texts, was_waiting

    assert asyncio.run(run()) == (["1", "2"], True)
    assert [total.calls for total in read_totals(place)] == [2]


def test_redis_with_an_append_only_file_that_is_killed_and_comes_back_loses_nothing(tmp_path):
    server = new_redis(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    server.start()

    async def run() -> list[str]:
        store = RedisStore(server.url)
        await enter(store, "before", "1")
        server.stop()
        waiting = asyncio.create_task(enter(store, "meanwhile", "2"))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(server.start)
        await waiting
        texts = await found(store, "before", "meanwhile")
        await store.aclose()
        return texts

    try:
        assert asyncio.run(run()) == ["1", "2"]
        assert [total.calls for total in read_totals(server.url)] == [2]
    finally:
        server.stop()


@pytest.mark.parametrize("kind", [PostgresStore, RedisStore])
def test_a_server_that_stays_away_ends_the_run_and_shows_no_password(kind, unused_port):
    scheme = "postgresql" if kind is PostgresStore else "redis"

    async def run() -> None:
        store = kind(f"{scheme}://me:secret@127.0.0.1:{unused_port}/7", patience_seconds=0.0)
        with pytest.raises(StoreError, match=rf"answer store {scheme}://127.0.0.1:{unused_port}/7: .*") as raised:
            await store.find(["k"], PAYER)
        assert "secret" not in str(raised.value)
        await store.aclose()

    asyncio.run(run())


def test_a_lost_server_ends_the_run_and_going_on_later_pays_nothing_twice(own_postgres, monkeypatch):
    place = own_postgres.new_database()
    monkeypatch.setattr("beam_llmdag.calls.store.server._LOOK_AGAIN_SECONDS", 0.01)
    store = PostgresStore(place, patience_seconds=0.1)
    provider = ScriptedProvider([GOOD])

    async def ask(store: Any, *texts: str) -> list[Any]:
        caller = make_caller({"scripted": provider}, store=store)
        try:
            return [await caller.ask(question(text)) for text in texts]
        finally:
            await caller.aclose()
            await store.aclose()

    asyncio.run(ask(store, "one", "two"))
    own_postgres.kill()
    with pytest.raises(StoreError, match="does the server run"):
        asyncio.run(ask(store, "one", "two", "three"))
    own_postgres.start()
    replies = asyncio.run(ask(PostgresStore(place), "one", "two", "three"))
    assert [reply.store_hit for reply in replies] == [True, True, False]
    assert len(provider.requests) == 3


def test_the_password_is_read_from_the_environment_of_the_process_that_uses_it(tmp_path, monkeypatch):
    server = new_redis(tmp_path, "--requirepass", "p@ss")
    server.start()
    address = f"redis://:$STORE_PASSWORD@127.0.0.1:{server.port}/0"
    try:
        with pytest.raises(StoreError, match="names \\$STORE_PASSWORD: set it on the worker"):
            open_store(address)
        monkeypatch.setenv("STORE_PASSWORD", "p%40ss")
        asyncio.run(open_store(address).find(["k"], PAYER))
        monkeypatch.setenv("STORE_PASSWORD", "wrong")
        with pytest.raises(StoreError, match="Is that address right") as raised:
            asyncio.run(open_store(address).find(["k"], PAYER))
        assert "wrong" not in str(raised.value)
    finally:
        server.stop()


def test_a_database_of_a_newer_version_is_left_as_it_is(postgres, redis_server):
    import psycopg

    place = postgres.new_database()
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute("CREATE TABLE llmdag_layout (layout integer)")
        connection.execute("INSERT INTO llmdag_layout VALUES (99)")
    redis_server.ask("FLUSHALL")
    redis_server.ask("SET", "llmdag:layout", "99")
    for address in (place, redis_server.url):
        for use in (lambda at: asyncio.run(open_store(at).find(["k"], PAYER)), read_totals):
            with pytest.raises(StoreError, match="has layout 99, this version has"):
                use(address)
    redis_server.ask("FLUSHALL")


def test_a_redis_that_may_lose_answers_is_warned_of(redis_server, caplog):
    redis_server.ask("FLUSHALL")
    asyncio.run(open_store(redis_server.url).find(["k"], PAYER))
    assert "has no append-only file" in caplog.text


def test_a_dag_runs_with_any_of_them_and_finds_its_answers_from_elsewhere(server_place):
    provider = ScriptedProvider(["fine"])
    dag = Dag("d", model="scripted:x", providers={"scripted": provider})

    @dag.dimension()
    def mood(item: Item) -> str:
        return f"Mood of {item.content}?"

    first = dag.run(["a", "b"], store=server_place)
    again = dag.run(["a", "b"], store=server_place)
    assert [row.results["mood"].store_hit for row in (*first.items, *again.items)] == [False, False, True, True]
    assert len(provider.requests) == 2


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
