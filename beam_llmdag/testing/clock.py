"""A clock that never waits."""

from __future__ import annotations

import asyncio

from beam_llmdag.testing.pinned import Pinned

__all__ = ["FakeClock"]


class FakeClock(Pinned):
    """A `beam_llmdag.clock.Clock` whose time moves only when somebody sleeps or a test moves it.

    Survives pickling as itself within a process.

    Args:
        start: the first `now()`, in seconds since 1970-01-01 UTC.

    Attributes:
        sleeps: the seconds of every sleep, in the order in which they began.

    Example:
        >>> clock = FakeClock(start=1000.0)
        >>> asyncio.run(clock.sleep(2.5))
        >>> clock.now(), clock.sleeps
        (1002.5, [2.5])
    """

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        super().__init__()
        self.sleeps: list[float] = []
        self._start = start
        self._elapsed = 0.0

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Seconds that passed on this clock."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Lets `seconds` pass."""
        self._elapsed += seconds

    async def sleep(self, seconds: float) -> None:
        """Lets `seconds` pass at once; other tasks get one turn."""
        self.sleeps.append(seconds)
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)
