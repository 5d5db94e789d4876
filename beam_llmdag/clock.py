"""Time as a parameter: what reads a clock or waits gets one handed over, so that no test has to wait."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "moment"]


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back. For durations."""

    async def sleep(self, seconds: float) -> None:
        """Lets `seconds` pass."""


@dataclass(frozen=True)
class SystemClock:
    """The clock of the machine. All of them are equal."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits for `seconds` without blocking the event loop."""
        await asyncio.sleep(seconds)


def moment(text: str) -> datetime:
    """A moment written as in ISO 8601; one without a time zone is meant on this machine.

    Raises:
        ValueError: it is none.
    """
    return datetime.fromisoformat(text).astimezone()
