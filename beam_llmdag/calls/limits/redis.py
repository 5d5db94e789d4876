"""Limits counted in a Redis server, for all processes that use it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from beam_llmdag.calls.address import filled_in, without_secrets
from beam_llmdag.calls.limits.bucket import per_minute
from beam_llmdag.calls.limits.shared import Claim, UnreachableError
from beam_llmdag.errors import SharedLimitsError

try:
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import AuthenticationError, ConnectionError, RedisError, TimeoutError
except ImportError as missing:
    raise ImportError("limits in Redis need its client on every worker: pip install 'beam-llmdag[redis]'") from missing

__all__ = ["RedisLimits"]

_CONNECTIONS = 4  # of a process, however many calls it has in flight: servers allow some thousands in all
_LOOK_AGAIN_SECONDS = 0.5  # for a server that has not answered yet; a guess

# A key holds the moment, in seconds of the server's clock, at which all that was taken is made good: the theoretical
# arrival time of the generic cell rate algorithm (ITU-T I.371). ARGV has three spans of seconds per key: what the
# correction takes, what the call takes, and how far ahead of the clock the moment may be when a call is let through.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local moments, wait = {}, 0
for i, key in ipairs(KEYS) do
    local moment = math.max(tonumber(redis.call('GET', key)) or now, now) + ARGV[3 * i - 2]
    moments[i] = math.max(moment, now)
    wait = math.max(wait, moments[i] - now - ARGV[3 * i])
end
for i, key in ipairs(KEYS) do
    local ahead = moments[i] - now + (wait > 0 and 0 or ARGV[3 * i - 1])
    if ahead > 0 then
        redis.call('SET', key, now + ahead, 'PX', math.ceil(ahead * 1000))
    else
        redis.call('DEL', key)
    end
end
return math.ceil(wait * 1000000)
"""


class RedisLimits:
    """Counts limits in Redis (5 or later, or Valkey): exactly, by the server's clock, in one round trip per call.

    The calls that are let through within any 60 seconds ask for less than a limit plus the last one's amount: so never
    for more requests than the limit, and for more tokens by less than one call's. A limit is let out evenly, at most
    0.1 seconds' worth at once. A call with more tokens goes when one with few would, and those after it wait until it
    is made good; so large calls do not starve beside small ones. Limits are counted when a call is let through.

    Who has to wait is told when there will be room, and waits up to those 0.1 seconds longer, by chance, so that not
    all ask at the same moment; no room is lost by that. Whoever asks first then goes first.

    At first use a server that cannot be reached gets some time to come up; then, or when it refuses the password, it is
    an error that ends the run: a wrong address must not go unnoticed. A server that goes away later is none: it may be
    restarting, and what was paid for must not be lost. The caller is told (`UnreachableError`) and goes by its own part
    of the limits meanwhile, so that all processes together still keep to them. A server that comes back without its
    data starts with nothing taken: calls of the minute before are forgotten.

    Keys are named `llmdag:{account} limit` (one slot of a cluster) and expire when what was taken is made good, which
    is within a minute unless one call asked for more. The server must not evict keys earlier.

    Belongs to one event loop.

    Args:
        url: `redis://host:6379/0`, `rediss://…` for TLS; a password in it as `redis://:password@host`. `$NAME` in it is
            a variable of this process' environment, so that a password need not travel with the pipeline.
        timeout_seconds: longest wait for a connection, and for an answer.
        patience_seconds: how long a server that has never answered is waited for.
        rng: by whose chance waits differ.

    Raises:
        SharedLimitsError: that is no URL of Redis, or a variable is not set.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 5.0,
        patience_seconds: float = 30.0,
        rng: random.Random | None = None,
    ) -> None:
        try:
            url = filled_in(url)
        except ValueError as error:
            raise SharedLimitsError(f"shared_limits {error}") from None
        self._place = without_secrets(url)
        try:
            self._pool = BlockingConnectionPool.from_url(
                url,
                max_connections=_CONNECTIONS,
                timeout=timeout_seconds,
                socket_timeout=timeout_seconds,
                socket_connect_timeout=timeout_seconds,
                retry=Retry(NoBackoff(), 0),  # a script that ran, and whose answer was lost, must not run again
            )
            self._pool.connection_class(**self._pool.connection_kwargs)  # so that unknown options are found here
        except (ValueError, TypeError):  # their texts may have parts of a password
            raise SharedLimitsError(
                f"{self._place} is no URL of a Redis server, such as 'redis://host:6379/0'; "
                "characters of a password that have a meaning in URLs must be percent-encoded"
            ) from None
        self._take = Redis(connection_pool=self._pool).register_script(_TAKE)
        self._patience_seconds = patience_seconds
        self._patient_until: float | None = None
        self._worked = False
        self._rng = rng or random.Random()

    def __repr__(self) -> str:
        return f"RedisLimits({self._place!r})"

    async def take(self, account: str, claims: Sequence[Claim]) -> float:
        """See `SharedLimits`."""
        keys = [f"llmdag:{{{account}}} {claim.name}" for claim in claims]
        spans, most_ahead = [], 0.0
        for claim in claims:
            bucket = per_minute(claim.per_minute, 0.0)
            ahead = (bucket.capacity - 1) / bucket.per_second
            spans += [claim.correction / bucket.per_second, claim.amount / bucket.per_second, ahead]
            most_ahead = max(most_ahead, ahead)
        microseconds = await self._ask(keys, spans)
        return microseconds / 1e6 + self._rng.random() * most_ahead if microseconds else 0.0

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._pool.aclose()

    async def _ask(self, keys: list[str], spans: list[float]) -> int:
        while True:
            try:
                microseconds = int(await self._take(keys, spans))
            except (RedisError, OSError) as error:
                if self._worked:
                    raise UnreachableError(f"{self._place}: {_told(error)}") from None
                if not self._has_time(error):
                    raise SharedLimitsError(
                        f"limits cannot be counted at {self._place}: {_told(error)}. Is that address right, does the "
                        "server run, may this worker connect to it, and with this user and password?"
                    ) from None
            else:
                self._worked = True
                return microseconds
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    def _has_time(self, error: Exception) -> bool:
        """Whether a server that has not answered yet may still come up."""
        if self._patient_until is None:
            self._patient_until = time.monotonic() + self._patience_seconds
        refused = isinstance(error, AuthenticationError) or not isinstance(
            error, (ConnectionError, TimeoutError, OSError)
        )
        return not refused and time.monotonic() < self._patient_until


def _told(error: Exception) -> str:
    text = str(error).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
