import asyncio
import gc
import logging
import os
import threading
import time

from helpers.calls import TEXT, question
from helpers.dags import make_dag

from beam_llmdag.calls.call_thread import CallThread
from beam_llmdag.calls.options import CallOptions
from beam_llmdag.calls.worker import Worker, this_worker


def config(run_id, store=None):
    dag, _ = make_dag(["yes"])
    return CallOptions(run_id=run_id, store=None if store is None else str(store)), dag


def ask(worker, caller, text):
    one = question(text, model="scripted:x", output=TEXT)
    return asyncio.run_coroutine_threadsafe(caller.ask(one), worker.calls.loop).result(10)


def end(worker):
    worker.calls.loop.call_soon_threadsafe(worker.calls.loop.stop)


def test_all_of_a_run_share_one_caller_and_another_run_has_its_own():
    worker = Worker()
    first = config("one")
    caller = worker.enter(*first)
    assert worker.enter(*first) is caller
    assert worker.enter(*config("two")) is not caller
    end(worker)


def test_a_run_is_closed_when_the_last_has_left():
    worker = Worker()
    one = config("one")
    caller = worker.enter(*one)
    worker.enter(*one)
    worker.leave("one")
    assert worker.enter(*one) is caller
    worker.leave("one")
    worker.leave("one")
    assert worker.enter(*one) is not caller
    worker.leave("unknown")
    end(worker)


def test_a_store_that_a_user_deletes_between_runs_is_gone(tmp_path):
    """An open file that is deleted would still be read."""
    path = tmp_path / "answers.sqlite"
    worker = Worker()
    hits = []
    for n in range(3):
        caller = worker.enter(*config(f"run {n}", path))
        hits.append(ask(worker, caller, "same").store_hit)
        worker.leave(f"run {n}")
        if n == 1:
            path.unlink()
    assert hits == [False, True, False]
    assert path.exists()
    end(worker)


def test_a_store_stays_open_while_another_run_uses_it(tmp_path):
    path = tmp_path / "answers.sqlite"
    worker = Worker()
    first, second = worker.enter(*config("one", path)), worker.enter(*config("two", path))
    ask(worker, first, "same")
    worker.leave("one")
    assert ask(worker, second, "same").store_hit
    worker.leave("two")
    end(worker)


def test_a_process_has_one_worker_and_a_forked_one_has_its_own():
    mine = this_worker()
    assert this_worker() is mine
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        other = this_worker()
        works = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "yes"), other.calls.loop).result(10)
        os.write(write, f"{other is not mine} {works}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"True yes"


def test_what_was_there_before_a_run_is_left_alone_by_the_garbage_collector_until_its_end():
    gc.unfreeze()  # what runs of other tests have not ended
    worker = Worker()
    worker.enter(*config("one"))
    worker.enter(*config("two"))
    assert gc.get_freeze_count() > 0
    worker.leave("one")
    assert gc.get_freeze_count() > 0
    worker.leave("two")
    assert gc.get_freeze_count() == 0
    end(worker)


def test_what_the_user_has_frozen_stays_frozen():
    gc.freeze()
    try:
        worker = Worker()
        worker.enter(*config("one"))
        worker.leave("one")
        assert gc.get_freeze_count() > 0
        end(worker)
    finally:
        gc.unfreeze()


async def block(begun, released):
    begun.set()
    released.wait(30)


def test_a_loop_that_stands_is_named_in_the_log_by_where_it_stands(caplog, monkeypatch):
    monkeypatch.setattr("beam_llmdag.calls.call_thread._REPORTED_SECONDS", 0.05)
    caplog.set_level(logging.WARNING)
    calls, begun, released = CallThread(), threading.Event(), threading.Event()
    asyncio.run_coroutine_threadsafe(block(begun, released), calls.loop)
    assert begun.wait(30)
    for _ in range(600):
        calls.check()
        if "no call goes on" in caplog.text:
            break
        released.wait(0.05)
    released.set()
    assert "test_worker.py, line " in caplog.text
    assert "in block" in caplog.text
    assert calls.turns_within(10)
    calls.loop.call_soon_threadsafe(calls.loop.stop)


def test_nobody_waits_for_the_end_of_what_cannot_end():
    calls, released = CallThread(), threading.Event()
    asyncio.run_coroutine_threadsafe(block(threading.Event(), released), calls.loop)
    assert not calls.finish(asyncio.sleep(0), 30)
    released.set()
    assert calls.finish(asyncio.sleep(0), 30)
    calls.loop.call_soon_threadsafe(calls.loop.stop)


def test_a_worker_whose_thread_has_ended_is_replaced():
    lost = this_worker()
    lost.enter(*config("lost"))
    end(lost)
    while lost.calls.lives:
        time.sleep(0.01)
    assert this_worker() is not lost
    assert this_worker().calls.lives
    lost.leave("lost")
