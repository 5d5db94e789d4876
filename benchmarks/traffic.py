"""What came over the wire in one run, from the server's log."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Traffic", "read_traffic"]

_SETTLED_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Counts of one run.

    Attributes:
        calls: requests that came.
        answered: of them, those with a good answer.
        calls_429: of them, those that were refused.
        late_share_429: refused ones among the requests after the first five seconds; None if there were none.
        paid_twice: good answers to a request that had had a good answer before.
        peak_in_flight: requests at the server at once.
        calls_per_s: good answers over the time from the first request to the last answer.
        goodput_share: good answers, as a share of what the rate limit allowed up to the last of them; None without one.
    """

    calls: int
    answered: int
    calls_429: int
    late_share_429: float | None
    paid_twice: int
    peak_in_flight: int
    calls_per_s: float
    goodput_share: float | None


def read_traffic(
    log: Path, invalid: set[tuple[str, int]], peak_in_flight: int, rate: int | None, burst_seconds: int
) -> Traffic:
    """Reads the log of a simulator.

    Args:
        log: its file.
        invalid: fingerprint and repeat of requests whose answer did not fit.
        peak_in_flight: as the simulator has counted.
        rate: limit of requests per second; None for no limit.
        burst_seconds: how many seconds' worth of it may come at once.
    """
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    requests: list[dict[str, Any]] = [json.loads(line) for line in lines]
    if not requests:
        return Traffic(
            calls=0,
            answered=0,
            calls_429=0,
            late_share_429=None,
            paid_twice=0,
            peak_in_flight=0,
            calls_per_s=0.0,
            goodput_share=None,
        )
    first = min(request["received_at"] for request in requests)
    good = [r for r in requests if r["status"] == 200 and (r["fingerprint"], r["repeat"]) not in invalid]
    late = [r["status"] for r in requests if r["received_at"] > first + _SETTLED_SECONDS]
    times = Counter(request["fingerprint"] for request in good)
    last_sent = max((r["received_at"] for r in good), default=first) - first
    last_answered = max((r["finished_at"] for r in good), default=first) - first
    return Traffic(
        calls=len(requests),
        answered=len(good),
        calls_429=sum(request["status"] == 429 for request in requests),
        late_share_429=late.count(429) / len(late) if late else None,
        paid_twice=len(good) - len(times),
        peak_in_flight=peak_in_flight,
        calls_per_s=len(good) / last_answered if last_answered else 0.0,
        goodput_share=None if rate is None else len(good) / (rate * (last_sent + burst_seconds)),
    )
