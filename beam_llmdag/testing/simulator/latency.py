"""How long answers take: distributions, as functions from a chance in (0, 1) to seconds."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log
from statistics import NormalDist

__all__ = ["Latency", "constant", "lognormal", "with_tail"]

Latency = Callable[[float], float]
"""The quantile function of a distribution: the share of requests that are faster -> seconds."""


def constant(seconds: float) -> Latency:
    """Every answer takes `seconds`."""
    return lambda _share: seconds


def lognormal(median_seconds: float, p99_seconds: float) -> Latency:
    """A log-normal distribution: half of all answers take less than `median_seconds`, 1 % more than `p99_seconds`.

    Raises:
        ValueError: not 0 < median <= p99.
    """
    if not 0 < median_seconds <= p99_seconds:
        raise ValueError(f"need 0 < median_seconds <= p99_seconds, not {median_seconds} and {p99_seconds}")
    normal = NormalDist()
    sigma = log(p99_seconds / median_seconds) / normal.inv_cdf(0.99)
    return lambda share: median_seconds * exp(sigma * normal.inv_cdf(share))


def with_tail(latency: Latency, share: float, seconds: float) -> Latency:
    """`latency`, but a `share` of all answers takes `seconds`: `with_tail(constant(0.2), 0.02, 3.0)`.

    Raises:
        ValueError: `share` is not in [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must be in [0, 1), not {share}")
    usual = 1 - share
    return lambda chance: seconds if chance > usual else latency(chance / usual if share else chance)
