"""Time-outs of many calls with one timer: `asyncio.timeout` sets one per call, at the cost of reading an answer."""

from __future__ import annotations

import asyncio
from types import TracebackType

__all__ = ["Timeout", "Timeouts"]

_MOST_KEPT = 16  # lines that nobody stands in; what is left of a deadline is another number every time


class Timeouts:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._lines: dict[float, _Line] = {}

    def within(self, seconds: float) -> Timeout:
        """For `with`: a block that is cancelled after `seconds` of the loop's clock, and then raises `TimeoutError`."""
        line = self._lines.get(seconds)
        if line is None:
            if len(self._lines) >= _MOST_KEPT:
                self._lines = {known: line for known, line in self._lines.items() if not line.end_if_empty()}
            line = self._lines[seconds] = _Line(seconds)
        return Timeout(line)


class Timeout:
    """One block.

    Attributes:
        expired: whether the time is up.
    """

    __slots__ = ("_cancelling", "_line", "_task", "ends_at", "expired")

    def __init__(self, line: _Line) -> None:
        self._line = line
        self.expired = False

    def __enter__(self) -> Timeout:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self.ends_at = self._line.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if not self.expired:
            self._line.remove(self)
        elif self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """The time is up."""
        self.expired = True
        self._task.cancel()


class _Line:
    """Blocks with the same time-out: who came first is the first whose time is up."""

    __slots__ = ("_blocks", "_loop", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._blocks: dict[Timeout, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, block: Timeout) -> float:
        """Puts a block at the end; returns when its time is up, on the loop's clock."""
        ends_at = self._loop.time() + self._seconds
        self._blocks[block] = None
        if self._timer is None:
            self._timer = self._loop.call_at(ends_at, self._expire)
        return ends_at

    def remove(self, block: Timeout) -> None:
        del self._blocks[block]

    def end_if_empty(self) -> bool:
        """Stops the timer if nobody waits for it; returns whether that was so."""
        if self._blocks:
            return False
        if self._timer is not None:
            self._timer.cancel()
        return True

    def _expire(self) -> None:
        self._timer = None
        now = self._loop.time()
        for block in list(self._blocks):
            if block.ends_at > now:
                self._timer = self._loop.call_at(block.ends_at, self._expire)
                return
            self.remove(block)
            block.expire()
