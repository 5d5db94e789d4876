"""Beam counters and distributions, under `llmdag/<dimension>`. They show progress; the bill is `results.costs`."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from apache_beam.metrics.metric import Metrics

from beam_llmdag.records.result import Attempt, Result
from beam_llmdag.usage import TOKEN_KINDS

__all__ = ["THROTTLED", "DimensionMetrics", "namespace"]

THROTTLED = "llmdag"
"""Namespace of `cumulativeThrottlingSeconds`, Beam's own counter for time in which limits held calls back."""

_MOST_UNTOLD = 50  # results: a counter of Beam's costs more than all the rest


def namespace(dimension: str) -> str:
    """Namespace of a dimension's metrics."""
    return f"llmdag/{dimension}"


class DimensionMetrics:
    """Metrics of one dimension. Its methods must be called on the thread that runs the bundle."""

    def __init__(self, dimension: str) -> None:
        self._namespace = namespace(dimension)
        self._counters: dict[str, Any] = {}
        self._numbers: Counter[str] = Counter()
        self._latency = Metrics.distribution(self._namespace, "latency_ms")
        self._waiting = Metrics.distribution(self._namespace, "waiting_ms")

    def count(self, result: Result) -> None:
        """Counts a result and its attempts. The runner sees most of it at the next `flush`."""
        numbers = self._numbers
        numbers["results"] += 1
        if result.status != "ok":
            numbers["failures"] += result.status == "failed"
            numbers["fallbacks"] += result.status == "fallback"
            numbers["skips"] += result.status == "skipped"
        numbers["store_hits"] += result.store_hit
        sent = [attempt for attempt in result.attempts if attempt.sent]
        numbers["retries"] += sum(a.error_class is not None and a.model == b.model for a, b in pairwise(sent))
        for attempt in sent:
            self._count_attempt(attempt)
        if numbers["results"] >= _MOST_UNTOLD:
            self.flush()

    def flush(self) -> None:
        """Tells the runner: at the end of a bundle, and in between, since one may last for hours."""
        for name, number in self._numbers.items():
            if number:
                counter = self._counters.get(name)
                if counter is None:
                    counter = self._counters[name] = Metrics.counter(self._namespace, name)
                counter.inc(number)
        self._numbers.clear()

    def drop(self) -> None:
        """Forgets what the runner was not told, of a bundle that has failed."""
        self._numbers.clear()

    def _count_attempt(self, attempt: Attempt) -> None:
        numbers = self._numbers
        numbers["calls"] += 1
        self._latency.update(int(attempt.latency_seconds * 1000))
        self._waiting.update(int(attempt.waited_seconds * 1000))
        usage = attempt.usage
        if usage is not None:
            numbers.update(dict(zip(TOKEN_KINDS, usage.counts(), strict=True)))
        if attempt.cost_nano_usd is None:
            numbers["unpriced_calls"] += 1
        else:
            numbers["cost_nano_usd"] += attempt.cost_nano_usd
