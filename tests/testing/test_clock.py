"""The clock that never waits."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import time

from beam_llmdag.clock import Clock, SystemClock
from beam_llmdag.testing import FakeClock


def test_a_fake_sleep_moves_the_clock_at_once_and_is_recorded():
    clock = FakeClock(start=1000.0)
    before = time.monotonic()
    asyncio.run(clock.sleep(3600))
    assert time.monotonic() - before < 600
    assert (clock.now(), clock.monotonic(), clock.sleeps) == (4600.0, 3600.0, [3600])


def test_a_fake_sleep_gives_other_tasks_a_turn():
    clock = FakeClock()
    order: list[str] = []

    async def sleeper():
        order.append("asleep")
        await clock.sleep(1)
        order.append("awake")

    async def other():
        order.append("other")

    async def both():
        await asyncio.gather(sleeper(), other())

    asyncio.run(both())
    assert order == ["asleep", "other", "awake"]


def test_a_test_can_move_the_clock():
    clock = FakeClock(start=10.0)
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic(), clock.sleeps) == (12.5, 2.5, [])


def test_a_fake_clock_survives_pickling_and_copying_as_itself():
    clock = FakeClock()
    assert pickle.loads(pickle.dumps(clock)) is clock
    assert copy.deepcopy(clock) is clock


def test_a_fake_clock_of_another_process_is_a_clear_error(tmp_path):
    path = tmp_path / "clock.pickle"
    path.write_bytes(pickle.dumps(FakeClock()))
    code = f"import pickle; pickle.load(open({str(path)!r}, 'rb'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "RuntimeError: this FakeClock was made in another process" in done.stderr


def test_the_system_clock_tells_the_time_and_waits():
    clock: Clock = SystemClock()
    before = clock.monotonic()
    asyncio.run(clock.sleep(0.05))
    assert clock.monotonic() - before >= 0.04
    assert abs(clock.now() - time.time()) < 1
