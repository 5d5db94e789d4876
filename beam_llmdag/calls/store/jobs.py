"""What is asked of a store, for whoever does many at once."""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_llmdag.calls.store.answers import Asked, Found, Later, Payer
from beam_llmdag.calls.store.rows import Line, Lines, line_of
from beam_llmdag.errors import StoreError
from beam_llmdag.records.result import Attempt
from beam_llmdag.text import clean_text

__all__ = ["Job", "JobStore", "Outcome", "outcomes", "tell"]

_NOTHING = Found([], [], frozenset())


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """What is to be done, and who waits for it, if anybody does.

    Attributes:
        done: who waits.
        keys: to be looked up.
        payer: whose paid calls are looked up with them.
        sent: a call that is sent: number, run, dimension, subject, model.
        ended: number of a call that has ended.
        line: what came of it: its number, and its line.
        adopted: dimension and key.
        draw: run, nano-dollars that are wanted, budget.
        later: see `AnswerStore.ask_later`.
        claim: key that is claimed.
        claimed: keys whose claims are held for longer.
        free: key whose claim ends.
    """

    done: asyncio.Future[Any] | None = None
    keys: Sequence[str] = ()
    payer: Payer | None = None
    sent: tuple[int, str, str, str, str] | None = None
    ended: int | None = None
    line: tuple[int, Line] | None = None
    adopted: tuple[str, str] | None = None
    draw: tuple[str, int, int] | None = None
    later: tuple[str, str | None] | None = None
    claim: str | None = None
    claimed: Sequence[str] = ()
    free: str | None = None


class _Numbers:
    """Numbers of calls: unique among processes, and greater for what began later.

    Microseconds since 1970, and behind them 12 bits of the process' own: below 2**63 for some more centuries.
    """

    def __init__(self) -> None:
        self._own = random.SystemRandom().getrandbits(12)
        self._last = 0

    def next(self) -> int:
        self._last = max(self._last + 1, time.time_ns() // 1000 << 12 | self._own)
        return self._last


class JobStore(ABC):
    """An `AnswerStore` that makes jobs of what it is asked."""

    claims = False

    def __init__(self) -> None:
        self._numbers = _Numbers()

    @abstractmethod
    def _enter(self, job: Job) -> None:
        """Sees to it that a job is done, and whoever waits for it is told."""

    async def find(self, keys: Sequence[str], payer: Payer) -> Found:
        """See `AnswerStore`."""
        found: Found = await self._done(keys=keys, payer=payer)
        return found

    def begin(self, asked: Asked) -> int:
        """See `AnswerStore`. Nobody waits for it: it is written while the request is on its way."""
        number = self._numbers.next()
        self._enter(Job(sent=(number, *asked.payer, asked.model)))
        return number

    async def end(self, number: int, asked: Asked, attempt: Attempt, answer: str | None = None) -> None:
        """See `AnswerStore`."""
        await self._done(ended=number, line=(number, line_of(asked, attempt, answer)) if attempt.sent else None)

    async def adopt(self, key: str, dimension: str) -> None:
        """See `AnswerStore`."""
        await self._done(adopted=(dimension, key))

    async def draw(self, run_id: str, nano_usd: int, limit_nano_usd: int) -> int:
        """See `AnswerStore`."""
        granted: int = await self._done(draw=(clean_text(run_id), nano_usd, limit_nano_usd))
        return granted

    async def ask_later(self, key: str, text: str | None) -> Later:
        """See `AnswerStore`."""
        later: Later = await self._done(later=(key, text))
        return later

    async def claim(self, key: str) -> bool:  # noqa: ARG002 - where processes do not claim what they ask, all may ask
        """See `AnswerStore`."""
        return True

    def give_back(self, key: str) -> None:  # noqa: B027 - see above
        """See `AnswerStore`."""

    def number(self) -> int:
        """See `AnswerStore`."""
        return self._numbers.next()

    async def _done(self, **job: Any) -> Any:
        done = asyncio.get_running_loop().create_future()
        self._enter(Job(done=done, **job))
        return await done


Outcome = Found | int | Later | bool
"""What comes of a job."""


def outcomes(jobs: Sequence[Job], lines: Lines, special: Mapping[Job, int | Later | bool]) -> list[Outcome]:
    """What comes of jobs that are done.

    Args:
        lines: what was found for all their keys.
        special: what else some of them wanted to know.
    """
    found = [lines.found(job.keys, job.payer) if job.keys else _NOTHING for job in jobs]
    return [special.get(job, one) for job, one in zip(jobs, found, strict=True)] if special else [*found]


def tell(jobs: list[Job], outcome: list[Outcome] | StoreError) -> None:
    """Tells those who wait what came of their jobs."""
    for index, job in enumerate(jobs):
        if job.done is None or job.done.done():
            continue  # nobody waits, or no longer: the call was cancelled
        if isinstance(outcome, StoreError):
            job.done.set_exception(outcome)
        else:
            job.done.set_result(outcome[index])
