"""The answer store in Redis: fast, for a fleet, as durable as that server is."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from beam_llmdag.calls.store.answers import Later
from beam_llmdag.calls.store.jobs import Job
from beam_llmdag.calls.store.rows import COLUMNS, Line, Lines
from beam_llmdag.calls.store.server import CLAIMED_SECONDS, ServerStore
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

__all__ = [
    "CALLS",
    "DOCUMENTS",
    "IN_FLIGHT",
    "LAYOUT",
    "LAYOUT_KEY",
    "OWNERS",
    "RedisCall",
    "RedisStore",
    "call_text",
    "calls_of",
    "check_layout",
]

_log = logging.getLogger(__name__)

LAYOUT = 1
_ANSWER_SECONDS = 10.0
LAYOUT_KEY = "llmdag:layout"
CALLS = "llmdag:calls:"
OWNERS = "llmdag:owners"
IN_FLIGHT = "llmdag:in_flight"
BUDGETS = "llmdag:budgets"
DOCUMENTS = "llmdag:documents:"
CLAIM = "llmdag:claim:"

# ARGV: run, nano-dollars that are wanted, budget; see `budget.granted`
_DRAW = """
local drawn = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
local amount = tonumber(ARGV[2])
if amount > 0 then amount = math.min(amount, math.max(tonumber(ARGV[3]) - drawn, 0)) end
local text = string.format('%.0f', amount)
redis.call('HINCRBY', KEYS[1], ARGV[1], text)
return text
"""

# ARGV: key, and the text that is entered, if there is one; an empty text stands for none
_LATER = """
if ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return {redis.call('HGET', KEYS[1], ARGV[1]) or '', redis.call('HGET', KEYS[2], ARGV[1]) or ''}
"""


# ARGV: who wants it, for how many seconds; 0 to end a claim
_CLAIM = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
return 1
"""


class RedisStore(ServerStore):
    """An `AnswerStore` in Redis 5 or later, or Valkey.

    Keys: `llmdag:calls:<key>`, a list with a JSON array per call (its number; when it ended, in seconds since 1970; the
    columns of the ledger); `llmdag:owners`, a hash of keys whose answers another dimension has taken over;
    `llmdag:in_flight`, a hash of calls by number; `llmdag:budgets`, what was drawn of them by run;
    `llmdag:documents:<kind>`, a hash for each kind of `Documents`; `llmdag:claim:<key>`, who asks that at present.
    Nothing but claims expires. The server must not evict keys (`maxmemory-policy noeviction`), and what it loses in a
    crash is paid for again: with `appendonly yes` that is about a second's calls, see Redis' persistence documentation.

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
        layout = await client.get(LAYOUT_KEY)
        if layout is None:
            await client.set(LAYOUT_KEY, LAYOUT, nx=True)
        check_layout(layout, self.place)
        if not self._has_told:
            self._has_told = True
            await self._tell_of_losses(client)

    async def _run(self, jobs: Sequence[Job]) -> tuple[Lines, dict[Job, int | Later | bool]]:
        client = self._client
        assert client is not None
        over = {job.ended for job in jobs if job.ended is not None}
        keys = list({key for job in jobs for key in job.keys})
        drawing = [job for job in jobs if job.draw is not None]
        waiting = [(job, *job.later) for job in jobs if job.later is not None]
        claiming = [job for job in jobs if job.claim is not None]
        async with client.pipeline(transaction=True) as pipe:
            for job in claiming:
                pipe.eval(_CLAIM, 1, f"{CLAIM}{job.claim}", self.holder, str(CLAIMED_SECONDS))
            for job in drawing:
                pipe.eval(_DRAW, 1, BUDGETS, *map(str, job.draw or ()))
            for _, key, text in waiting:
                pipe.eval(
                    _LATER, 2, f"{DOCUMENTS}pending", f"{DOCUMENTS}replies", key, *([] if text is None else [text])
                )
            for job in jobs:
                if job.line is not None:
                    number, line = job.line
                    pipe.rpush(CALLS + line[0], call_text(number, time.time(), line))
                if job.sent is not None and job.sent[0] not in over:
                    number, *rest = job.sent
                    pipe.hset(IN_FLIGHT, str(number), json.dumps(rest))
                if job.adopted is not None:
                    dimension, key = job.adopted
                    pipe.hset(OWNERS, key, dimension)
            for job in jobs:
                for key in job.claimed:
                    pipe.eval(_CLAIM, 1, f"{CLAIM}{key}", self.holder, str(CLAIMED_SECONDS))
                if job.free is not None:
                    pipe.eval(_CLAIM, 1, f"{CLAIM}{job.free}", self.holder, "0")
            if over:
                pipe.hdel(IN_FLIGHT, *map(str, over))
            for key in keys:
                pipe.lrange(CALLS + key, 0, -1)
            if keys:
                pipe.hmget(OWNERS, keys)
            replies = await pipe.execute()
        special: dict[Job, int | Later | bool] = {
            job: bool(taken) for job, taken in zip(claiming, replies, strict=False)
        }
        behind = replies[len(claiming) :]
        special.update({job: int(amount) for job, amount in zip(drawing, behind, strict=False)})
        for (job, *_), known in zip(waiting, behind[len(drawing) :], strict=False):
            special[job] = Later(*(text or None for text in known))
        return (_lines(keys, replies[-len(keys) - 1 :]) if keys else Lines()), special

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


def check_layout(layout: Any, place: str) -> None:
    """Raises `StoreError` if what `LAYOUT_KEY` holds is another layout; None where nobody has written yet."""
    if layout is not None and str(layout) != str(LAYOUT):
        raise StoreError(
            f"answer store {place} has layout {layout!s}, this version has {LAYOUT}: "
            "use the version of beam-llmdag that made it, or name another database"
        )


def call_text(number: int, ended_at: float, line: Line) -> str:
    """A call as an element of its key's list."""
    return json.dumps([number, ended_at, *line])


def calls_of(texts: Sequence[str]) -> list[RedisCall]:
    """The calls in a key's list that can be read, in order, each once.

    One was written twice where the reply to the first time was lost.
    """
    known: dict[int, RedisCall] = {}
    for text in texts:
        call = _call(text)
        if call is not None:
            known.setdefault(call.number, call)
    return sorted(known.values())


class RedisCall(NamedTuple):
    """A call that has ended: its number, when that was in seconds since 1970, and its line."""

    number: int
    ended_at: float
    line: Line


def _lines(keys: Sequence[str], replies: Sequence[Any]) -> Lines:
    *lists, owners = replies
    lines = Lines()
    for _, texts, owner in zip(keys, lists, owners, strict=True):
        calls = calls_of(texts)
        lines.unreadable = lines.unreadable or (not calls and bool(texts))
        for call in reversed(calls):
            lines.add(call.line, owner or call.line[2], call.number)
    return lines


def _call(text: str) -> RedisCall | None:
    """A call, if that is what a text is."""
    try:
        number, ended_at, *line = json.loads(text)
        return RedisCall(int(number), float(ended_at), tuple(line)) if len(line) == len(COLUMNS) else None
    except (ValueError, TypeError):
        return None
