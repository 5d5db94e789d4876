"""The vendor's own buckets, as its response headers show them."""

from __future__ import annotations

from collections.abc import Iterable

from beam_llmdag.calls.limits.bucket import Bucket
from beam_llmdag.calls.limits.demand import Demand
from beam_llmdag.model import LimitKind, LimitState

__all__ = ["Mirror"]

_LONGEST_SECONDS = 60.0  # the span of vendors' limits; a header that is wrong must not stop a run: then one call looks


class Mirror:
    """What is left at the vendor's, between one response that says so and the next."""

    def __init__(self) -> None:
        self._buckets: dict[LimitKind, Bucket] = {}
        self._newest = -1

    @property
    def knows_any(self) -> bool:
        """Whether the vendor has said anything that could make a call wait."""
        return bool(self._buckets)

    def learn(
        self,
        states: Iterable[LimitState],
        *,
        number: int,
        age_seconds: float,
        calls_since: int,
        tokens_since: Demand,
        now: float,
    ) -> None:
        """Takes over what a response says.

        Args:
            states: the limits that its headers name.
            number: of its request, counted up; older ones than the newest known say nothing new.
            age_seconds: since its request went out.
            calls_since: requests that went out after it, of which the response may know nothing.
            tokens_since: what they asked for.
            now: seconds of a clock that never goes back.
        """
        if number <= self._newest:
            return
        self._newest = number
        told: dict[LimitKind, Bucket] = {}
        for state in states:
            if state.reset_seconds is None:
                continue
            per_second = (state.limit - state.remaining) / max(state.reset_seconds, 0.001)
            bucket = Bucket(state.limit, max(per_second, 1e-6), now)
            later = calls_since if state.kind == "requests" else tokens_since.of(state.kind)
            bucket.set(state.remaining + per_second * age_seconds - later, now)
            told[state.kind] = bucket
        self._buckets = told

    def wait_seconds(self, demand: Demand, now: float) -> float:
        """How long until the vendor has room for `demand`."""
        waits = (bucket.wait_seconds(demand.of(kind), now) for kind, bucket in self._buckets.items())
        return min(_LONGEST_SECONDS, max(waits, default=0.0))

    def take(self, demand: Demand) -> None:
        """Takes off what a request asks for that goes out now."""
        for kind, bucket in self._buckets.items():
            bucket.take(demand.of(kind))
