import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import put_answers
from helpers.put_answers import PAID, PAYER, enter

from beam_llmdag.calls.store.answers import StoredAnswer
from beam_llmdag.calls.store.ledger import LedgerTotal, clear_store, read_totals
from beam_llmdag.calls.store.sqlite import SqliteStore
from beam_llmdag.errors import StoreError
from beam_llmdag.records.result import Attempt
from beam_llmdag.usage import Usage

pytestmark = pytest.mark.processes


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "answers.sqlite"


def answer(key, text="yes", model="m:x"):
    return StoredAnswer(key=key, model=model, text=text, dimension="d")


def with_store(path, use):
    """What `use` returns for an open store, which is closed afterwards."""

    async def run():
        store = SqliteStore(path)
        try:
            return await use(store)
        finally:
            await store.aclose()

    return asyncio.run(run())


def find(path, *keys):
    return with_store(path, lambda store: store.find(keys, PAYER)).answers


async def put_one(store, one):
    await enter(store, one.key, one.text)


async def find_one(store, key="k"):
    return (await store.find([key], PAYER)).answers


def put(path, *answers):
    async def use(store):
        for one in answers:
            await put_one(store, one)

    with_store(path, use)


def start_writers(path, names, count):
    script = Path(put_answers.__file__)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writers = [
        subprocess.Popen(
            [sys.executable, script, path, name, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        for name in names
    ]
    for writer in writers:
        assert writer.stdout.readline() == "READY\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    return writers


def test_what_was_put_is_found_by_another_store_of_the_file(path):
    put(path, answer("k1", "one"), answer("k2", "two"))
    assert find(path, "k2", "k0", "k1") == [answer("k2", "two"), answer("k1", "one")]


def test_a_later_answer_replaces_an_earlier_one(path):
    put(path, answer("k", "one"), answer("k", "two"))
    assert find(path, "k") == [answer("k", "two")]


@pytest.mark.parametrize("text", ["", "a\x00b", "naïve 😀 \u2028", "'; DROP TABLE answers; --", "x" * 3_000_000])
def test_any_text_comes_back_as_it_was(path, text):
    put(path, answer("k", text))
    assert find(path, "k") == [answer("k", text)]


def test_half_a_surrogate_pair_does_not_stop_the_store(path):
    put(path, answer("k", "a\ud83d"), answer("l"))
    assert find(path, "k", "l") == [answer("k", "a\ufffd"), answer("l")]


def test_more_answers_than_one_statement_holds_are_written_together(path):
    async def use(store):
        await asyncio.gather(*(put_one(store, answer(f"k{n}", str(n))) for n in range(5000)))
        return (await store.find([f"k{n}" for n in range(5000)], PAYER)).answers

    found = with_store(path, use)
    assert [one.text for one in found] == [str(n) for n in range(5000)]


def test_many_puts_share_commits(path):
    """Each commit writes at least one page, so the write-ahead log counts them."""

    async def use(store):
        await find_one(store)
        await asyncio.gather(*(put_one(store, answer(f"k{n}")) for n in range(500)))
        return Path(f"{path}-wal").stat().st_size // 4096

    assert with_store(path, use) < 250


def test_a_put_that_returned_is_in_the_file_while_the_store_is_open(path):
    async def use(store):
        await put_one(store, answer("k", "kept"))
        connection = sqlite3.connect(path)
        found = connection.execute("SELECT key, answer FROM calls").fetchall()
        connection.close()
        return found

    assert with_store(path, use) == [("k", "kept")]


def test_a_cancelled_waiter_does_no_harm_and_its_answer_is_kept(path):
    async def use(store):
        await find_one(store)
        tasks = [asyncio.create_task(put_one(store, answer(f"k{n}"))) for n in range(10)]
        await asyncio.sleep(0)  # all have asked
        tasks[3].cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        found = await store.find([f"k{n}" for n in range(10)], PAYER)
        return [type(one).__name__ for one in ended].count("CancelledError"), len(found.answers)

    assert with_store(path, use) == (1, 10)


def test_a_closed_store_opens_again(path):
    async def use(store):
        await put_one(store, answer("k"))
        await store.aclose()
        await store.aclose()
        return await find_one(store)

    assert with_store(path, use) == [answer("k")]


def test_a_store_works_while_it_is_being_closed(path):
    async def use(store):
        await put_one(store, answer("k"))
        _, *found = await asyncio.gather(store.aclose(), *(find_one(store) for _ in range(50)))
        return found

    assert with_store(path, use) == [[answer("k")]] * 50


def test_a_store_works_on_the_next_loop_when_nobody_closed_it(path):
    store = SqliteStore(path)
    asyncio.run(put_one(store, answer("k")))
    assert asyncio.run(find_one(store)) == [answer("k")]
    asyncio.run(store.aclose())


def test_a_loop_that_ended_while_it_waited_does_not_stop_the_thread(path):
    async def leave(store):
        asyncio.get_running_loop().create_task(put_one(store, answer("k")))
        await asyncio.sleep(0)

    store = SqliteStore(path)
    asyncio.run(leave(store))
    assert asyncio.run(find_one(store)) == [answer("k")]
    asyncio.run(store.aclose())


def test_processes_that_start_and_write_at_the_same_time_lose_nothing(path):
    names = [f"w{n}" for n in range(6)]
    writers = start_writers(path, names, 100)
    assert [writer.wait(60) for writer in writers] == [0] * 6
    [total] = read_totals(path)
    assert (total.calls, total.in_flight, total.cost_nano_usd, total.answers) == (600, 0, 1800, 600)


def test_what_was_written_before_a_kill_is_there_and_the_file_is_sound(path):
    [writer] = start_writers(path, ["w"], 100_000)
    done = [writer.stdout.readline().strip() for _ in range(50)]
    writer.send_signal(signal.SIGKILL)
    done += writer.stdout.read().split("\n")[:-1]  # the last line may be cut
    assert writer.wait(10) == -signal.SIGKILL
    assert [one.key for one in find(path, *done)] == done
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/answers\.sqlite: .*store=False"):
        find(tmp_path / "file" / "answers.sqlite", "k")


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    with pytest.raises(StoreError, match=f"{tmp_path}: that is a folder"):
        find(tmp_path, "k")


def test_a_file_that_is_no_database_is_named_and_left_as_it_is(tmp_path):
    path = tmp_path / "answers.sqlite"
    path.write_text("id,content\n" * 1000)
    with pytest.raises(StoreError, match=r"answers\.sqlite: file is not a database"):
        find(path, "k")
    for use in (read_totals, clear_store):
        with pytest.raises(StoreError, match=r"answers\.sqlite: file is not a database"):
            use(path)
    assert path.read_text() == "id,content\n" * 1000


def test_a_damaged_file_is_named(path):
    put(path, *(answer(f"k{n}", "x" * 1000) for n in range(200)))
    data = bytearray(path.read_bytes())
    data[4096:-4096] = b"\xff" * (len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"answers\.sqlite: .*malformed"):
        find(path, "k1")


def test_a_database_of_something_else_is_named_and_left_as_it_is(tmp_path):
    path = tmp_path / "answers.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE users (name)")
    connection.close()
    with pytest.raises(StoreError, match=r"answers\.sqlite has layout 0"):
        find(path, "k")
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("users",)]
    connection.close()


def test_after_an_error_the_store_goes_on_when_the_cause_is_gone(tmp_path):
    async def use(store):
        with pytest.raises(StoreError):
            await find_one(store)
        (tmp_path / "file").unlink()
        await put_one(store, answer("k"))
        return await find_one(store)

    (tmp_path / "file").write_text("")
    assert with_store(tmp_path / "file" / "answers.sqlite", use) == [answer("k")]


def test_the_ledger_sums_up_by_model_and_counts_the_unpriced(path):
    async def use(store):
        await put_one(store, answer("k1"))
        await enter(store, "k2", None, Attempt(model="m:x", error_class="timeout"))
        await enter(store, "k2", None, Attempt(model="a:y", error_class="refused", usage=Usage(), cost_nano_usd=7))

    with_store(path, use)
    assert read_totals(path) == [
        LedgerTotal(model="a:y", calls=1, cost_nano_usd=7),
        LedgerTotal(model="m:x", calls=2, unpriced_calls=1, cost_nano_usd=3, usage=PAID.usage, answers=1),
    ]


def test_an_answer_that_was_replaced_is_one_answer_and_two_calls(path):
    put(path, answer("k", "one"), answer("k", "two"))
    [total] = read_totals(path)
    assert (total.calls, total.answers) == (2, 1)
    assert clear_store(path) == 1


def test_clearing_forgets_the_answers_and_keeps_the_ledger(path):
    put(path, answer("k1"), answer("k2"))
    assert clear_store(path) == 2
    assert find(path, "k1", "k2") == []
    assert read_totals(path) == [LedgerTotal(model="m:x", calls=2, cost_nano_usd=6, usage=PAID.usage + PAID.usage)]


@pytest.mark.parametrize("use", [read_totals, clear_store])
def test_totals_of_a_file_that_is_not_there_make_none(path, use):
    with pytest.raises(FileNotFoundError, match=r"answers\.sqlite"):
        use(path)
    assert not path.exists()
