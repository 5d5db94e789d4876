"""Beam counters and distributions, under `llmdag/<dimension>`. They show progress; the bill is `results.costs`."""

from __future__ import annotations

from typing import Any

from apache_beam.metrics.metric import Metrics

from beam_llmdag.result import Attempt, Result

__all__ = ["THROTTLED", "DimensionMetrics", "namespace"]

THROTTLED = "llmdag"
"""Namespace of `cumulativeThrottlingSeconds`, Beam's own counter for time in which limits held calls back."""

_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def namespace(dimension: str) -> str:
    """Namespace of a dimension's metrics."""
    return f"llmdag/{dimension}"


class DimensionMetrics:
    """Metrics of one dimension. `count` must be called on the thread that runs the bundle."""

    def __init__(self, dimension: str) -> None:
        self._namespace = namespace(dimension)
        self._counters: dict[str, Any] = {}
        self._latency = Metrics.distribution(self._namespace, "latency_ms")
        self._waiting = Metrics.distribution(self._namespace, "waiting_ms")

    def count(self, result: Result) -> None:
        """Counts a result and its attempts."""
        sent = [attempt for attempt in result.attempts if attempt.sent]
        self._add("results", 1)
        self._add("calls", len(sent))
        self._add("retries", max(0, len(sent) - len({attempt.model for attempt in sent})))
        self._add("failures", int(result.status == "failed"))
        self._add("fallbacks", int(result.status == "fallback"))
        self._add("skips", int(result.status == "skipped"))
        self._add("store_hits", int(result.store_hit))
        for attempt in sent:
            self._count_attempt(attempt)

    def _count_attempt(self, attempt: Attempt) -> None:
        self._latency.update(int(attempt.latency_seconds * 1000))
        self._waiting.update(int(attempt.waited_seconds * 1000))
        if attempt.usage is not None:
            for name in _TOKENS:
                self._add(name, getattr(attempt.usage, name))
        if attempt.cost_nano_usd is None:
            self._add("unpriced_calls", 1)
        else:
            self._add("cost_nano_usd", attempt.cost_nano_usd)

    def _add(self, name: str, number: int) -> None:
        if number:
            counter = self._counters.get(name)
            if counter is None:
                counter = self._counters[name] = Metrics.counter(self._namespace, name)
            counter.inc(number)
