"""Token buckets per model, as the vendors have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from beam_llmdag.testing.simulator.reply import estimated_tokens
from beam_llmdag.testing.simulator.request import SimulatedRequest

__all__ = ["BucketState", "LimitState", "RateLimit", "RateLimiter"]

_ROUNDING = 1e-6
"""Tokens that may be missing: a client that waited as long as it was told must not fail by a rounding error."""

BucketName = Literal["requests", "input_tokens", "output_tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Limits of one model: buckets that start full and fill up continuously.

    Args:
        requests: requests per period.
        input_tokens: input tokens per period; counted when a request arrives, at four characters each.
        output_tokens: output tokens per period; counted when the answer is made, so one answer may overdraw them.
        period_seconds: the period, and the time in which an empty bucket fills up; 60 for per-minute limits.

    Raises:
        ValueError: a limit or the period is not positive.
    """

    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    period_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("requests", "input_tokens", "output_tokens", "period_seconds"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be positive, not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketState:
    """One limit at one moment: its size, what is left, and the seconds until it is full again."""

    limit: int
    remaining: int
    reset_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitState:
    """The limits of a model at one moment; None for a limit that it does not have.

    Attributes:
        refused: the limit that refused the request; None if it was admitted.
        retry_after_seconds: when the refused request would be admitted, if nobody else came.
    """

    requests: BucketState | None
    input_tokens: BucketState | None
    output_tokens: BucketState | None
    refused: BucketName | None = None
    retry_after_seconds: float = 0.0

    @property
    def tightest_tokens(self) -> BucketState | None:
        """The token limit with the smallest share left: what a vendor with one token limit would show."""
        states = [state for state in (self.input_tokens, self.output_tokens) if state is not None]
        return min(states, key=lambda state: state.remaining / state.limit, default=None)


class _Bucket:
    def __init__(self, limit: int, period_seconds: float, now: float) -> None:
        self.limit = limit
        self.level = float(limit)
        self._rate = limit / period_seconds
        self._filled_at = now

    def fill(self, now: float) -> None:
        self.level = min(self.limit, self.level + (now - self._filled_at) * self._rate)
        self._filled_at = now

    def wait_seconds(self, amount: float) -> float:
        """Time until `amount` can be taken; of more than the bucket holds, the time until it is full."""
        if amount > self.limit:
            return max((self.limit - self.level) / self._rate, 1.0)
        missing = amount - self.level
        return missing / self._rate if missing > _ROUNDING else 0.0

    def state(self) -> BucketState:
        reset_seconds = (self.limit - self.level) / self._rate
        return BucketState(limit=self.limit, remaining=max(0, int(self.level)), reset_seconds=reset_seconds)


class RateLimiter:
    """The buckets of all models.

    Args:
        limits: a limit that every model has for itself, or limits by the vendor's name of the model; a model without
            one is not limited.
    """

    def __init__(self, limits: RateLimit | Mapping[str, RateLimit] | None) -> None:
        self._limits = limits
        self._buckets: dict[str, dict[BucketName, _Bucket]] = {}

    def admit(self, request: SimulatedRequest, now: float) -> LimitState | None:
        """Takes one request and its input tokens, or nothing if a bucket has too little.

        Args:
            request: the request; its model has the limits, its text is counted.
            now: seconds of a clock that never goes back.

        Returns:
            what is left; None for a model without limits.
        """
        buckets = self._buckets_of(request.model, now)
        if not buckets:
            return None
        tokens = estimated_tokens(request.text)
        asked: dict[BucketName, float] = {"requests": 1, "input_tokens": tokens, "output_tokens": 1}
        waits = {name: bucket.wait_seconds(asked[name]) for name, bucket in buckets.items()}
        refused = max(waits, key=lambda name: waits[name])
        if waits[refused] > 0:
            return _state(buckets, refused, waits[refused])
        for name, bucket in buckets.items():
            bucket.level -= 0 if name == "output_tokens" else asked[name]
        return _state(buckets)

    def charge_output(self, model: str, output_tokens: int, now: float) -> LimitState | None:
        """Takes the tokens of an answer, also those that are not there; returns what is left."""
        buckets = self._buckets_of(model, now)
        if "output_tokens" in buckets:
            buckets["output_tokens"].level -= output_tokens
        return _state(buckets) if buckets else None

    def reset(self) -> None:
        """Fills all buckets."""
        self._buckets.clear()

    def _buckets_of(self, model: str, now: float) -> dict[BucketName, _Bucket]:
        limit = self._limits if isinstance(self._limits, RateLimit) else (self._limits or {}).get(model)
        if limit is None:
            return {}
        if model not in self._buckets:
            sizes: dict[BucketName, int | None] = {
                "requests": limit.requests,
                "input_tokens": limit.input_tokens,
                "output_tokens": limit.output_tokens,
            }
            self._buckets[model] = {
                name: _Bucket(size, limit.period_seconds, now) for name, size in sizes.items() if size is not None
            }
        for bucket in self._buckets[model].values():
            bucket.fill(now)
        return self._buckets[model]


def _state(
    buckets: Mapping[BucketName, _Bucket], refused: BucketName | None = None, retry_after_seconds: float = 0.0
) -> LimitState:
    return LimitState(
        requests=buckets["requests"].state() if "requests" in buckets else None,
        input_tokens=buckets["input_tokens"].state() if "input_tokens" in buckets else None,
        output_tokens=buckets["output_tokens"].state() if "output_tokens" in buckets else None,
        refused=refused,
        retry_after_seconds=retry_after_seconds,
    )
