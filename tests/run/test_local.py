"""The local engine: what is read ahead, what goes on after an end, and what two runs at once do to each other."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beam_llmdag import Dag, Failure, GraphError, InputError, Item, Result, Row, StoreError, StrictModeError
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider

IN_FLIGHT = 4
AHEAD = IN_FLIGHT + 2 * 256 + 2  # on their way, read ahead, finished and not yet taken, and one in each hand


def text_of(request: Request) -> str:
    return str(request.messages[0].content)


def echoing(provider: ScriptedProvider | None = None) -> Dag:
    dag = Dag("echo", model="scripted:m", providers={"scripted": provider or ScriptedProvider(text_of)})
    dag.dimension(lambda item: str(item.content), name="echo")
    return dag


def counting() -> Dag:
    """One call per item and a global over all."""
    dag = echoing()
    dag.dimension(lambda items: str(len(items)), name="count", scope="global")
    return dag


class Endless:
    """Records without end, and how many were read."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[str]:
        for self.read in itertools.count(1):
            yield f"text {self.read}"

    async def __aiter__(self) -> AsyncIterator[str]:
        for text in self:
            yield text


def test_a_stream_reads_no_further_ahead_than_its_buffers_hold() -> None:
    source = Endless()
    stream = echoing().stream(source, most_in_flight=IN_FLIGHT)
    taken = [next(stream) for _ in range(2000)]
    assert len({row.item.id for row in taken if isinstance(row, Row)}) == 2000
    assert 2000 <= source.read <= 2000 + AHEAD
    stream.close()


def test_nothing_is_read_before_a_stream_is() -> None:
    source = Endless()
    echoing().stream(source)
    assert source.read == 0


def test_an_asynchronous_stream_reads_no_further_ahead_than_its_buffers_hold() -> None:
    source = Endless()

    async def take(count: int) -> int:
        stream = echoing().astream(aiter(source), most_in_flight=IN_FLIGHT)
        rows = [await anext(stream) for _ in range(count)]
        await stream.aclose()
        return len({row.item.id for row in rows if isinstance(row, Row)})

    assert asyncio.run(take(1000)) == 1000
    assert 1000 <= source.read <= 1000 + AHEAD


def test_a_stream_gives_rows_then_globals_and_failures_in_between() -> None:
    made = list(counting().stream(["x", 7, "y"]))
    assert sorted(type(each).__name__ for each in made[:-1]) == ["Failure", "Row", "Row"]
    assert (made[-1].dimension, made[-1].data) == ("count", "2")


def test_an_asynchronous_stream_takes_a_plain_list_as_well() -> None:
    async def take() -> list[str]:
        return sorted([row.item.content async for row in echoing().astream(["x", "y"])])

    assert asyncio.run(take()) == ["x", "y"]


def test_arun_leaves_the_loop_to_others() -> None:
    turns = 0

    async def main() -> dict[str, Any]:
        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.create_task(turn())
        report = await echoing(ScriptedProvider(text_of, latency_seconds=0.05)).arun(["x", "y"], progress=False)
        turning.cancel()
        return {row.item.content: row.results["echo"].data for row in report.items}

    assert asyncio.run(main()) == {"x": "x", "y": "y"}
    assert turns > 10


def test_run_works_inside_a_running_loop() -> None:
    async def main() -> int:
        return len(echoing().run(["x", "y"], progress=False).items)

    assert asyncio.run(main()) == 2


class Held(ScriptedProvider):
    """Answers what begins with `fast`; holds all else for good, and tells once so many are held."""

    def __init__(self, held: int) -> None:
        self.all_held = threading.Event()
        self._most = held
        super().__init__(self._said, latency_seconds=lambda request: 0 if text_of(request).startswith("fast") else 600)

    def _said(self, request: Request) -> str:
        held = [each for each in self.requests if not text_of(each).startswith("fast")]
        if len(held) >= self._most:
            self.all_held.set()
        return text_of(request)

    def assert_cancelled(self) -> None:
        assert self.in_flight == 0
        assert self.cancelled == self._most


TEXTS = ["fast 1", "fast 2", "slow 1", "slow 2"]
ROOM = 2  # both slow ones are on their way: both fast ones are finished


def test_a_cancelled_arun_cancels_its_calls_and_keeps_what_is_finished() -> None:
    provider = Held(2)
    dag = echoing(provider)

    async def main() -> None:
        running = asyncio.create_task(dag.arun(TEXTS, progress=False, most_in_flight=ROOM))
        await asyncio.to_thread(provider.all_held.wait)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    provider.assert_cancelled()
    assert dag.last_report is not None
    assert {row.item.content for row in dag.last_report.items} == {"fast 1", "fast 2"}


def test_an_abandoned_stream_cancels_its_calls() -> None:
    provider = Held(2)
    for row in echoing(provider).stream(TEXTS):
        assert isinstance(row, Row)
        provider.all_held.wait()
        break
    gc.collect()
    provider.assert_cancelled()


def test_an_abandoned_asynchronous_stream_cancels_its_calls() -> None:
    provider = Held(2)

    async def main() -> None:
        stream = echoing(provider).astream(TEXTS)
        await anext(stream)
        await asyncio.to_thread(provider.all_held.wait)
        await stream.aclose()

    asyncio.run(main())
    provider.assert_cancelled()


def test_ctrl_c_leaves_what_is_finished_in_the_last_report(tmp_path: Path) -> None:
    provider = Held(2)
    dag = echoing(provider)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        provider.all_held.wait()
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        dag.run(TEXTS, progress=False, most_in_flight=ROOM, store=tmp_path / "answers.sqlite")
    provider.assert_cancelled()
    assert dag.last_report is not None
    assert {row.item.content for row in dag.last_report.items} == {"fast 1", "fast 2"}
    again = dag.run(["fast 1", "fast 2"], progress=False, store=tmp_path / "answers.sqlite")
    assert again.summary.total.calls == 0


RUNS: dict[str, Callable[..., Any]] = {
    "run": lambda dag, items, **options: dag.run(items, progress=False, **options),
    "arun": lambda dag, items, **options: asyncio.run(dag.arun(items, progress=False, **options)),
    "stream": lambda dag, items, **options: list(dag.stream(items, **options)),
    "astream": lambda dag, items, **options: asyncio.run(everything(dag, items, **options)),
}


async def everything(dag: Dag, items: Any, **options: Any) -> list[Row | Result | Failure]:
    return [made async for made in dag.astream(items, **options)]


@pytest.fixture(params=RUNS)
def go(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Each way to run a dag here."""
    return RUNS[request.param]


def test_a_strict_run_ends_with_its_own_error_and_no_call_goes_on(go: Callable[..., Any]) -> None:
    provider = Held(1)
    dag = Dag("strict", model="scripted:m", providers={"scripted": provider})

    @dag.dimension
    def each(item: Item) -> str:
        if item.content == "wrong":
            provider.all_held.wait()
            raise ValueError("no")
        return str(item.content)

    with pytest.raises(StrictModeError, match="user_function: "):
        go(dag, ["slow", "wrong"], strict=True)
    assert provider.in_flight == 0


def test_a_store_that_does_not_work_ends_the_run_with_its_own_error(go: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_text("this is no database " * 100, encoding="utf-8")
    with pytest.raises(StoreError, match="file is not a database"):
        go(echoing(), ["x"], store=tmp_path / "answers.sqlite")


def test_a_source_that_raises_ends_the_run_with_its_own_error(go: Callable[..., Any]) -> None:
    def records() -> Iterator[str]:
        yield "x"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        go(echoing(), records())


def test_an_asynchronous_source_that_raises_ends_the_stream_with_its_own_error() -> None:
    async def records() -> AsyncIterator[str]:
        yield "x"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        asyncio.run(everything(echoing(), records()))


def test_a_single_text_is_no_source(go: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=r"pass \[it\] instead"):
        go(echoing(), "great")


def test_no_items_are_no_calls(go: Callable[..., Any]) -> None:
    provider = ScriptedProvider(text_of)
    go(echoing(provider), [])
    assert provider.requests == []


@pytest.mark.parametrize("most", [0, -1])
def test_a_run_needs_room_for_an_item(go: Callable[..., Any], most: int) -> None:
    with pytest.raises(GraphError, match="most_in_flight must be at least 1"):
        go(echoing(), ["x"], most_in_flight=most)


def test_a_run_whose_thread_is_stopped_says_so(go: Callable[..., Any]) -> None:
    dag = echoing()

    @dag.dimension
    def stop(item: Item) -> str:
        asyncio.get_running_loop().stop()
        return "x"

    with pytest.raises(Exception, match="the thread that makes the calls has ended"):
        go(dag, ["x"])
    assert len(echoing().run(["x"], progress=False).items) == 1


def test_two_runs_at_once_keep_their_results_apart() -> None:
    dag = counting()
    reports: dict[int, Any] = {}

    def run(number: int) -> None:
        reports[number] = dag.run([f"{number}-{index}" for index in range(20 + number)], progress=False)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [reports[number].globals[0].data for number in range(5)] == ["20", "21", "22", "23", "24"]
    assert all({row.item.content.split("-")[0] for row in reports[n].items} == {str(n)} for n in range(5))


FORKED = """
import os, sys
from beam_llmdag import Dag
from beam_llmdag.testing import ScriptedProvider

dag = Dag("forked", model="scripted:m", providers={"scripted": ScriptedProvider(lambda request: "fine")})
dag.dimension(lambda item: item.content, name="echo")
assert len(dag.run(["x"], store=False, progress=False).items) == 1
child = os.fork()
assert len(dag.run(["x", "y"], store=False, progress=False).items) == 2
if child == 0:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_runs_as_its_parent_does() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], check=True, timeout=120)


def test_a_thousand_runs_leave_nothing_behind() -> None:
    dag = counting()

    def left() -> tuple[int, int, int]:
        gc.collect()
        tasks = sum(isinstance(each, asyncio.Task) for each in gc.get_objects())
        return threading.active_count(), len(os.listdir("/proc/self/fd")), tasks

    for _ in range(5):
        dag.run(["x"], progress=False)
    before = left()
    for _ in range(1000):
        dag.run(["x"], progress=False)
    assert all(now <= then for now, then in zip(left(), before, strict=True))
