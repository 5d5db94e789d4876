"""The answer store in Redis: fast, for a fleet, as durable as that server is."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from beam_llmdag.calls.store.jobs import Job
from beam_llmdag.calls.store.rows import COLUMNS, Line, Lines
from beam_llmdag.calls.store.server import ServerStore
from beam_llmdag.errors import StoreError

try:
    from redis.asyncio import Redis
    from redis.exceptions import (
        AuthenticationError,
        BusyLoadingError,
        ConnectionError,
        ReadOnlyError,
        RedisError,
        TimeoutError,
    )
except ImportError as missing:
    raise ImportError(
        "an answer store in Redis needs its client on every worker: pip install 'beam-llmdag[redis]'"
    ) from missing

__all__ = ["RedisStore"]

_log = logging.getLogger(__name__)

_LAYOUT = 1
_ANSWER_SECONDS = 10.0
_LAYOUT_KEY = "llmdag:layout"
_CALLS = "llmdag:calls:"
_OWNERS = "llmdag:owners"
_IN_FLIGHT = "llmdag:in_flight"


class RedisStore(ServerStore):
    """An `AnswerStore` in Redis 5 or later, or Valkey.

    Keys: `llmdag:calls:<key>`, a list with a JSON array per call (when it ended, in seconds since 1970; its number; the
    columns of the ledger); `llmdag:owners`, a hash of keys whose answers another dimension has taken over;
    `llmdag:in_flight`, a hash of calls by number. Nothing expires. The server must not evict keys (`maxmemory-policy
    noeviction`), and what it loses in a crash is paid for again: with `appendonly yes` that is about a second's calls,
    see Redis' persistence documentation.

    Args:
        url: `redis://:$PASSWORD@host:6379/0`, `rediss://…` for TLS.
        patience_seconds: see `ServerStore`.

    Raises:
        StoreError: that is no URL of Redis, or a variable in it is not set.
    """

    def __init__(self, url: str, *, patience_seconds: float = 30.0) -> None:
        super().__init__(url, patience_seconds=patience_seconds)
        self._client: Redis | None = None
        self._has_told = False
        self._made()

    async def _open(self) -> None:
        self._client = client = self._made()
        layout = await client.get(_LAYOUT_KEY)
        if layout is None:
            await client.set(_LAYOUT_KEY, _LAYOUT, nx=True)
        elif str(layout) != str(_LAYOUT):
            raise StoreError(
                f"answer store {self.place} has layout {layout!s}, this version has {_LAYOUT}: "
                "use the version of beam-llmdag that made it, or name another database"
            )
        if not self._has_told:
            self._has_told = True
            await self._tell_of_losses(client)

    async def _run(self, jobs: Sequence[Job]) -> Lines:
        client = self._client
        assert client is not None
        over = {job.ended for job in jobs if job.ended is not None}
        keys = list({key for job in jobs for key in job.keys})
        async with client.pipeline(transaction=True) as pipe:
            for job in jobs:
                if job.line is not None:
                    number, line = job.line
                    pipe.rpush(_CALLS + line[0], json.dumps([time.time(), number, *line]))
                if job.sent is not None and job.sent[0] not in over:
                    number, *rest = job.sent
                    pipe.hset(_IN_FLIGHT, str(number), json.dumps(rest))
                if job.adopted is not None:
                    dimension, key = job.adopted
                    pipe.hset(_OWNERS, key, dimension)
            if over:
                pipe.hdel(_IN_FLIGHT, *map(str, over))
            for key in keys:
                pipe.lrange(_CALLS + key, 0, -1)
            if keys:
                pipe.hmget(_OWNERS, keys)
            replies = await pipe.execute()
        return _lines(keys, replies[-len(keys) - 1 :]) if keys else Lines()

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _is_final(self, error: Exception) -> bool:
        passes = (ConnectionError, TimeoutError, BusyLoadingError, ReadOnlyError, OSError)
        return isinstance(error, AuthenticationError) or not isinstance(error, passes)

    def _made(self) -> Redis:
        try:
            return Redis.from_url(
                self._url,
                decode_responses=True,
                socket_timeout=_ANSWER_SECONDS,
                socket_connect_timeout=_ANSWER_SECONDS,
            )
        except (ValueError, TypeError):  # their texts may have parts of a password
            raise StoreError(
                f"{self.place} is no URL of a Redis server, such as 'redis://host:6379/0'; "
                "characters of a password that have a meaning in URLs must be percent-encoded"
            ) from None

    async def _tell_of_losses(self, client: Redis) -> None:
        """Warns of a server that may lose answers; one that says nothing of itself is taken at its word."""
        try:
            known: dict[str, Any] = {**await client.info("persistence"), **await client.info("memory")}
        except RedisError:
            return
        policy = known.get("maxmemory_policy", "noeviction")
        if not known.get("aof_enabled", 1):
            _log.warning(
                "answer store %s: that Redis has no append-only file (appendonly yes): if it crashes, answers since "
                "its last snapshot are lost, and paid for again",
                self.place,
            )
        if policy != "noeviction" and known.get("maxmemory", 0):
            _log.warning(
                "answer store %s: that Redis forgets keys when its memory is full (maxmemory-policy %s), and so paid "
                "answers: use noeviction",
                self.place,
                policy,
            )


def _lines(keys: Sequence[str], replies: Sequence[Any]) -> Lines:
    *lists, owners = replies
    lines = Lines()
    for _, calls, owner in zip(keys, lists, owners, strict=True):
        known: dict[int, _Call] = {}
        for text in calls:
            call = _call(text)
            if call is None:
                lines.unreadable = True
            else:  # the first of a number: it was written twice where the reply to the first time was lost
                known.setdefault(call.number, call)
        for call in sorted(known.values(), reverse=True):
            lines.add(call.line, owner or call.line[2], call[:2])
    return lines


class _Call(NamedTuple):
    ended_at: float
    number: int
    line: Line


def _call(text: str) -> _Call | None:
    """A call, if that is what a text is."""
    try:
        ended_at, number, *line = json.loads(text)
        return _Call(float(ended_at), int(number), tuple(line)) if len(line) == len(COLUMNS) else None
    except (ValueError, TypeError):
        return None
