"""From a sample to all: totals with intervals, as in Cochran, Sampling Techniques (3rd edition), chapters 2 and 7."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean
from typing import NamedTuple

__all__ = ["Total", "total"]

_LEAST_FOR_SLOPE = 8  # points; with fewer a slope says nothing


class Total(NamedTuple):
    """A total over all, estimated: the value, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def total(values: Sequence[float], sizes: Sequence[float], all_sizes: Sequence[float]) -> Total:
    """The total of something over all, known for some drawn by chance.

    Where it depends on a size that is known of all, as dollars do on the length of prompts, the difference between the
    sizes of the sample and of all is made good (regression estimator).

    Args:
        values: of the sample; not empty.
        sizes: of the sample, in the same order.
        all_sizes: of all, the sample among them.
    """
    drawn, count = len(values), len(all_sizes)
    mean = fmean(values)
    slope = _slope(values, sizes)
    value = count * (mean + slope * (fmean(all_sizes) - fmean(sizes)))
    free = drawn - (2 if slope else 1)
    if drawn >= count:
        return Total(value, value, value)
    if free < 1:
        return Total(value, 0.0, math.inf)
    middle = fmean(sizes)
    rest = sum((v - mean - slope * (s - middle)) ** 2 for v, s in zip(values, sizes, strict=True)) / free
    error = _t(free) * count * math.sqrt(rest / drawn * (1 - drawn / count))
    return Total(value, max(value - error, sum(values)), value + error)


def _slope(values: Sequence[float], sizes: Sequence[float]) -> float:
    """How `values` grow with `sizes`; 0 where a sample of that size does not show that they do."""
    if len(values) < _LEAST_FOR_SLOPE:
        return 0.0
    mean, middle = fmean(values), fmean(sizes)
    spread = sum((s - middle) ** 2 for s in sizes)
    varied = sum((v - mean) ** 2 for v in values)
    together = sum((v - mean) * (s - middle) for v, s in zip(values, sizes, strict=True))
    if not spread or not varied or together**2 / (spread * varied) < 4 / len(values):
        return 0.0
    return together / spread


def _t(free: int) -> float:
    """The 97.5 % quantile of Student's t, by the Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5)."""
    z = NormalDist().inv_cdf(0.975)
    terms: tuple[float, ...] = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / free**power for power, term in enumerate(terms, start=1))
