"""One model's line of waiting calls: the oldest item's go first, when the limits let them."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from dataclasses import dataclass, field

from beam_llmdag.calls.limits.bucket import Bucket, per_minute
from beam_llmdag.calls.limits.ceiling import Ceiling
from beam_llmdag.calls.limits.demand import Demand
from beam_llmdag.calls.limits.mirror import Mirror
from beam_llmdag.calls.limits.pace import Pace
from beam_llmdag.calls.limits.shared import Claim, SharedLimits, UnreachableError
from beam_llmdag.calls.limits.turn import current_turn
from beam_llmdag.clock import Clock
from beam_llmdag.errors import MEANING, CallError
from beam_llmdag.model import LimitKind, LimitState, Model
from beam_llmdag.usage import Usage

__all__ = ["Gate", "Ticket"]

_log = logging.getLogger(__name__)

_LONGEST_NAP_SECONDS = 1.0  # then it looks whether the limits have changed; a guess: too seldom to cost anything
_FIRST_OUTPUT_TOKENS = 256.0  # of an answer, before the first has come; a guess: an object of a few fields has fewer
_LEARNT = 0.05  # of what each answer says of the length of the next; a guess: some twenty answers make a mean
_UNREACHABLE_SECONDS = 10.0  # for so long the process goes by its own part of the limits; a guess

_UNCOUNTED = Demand()


@dataclass(slots=True)
class Ticket:
    """A call that was let through, and must be followed by `Gate.leave`.

    Attributes:
        number: of the call, counted up per gate.
        demand: what it was let through for.
        sent_at: when, in seconds of the clock's `monotonic()`.
        asked: tokens that all calls had asked for, this one included.
        shared: whether it was let through by what counts for all processes.
    """

    number: int
    demand: Demand
    sent_at: float
    asked: Demand
    shared: bool = False


@dataclass(slots=True, order=True)
class _Waiting:
    """A call in line. One whose item was begun earlier comes first, then one that has waited longer."""

    turn: int
    arrival: int
    demand: Demand = field(compare=False)
    admitted: asyncio.Future[Ticket] = field(compare=False)


class Gate:
    """The limits of one model in one process. Belongs to one event loop.

    Args:
        in_flight: most calls in flight, unless a model says another number.
        workers: processes that share the limits per minute; each has its part.
        clock: time.
        account: the model, its server and its key, in words.
        shared: where the limits per minute are counted for all processes; then each has no part of its own, unless that
            place does not answer.
    """

    def __init__(
        self, in_flight: int, workers: int, clock: Clock, *, account: str = "", shared: SharedLimits | None = None
    ) -> None:
        self.throttled_seconds = 0.0
        self._workers = workers
        self._account = account
        self._shared = shared
        self._alone_until = -1.0
        self._untold: dict[LimitKind, float] = {}  # corrections that go with the next claims
        self._clock = clock
        self._ceiling = Ceiling(in_flight)
        self._in_flight_default = True
        self._limits: dict[LimitKind, int] = {}
        self._buckets: dict[LimitKind, Bucket] = {}
        self._pace = Pace()
        self._mirror = Mirror()
        self._paused_until = -1.0
        self._output_tokens = _FIRST_OUTPUT_TOKENS
        self._in_flight = 0
        self._number = 0
        self._asked = Demand()
        self._waiting: list[_Waiting] = []  # a heap
        self._arrivals = itertools.count()
        self._lets_in_soon = False
        self._nap: asyncio.Task[None] | None = None
        self._resting: set[asyncio.Future[None]] = set()

    def tighten(self, model: Model, in_flight: int | None) -> None:
        """Takes over the limits of a model, where they are lower than those that are there."""
        if in_flight is not None and (self._in_flight_default or in_flight < self._ceiling.top):
            self._ceiling = Ceiling(in_flight)
            self._in_flight_default = False
        asked: tuple[tuple[LimitKind, int | None], ...] = (
            ("requests", model.requests_per_minute),
            ("input_tokens", model.input_tokens_per_minute),
            ("output_tokens", model.output_tokens_per_minute),
        )
        for kind, limit in asked:
            if limit is not None and limit < self._limits.get(kind, limit + 1):
                self._limits[kind] = limit
                self._buckets[kind] = per_minute(limit / self._workers, self._clock.monotonic())

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters how many tokens a call asks for."""
        return len(self._limits) > ("requests" in self._limits) or self._mirror.knows_any

    async def enter(self, input_tokens: float) -> Ticket:
        """Waits in line until a call may go out.

        Args:
            input_tokens: what the call will have, estimated; 0 where `counts_tokens` is false.

        Raises:
            CallError: `too_long`: it never may.
            SharedLimitsError: limits cannot be counted for all processes.
        """
        limit = self._limits.get("input_tokens")
        if limit is not None and input_tokens > limit:
            raise CallError(
                "too_long",
                f"the prompt has about {input_tokens:.0f} tokens, and input_tokens_per_minute is {limit}: "
                "shorten it or raise the limit",
                sent=False,
            )
        demand = Demand(input_tokens, self._output_tokens) if self.counts_tokens else _UNCOUNTED
        if not self._waiting and self._in_flight < self._ceiling.calls and not self._asks_others:
            now = self._clock.monotonic()
            if self._wait_seconds(demand, now) <= 0:
                return self._admit(demand, now)
        return await self._stand_in_line(demand)

    def leave(self) -> None:
        """A call that was let through has ended, whatever came of it.

        The next one is let through when the loop turns: until then, the next step of the same item has come, and goes
        before those of later items.
        """
        self._in_flight -= 1
        if self._waiting and not self._lets_in_soon:
            self._lets_in_soon = True
            asyncio.get_running_loop().call_soon(self._let_in_now)

    def learn(
        self, ticket: Ticket, error: CallError | None, usage: Usage | None, limits: tuple[LimitState, ...]
    ) -> None:
        """Takes note of what came of a call.

        Args:
            ticket: the call's.
            error: why there was no answer; None if there was.
            usage: what it has used; None if nobody knows, and then what was estimated is left to count.
            limits: what the response says of the vendor's limits.
        """
        now = self._clock.monotonic()
        if error is None:
            if self._pace.accept(ticket.sent_at, now):
                self.recover()
            self._ceiling.rise()
        elif error.error_class == "rate_limited":
            if self._pace.refuse(ticket.sent_at, now):
                self._pause(error.retry_after_seconds, now)
        elif MEANING[error.error_class].lowers_ceiling:
            self._ceiling.cut(ticket.sent_at, self._in_flight, now)
            self._pause(error.retry_after_seconds, now)
        # an answer, if only a no: the rate was not too high
        elif error.http_status not in (None, 429) and self._pace.accept(ticket.sent_at, now):
            self.recover()
        if usage is not None and self._buckets:
            self._correct(ticket, usage)
        if limits:
            self._mirror.learn(
                limits,
                number=ticket.number,
                age_seconds=now - ticket.sent_at,
                calls_since=self._number - ticket.number,
                tokens_since=Demand(
                    self._asked.input_tokens - ticket.asked.input_tokens,
                    self._asked.output_tokens - ticket.asked.output_tokens,
                ),
                now=now,
            )
        if usage is not None and usage.output_tokens:
            self._output_tokens += _LEARNT * (usage.output_tokens - self._output_tokens)

    async def rest(self, seconds: float) -> float:
        """Waits before a call is tried again, but no longer than until the model is well again; returns how long."""
        began, rested = self._clock.monotonic(), asyncio.get_running_loop().create_future()
        self._resting.add(rested)
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait([sleep, rested], return_when=asyncio.FIRST_COMPLETED)
            if sleep.done():
                sleep.result()  # raises what a clock of the user's raised
        finally:
            sleep.cancel()
            self._resting.discard(rested)
        return self._clock.monotonic() - began

    def recover(self) -> None:
        """The model is well again after it refused, or failed, every call for a while."""
        self._ceiling.restart()
        for rested in self._resting:
            if not rested.done():
                rested.set_result(None)

    def give_back(self, ticket: Ticket) -> None:
        """The call was not made: what it was let through for is still there."""
        for kind in self._buckets:
            self._count(ticket, kind, -ticket.demand.of(kind))

    def _pause(self, seconds: float | None, now: float) -> None:
        """Nobody goes out until the moment that the vendor has named to one."""
        if seconds is not None:
            self._paused_until = max(self._paused_until, now + seconds)

    def _correct(self, ticket: Ticket, usage: Usage) -> None:
        used = Demand(usage.input_tokens, usage.output_tokens)
        for kind in self._buckets:
            self._count(ticket, kind, used.of(kind) - ticket.demand.of(kind))

    def _count(self, ticket: Ticket, kind: LimitKind, amount: float) -> None:
        """Counts more (or, negative, less) for a call than it was let through for, where that was counted."""
        if ticket.shared:
            self._untold[kind] = self._untold.get(kind, 0.0) + amount
        else:
            self._buckets[kind].take(amount)

    async def _stand_in_line(self, demand: Demand) -> Ticket:
        admitted = asyncio.get_running_loop().create_future()
        waiting = _Waiting(current_turn(), next(self._arrivals), demand, admitted)
        heapq.heappush(self._waiting, waiting)
        self._let_in()
        try:
            return await waiting.admitted
        except asyncio.CancelledError:
            if waiting.admitted.cancelled():
                self._let_in()  # it may have been the first in line
            elif waiting.admitted.exception() is None:
                self.leave()
            raise

    def _let_in_now(self) -> None:
        self._lets_in_soon = False
        self._let_in()

    def _let_in(self) -> None:
        """Lets calls through from the front of the line, until one has to wait."""
        while self._waiting:
            first = self._waiting[0]
            if first.admitted.done():  # cancelled
                heapq.heappop(self._waiting)
                continue
            if self._in_flight >= self._ceiling.calls or self._nap is not None:
                return
            now = self._clock.monotonic()
            seconds = self._wait_seconds(first.demand, now)
            if seconds > 0:
                self._nap = asyncio.get_running_loop().create_task(self._sleep(seconds))
                return
            if self._asks_others:
                self._nap = asyncio.get_running_loop().create_task(self._take_shared(first))
                return
            heapq.heappop(self._waiting)
            first.admitted.set_result(self._admit(first.demand, now))

    async def _sleep(self, seconds: float) -> None:
        try:
            await self._throttle(seconds)
        finally:
            self._nap = None
        self._let_in()

    async def _throttle(self, seconds: float) -> None:
        began = self._clock.monotonic()
        try:
            await self._clock.sleep(min(seconds, _LONGEST_NAP_SECONDS))
        finally:
            self.throttled_seconds += self._clock.monotonic() - began

    @property
    def _asks_others(self) -> bool:
        """Whether a call must be let through by what counts for all processes."""
        return self._shared is not None and bool(self._limits) and self._clock.monotonic() >= self._alone_until

    async def _take_shared(self, first: _Waiting) -> None:
        """Lets the first in line through when there is room for it among all processes."""
        try:
            await self._let_through(first)
        except UnreachableError as error:
            self._go_alone(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call hears of it instead of waiting for ever
            if not first.admitted.done():
                first.admitted.set_exception(error)
        finally:
            self._nap = None
        self._let_in()

    async def _let_through(self, first: _Waiting) -> None:
        assert self._shared is not None
        while (seconds := await self._shared.take(self._account, self._claims(first.demand))) > 0:
            await self._throttle(seconds)
            if first.admitted.done():  # cancelled
                return
        self._alone_until = -1.0
        ticket = self._admit(first.demand, self._clock.monotonic(), shared=True)
        if first.admitted.done():
            self.give_back(ticket)
            self.leave()
        else:
            first.admitted.set_result(ticket)

    def _claims(self, demand: Demand) -> list[Claim]:
        untold, self._untold = self._untold, {}
        return [Claim(kind, limit, demand.of(kind), untold.get(kind, 0.0)) for kind, limit in self._limits.items()]

    def _go_alone(self, error: UnreachableError) -> None:
        """The process goes by its own part of the limits for a while."""
        if self._alone_until < 0:
            _log.warning("shared limits do not answer (%s): each process goes by its own part until they do", error)
        self._alone_until = self._clock.monotonic() + _UNREACHABLE_SECONDS

    def _wait_seconds(self, demand: Demand, now: float) -> float:
        seconds = max(self._paused_until - now, self._pace.wait_seconds(now))
        if self._mirror.knows_any:
            seconds = max(seconds, self._mirror.wait_seconds(demand, now))
        if not self._asks_others:
            for kind, bucket in self._buckets.items():
                seconds = max(seconds, bucket.wait_seconds(demand.of(kind), now))
        return seconds

    def _admit(self, demand: Demand, now: float, *, shared: bool = False) -> Ticket:
        self._in_flight += 1
        self._number += 1
        self._pace.send(now)
        self._mirror.take(demand)
        if not shared:
            for kind, bucket in self._buckets.items():
                bucket.take(demand.of(kind))
        if demand is not _UNCOUNTED:
            asked = self._asked
            self._asked = Demand(asked.input_tokens + demand.input_tokens, asked.output_tokens + demand.output_tokens)
        return Ticket(self._number, demand, now, self._asked, shared)
