"""Limits counted in a Redis server, for all processes that use it."""

from __future__ import annotations

import os
from typing import Any

from beam_llmdag.limits.shared import UnreachableError

__all__ = ["RedisLimits"]

_TIMEOUT_SECONDS = 5.0


class RedisLimits:
    """Counts limits in Redis by the generic cell rate algorithm, as the library `throttled-py` has it.

    Requests are let out evenly, at most 0.1 seconds' worth at once. Tokens too, but a minute's tokens may go at once
    when none were used for a minute: a prompt may have so many, and vendors' token buckets are full then as well.

    Args:
        url: `redis://host:6379/0`, `rediss://…` for TLS. `$NAME` in it is a variable of this process' environment, so
            that a password need not travel with the pipeline.

    Raises:
        ImportError: the extra `redis` is not installed.
    """

    def __init__(self, url: str) -> None:
        from throttled.asyncio import store

        options = {"SOCKET_TIMEOUT": _TIMEOUT_SECONDS, "SOCKET_CONNECT_TIMEOUT": _TIMEOUT_SECONDS}
        self._store = store.RedisStore(server=os.path.expandvars(url), options=options)
        self._limiters: dict[tuple[int, int], Any] = {}

    async def take(self, name: str, per_minute: int, amount: int, *, burst: int) -> float:
        """See `SharedLimits`."""
        try:
            result = await self._limiter(per_minute, burst).limit(name, cost=amount)
        except Exception as error:  # noqa: BLE001 - whatever the client raises, nobody knows what is left
            raise UnreachableError(type(error).__name__) from None
        return float(result.state.retry_after) if result.limited else 0.0

    def _limiter(self, per_minute: int, burst: int) -> Any:
        from throttled.asyncio import RateLimiterType, Throttled, rate_limiter

        limiter = self._limiters.get((per_minute, burst))
        if limiter is None:
            limiter = self._limiters[per_minute, burst] = Throttled(
                using=RateLimiterType.GCRA.value,
                quota=rate_limiter.per_min(per_minute, burst=burst),
                store=self._store,
                key_prefix="llmdag",
            )
        return limiter
