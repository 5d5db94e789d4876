"""How far a run in this process is, for those who wait in front of it."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from beam_llmdag.records.result import Attempt, Result

__all__ = ["Progress"]


@dataclass(slots=True)
class Progress:
    """A `Watch` that counts: numbers that grow while a run works.

    Attributes:
        results: dimension -> results so far.
        failed: dimension -> failed ones among them.
        calls: calls made.
        cost_nano_usd: nano-dollars of those with a price.
    """

    results: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    cost_nano_usd: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, *_: str) -> None:
        """See `Watch`."""

    def attempted(self, _: str, __: str, attempt: Attempt) -> None:
        """See `Watch`."""
        with self._lock:
            self.calls += attempt.sent
            self.cost_nano_usd += attempt.cost_nano_usd or 0

    def answered(self, result: Result) -> None:
        """See `Watch`."""
        with self._lock:
            self.results[result.dimension] += 1
            if result.status == "failed":
                self.failed[result.dimension] += 1

    def line(self) -> str:
        """One line of text."""
        with self._lock:
            done = ", ".join(f"{name} {count}" for name, count in self.results.items())
            failed = sum(self.failed.values())
        trouble = f", {failed} failed" if failed else ""
        return f"{self.calls} calls, ${self.cost_nano_usd / 1e9:.4f}{trouble}: {done or 'starting'}"
