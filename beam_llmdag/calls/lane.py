"""How one request travels. `Lane` is the door; here is the direct way: permit → provider with time-out → outcome."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Protocol

from beam_llmdag.calls.attempt import Outcome, Outcomes, fault, key_of, unsent
from beam_llmdag.calls.clients import Target
from beam_llmdag.calls.estimate import Estimates
from beam_llmdag.calls.limits import Ticket
from beam_llmdag.calls.limits.breaker import Breaker
from beam_llmdag.calls.limits.budget import Budget, Spender
from beam_llmdag.calls.prompt import estimated_tokens
from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.calls.timeouts import Timeouts
from beam_llmdag.clock import Clock
from beam_llmdag.errors import CallError
from beam_llmdag.model import Answer, Request
from beam_llmdag.outputs.output import Output
from beam_llmdag.providers.base import Provider
from beam_llmdag.providers.http.secret_text import hidden
from beam_llmdag.records.result import Attempt
from beam_llmdag.telling import shortened, told
from beam_llmdag.usage import Usage

__all__ = ["DirectLane", "Lane", "Patience", "Permit", "redacted"]

_NOTHING = Usage()
_CANCELLED = CallError("timeout", "cancelled before an answer came")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer is waited for.

    Attributes:
        seconds: the longest wait.
        end: what is said when it is over, in words that do not depend on how the time was spent.
    """

    seconds: float
    end: str


class Lane(Protocol):
    """How requests travel."""

    def permit(self, request: Request, target: Target, dimension: str) -> AbstractAsyncContextManager[Permit]:
        """For `async with`: waits until the request may go out, and holds the permit until the block is left.

        `dimension` is whose call it is.

        Who stores what came of the call stores it inside: no more answers can be lost with the process than there are
        permits.
        """


class Permit(Protocol):
    """Leave to make one call.

    Attributes:
        refusal: what stands for the call if it is not to be made; else None, and `ask` may be called once.
        lost: the attempt, if `ask` was cancelled: it may be billed.
        records: whether `ask` enters in the ledger what comes of the call; else who asks does.
    """

    refusal: Outcome | None
    lost: Attempt | None
    records: bool

    async def ask(self, output: Output, patience: Patience) -> Outcome:
        """Asks; whatever the provider does becomes an `Outcome`.

        Args:
            output: what the answer must be.
            patience: longest wait for the answer.
        """


class DirectLane:
    """A call for each request, at once. Belongs to one event loop.

    Args:
        outcomes: what is made of answers.
        estimates: what calls may cost.
        budget: money for them; None for no limit.
        retry: how long a vendor that asks to wait is waited for.
        clock: time.
    """

    def __init__(
        self, *, outcomes: Outcomes, estimates: Estimates, budget: Budget | None, retry: RetryPolicy, clock: Clock
    ) -> None:
        self.outcomes = outcomes
        self.clock = clock
        self.breaker = Breaker(clock)
        self._estimates = estimates
        self._budget = budget
        self._retry = retry
        self._timeouts = Timeouts()

    def permit(self, request: Request, target: Target, dimension: str) -> _DirectPermit:
        """See `Lane`."""
        return _DirectPermit(self, request, target, Spender(dimension, request.model))

    async def admit(self, request: Request, provider: Provider, spender: Spender) -> tuple[Outcome | None, int]:
        """What stands for a call if it is not to be made; else None, and `forget` or `learn` must follow.

        Returns:
            That, and the nano-dollars that were set aside for the call.
        """
        spec, budget, reserved = request.model.spec, self._budget, 0
        if budget is not None:
            most = request.model.max_tokens or getattr(provider, "default_max_tokens", None)
            taken = await budget.reserve(partial(self._estimates.nano_usd, request, most), spender)
            if isinstance(taken, CallError):
                return Outcome(unsent(spec, taken), error=taken), 0
            reserved = taken
        try:
            verdict = await self.breaker.admit(request.model)
        except BaseException:
            self._settle(reserved, 0, spender)
            raise
        if verdict is None:
            return None, reserved
        self._settle(reserved, 0, spender)
        refusal = Outcome(unsent(spec, verdict.error), error=verdict.error, breaker=verdict, is_outage=True)
        return refusal, 0

    def forget(self, spender: Spender, reserved: int, cost: int | None) -> None:
        """A call was given up: nobody knows what would have come of it."""
        self.breaker.forget(spender.model)
        self._settle(reserved, cost, spender)

    def learn(
        self, spender: Spender, said: Answer | CallError, attempt: Attempt, sent_at: float, reserved: int
    ) -> bool:
        """A call has ended. Returns whether its model is asked again after it had been given up."""
        is_back = self.breaker.learn(spender.model, said if isinstance(said, CallError) else None, sent_at)
        self._settle(reserved, attempt.cost_nano_usd, spender)
        if isinstance(said, Answer):
            self._estimates.learn(spender.model.spec, attempt.usage)
        return is_back

    def _settle(self, reserved: int, cost: int | None, spender: Spender) -> None:
        if self._budget is not None:
            self._budget.settle(reserved, reserved if cost is None else cost, spender)

    async def answer(self, provider: Provider, request: Request, patience: Patience) -> Answer | CallError:
        """What the provider says, or why it says nothing."""
        try:
            with self._timeouts.within(patience.seconds) as timer:
                answer = await provider.answer(request)
            if not isinstance(answer, Answer):
                raise TypeError(f"answer() returned {type(answer).__name__} in place of an Answer")
            return answer
        except CallError as error:
            raised = error
        except TimeoutError as error:
            raised = CallError("timeout", patience.end if timer.expired else told(error))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raised = CallError("connection", told(error))  # nobody cancelled us: it comes from inside of the provider
        except OSError as error:
            raised = CallError("connection", told(error))
        except BaseException as error:  # noqa: BLE001 - a fault in a provider costs this call, not the run
            raised = fault(f"the provider raised {told(error)}", error)
        return redacted(raised, key_of(provider), self._retry)


class _DirectPermit:
    """`Permit` of a `DirectLane`."""

    records = False

    __slots__ = (
        "_asked_at",
        "_is_open",
        "_lane",
        "_request",
        "_reserved",
        "_spender",
        "_target",
        "_ticket",
        "lost",
        "refusal",
    )

    def __init__(self, lane: DirectLane, request: Request, target: Target, spender: Spender) -> None:
        self.refusal: Outcome | None = None
        self.lost: Attempt | None = None
        self._lane = lane
        self._request = request
        self._target = target
        self._spender = spender
        self._ticket: Ticket | None = None

    async def __aenter__(self) -> _DirectPermit:
        lane, request, gate = self._lane, self._request, self._target.gate
        self._asked_at = lane.clock.monotonic()
        try:
            ticket = await gate.enter(estimated_tokens(request.messages, request.system) if gate.counts_tokens else 0.0)
        except CallError as never:
            self.refusal = Outcome(unsent(request.model.spec, never), error=never)
            return self
        try:
            self.refusal, self._reserved = await lane.admit(request, self._target.provider, self._spender)
        except BaseException:
            gate.leave()
            raise
        self._ticket, self._is_open = ticket, self.refusal is None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ticket is None:
            return
        if self._is_open:
            self._lane.forget(self._spender, self._reserved, 0)
        if self._is_open or self.refusal is not None:
            self._target.gate.give_back(self._ticket)
        self._target.gate.leave()

    async def ask(self, output: Output, patience: Patience) -> Outcome:
        """See `Permit`."""
        lane, request, target, ticket = self._lane, self._request, self._target, self._ticket
        assert ticket is not None
        ticket.sent_at = lane.clock.monotonic()
        self._is_open = False
        try:
            said = await lane.answer(target.provider, request, patience)
        except asyncio.CancelledError:
            self.lost = self._outcome(_CANCELLED, output, ticket).attempt
            lane.forget(self._spender, self._reserved, self.lost.cost_nano_usd)
            raise
        outcome = self._outcome(said, output, ticket)
        if lane.learn(self._spender, said, outcome.attempt, ticket.sent_at, self._reserved):
            target.gate.recover()
        error, limits = (said, ()) if isinstance(said, CallError) else (None, said.limits)
        target.gate.learn(ticket, error, outcome.attempt.usage, limits)
        if error is not None and outcome.attempt.usage == _NOTHING and lane.breaker.gives_up(request.model):
            return replace(outcome, is_outage=True)
        return outcome

    def _outcome(self, said: Answer | CallError, output: Output, ticket: Ticket) -> Outcome:
        return self._lane.outcomes.of(
            said,
            self._request,
            output,
            self._target.provider,
            waited_seconds=ticket.sent_at - self._asked_at,
            latency_seconds=self._lane.clock.monotonic() - ticket.sent_at,
        )


def redacted(error: CallError, secret: str | None, retry: RetryPolicy) -> CallError:
    """`error` without the key, which some vendors echo, and not too long; nor is the wait that it asks for."""
    return CallError(
        error.error_class,
        shortened(hidden(error.message, secret)),
        http_status=error.http_status,
        request_id=error.request_id,
        retry_after_seconds=retry.heeded_seconds(error),
        usage=error.usage,
        sent=error.sent,
        traceback=error.traceback and hidden(error.traceback, secret),
        asked_again=error.asked_again,
    )
