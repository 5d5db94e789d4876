"""`Contents` of an answer store in Redis."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from beam_llmdag.calls.store.contents import StoredCall, WaitingCall
from beam_llmdag.calls.store.redis import (
    CALLS,
    IN_FLIGHT,
    OWNERS,
    RedisCall,
    call_text,
    calls_of,
)
from beam_llmdag.calls.store.redis_connection import RedisConnection
from beam_llmdag.calls.store.rows import COLUMNS

__all__ = ["RedisContents"]

_AT_ONCE = 1000
_ANSWER = list(COLUMNS).index("answer")


class RedisContents(RedisConnection):
    """`Contents` of a database. Clearing up is meant for when nobody writes: a call that ends meanwhile may be lost.

    Args:
        url: see `RedisStore`.

    Raises:
        StoreError: it cannot be reached, or holds another layout.
    """

    def calls(self) -> Iterator[StoredCall]:
        """See `Contents`. Redis has no order: their numbers are sorted in memory, but not the calls."""
        with self._errors():
            owners = self._client.hgetall(OWNERS)
            numbered = sorted(
                (call.number, key)
                for key in self._client.scan_iter(f"{CALLS}*", count=_AT_ONCE)
                for call in calls_of(self._client.lrange(key, 0, -1))
            )
        for some in _portions(numbered):
            with self._errors():
                known = {key: calls_of(self._client.lrange(key, 0, -1)) for key in {key for _, key in some}}
            for number, key in some:
                for call in known[key]:
                    if call.number == number:
                        moment = datetime.fromtimestamp(call.ended_at, UTC).isoformat(timespec="milliseconds")
                        owner = owners.get(call.line[0]) if call.line[_ANSWER] is not None else None
                        yield StoredCall(number, call.line, owner, moment.replace("+00:00", "Z"))

    def in_flight(self) -> list[WaitingCall]:
        """See `Contents`."""
        with self._errors():
            known = self._client.hgetall(IN_FLIGHT)
        return sorted(WaitingCall(int(number), *json.loads(text)) for number, text in known.items())

    def add(self, calls: Iterable[StoredCall]) -> int:
        """See `Contents`."""
        added = 0
        by_key: defaultdict[str, list[StoredCall]] = defaultdict(list)
        for call in calls:
            by_key[call.line[0]].append(call)
        with self._errors():
            for key, some in by_key.items():
                there = {call.number for call in calls_of(self._client.lrange(CALLS + key, 0, -1))}
                new = [call for call in some if call.number not in there]
                for call in new:
                    ended_at = datetime.fromisoformat(call.ended_at).timestamp()
                    self._client.rpush(CALLS + key, call_text(call.number, ended_at, call.line))
                    if call.owner is not None:
                        self._client.hset(OWNERS, key, call.owner)
                added += len(new)
        return added

    def forget_answers(self) -> int:
        """See `Contents`."""
        answers = 0
        with self._errors():
            for key in self._client.scan_iter(f"{CALLS}*", count=_AT_ONCE):
                known = calls_of(self._client.lrange(key, 0, -1))
                answers += any(call.line[_ANSWER] is not None for call in known)
                self._replace(
                    key, [call._replace(line=(*call.line[:_ANSWER], None, *call.line[_ANSWER + 1 :])) for call in known]
                )
        return answers

    def keep(self, answers: Mapping[int, str]) -> None:
        """See `Contents`."""
        with self._errors():
            for key in list(self._client.scan_iter(f"{CALLS}*", count=_AT_ONCE)) if answers else ():
                known = calls_of(self._client.lrange(key, 0, -1))
                if any(call.number in answers for call in known):
                    self._replace(key, [_answered(call, answers.get(call.number)) for call in known])

    def remove(self, numbers: Sequence[int]) -> None:
        """See `Contents`."""
        gone = set(numbers)
        with self._errors():
            for key in list(self._client.scan_iter(f"{CALLS}*", count=_AT_ONCE)):
                known = calls_of(self._client.lrange(key, 0, -1))
                if any(call.number in gone for call in known):
                    self._replace(key, [call for call in known if call.number not in gone])

    def _replace(self, key: str, calls: Sequence[Any]) -> None:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.delete(key)
            if calls:
                pipe.rpush(key, *(call_text(*call) for call in calls))
            pipe.execute()


def _answered(call: RedisCall, answer: str | None) -> RedisCall:
    """A call with an answer, if there is one for it."""
    return call if answer is None else call._replace(line=(*call.line[:_ANSWER], answer, *call.line[_ANSWER + 1 :]))


def _portions(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
