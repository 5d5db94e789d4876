"""The `Lane` of batches: a request is entered in the store, and answered there when a batch has brought its answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Literal

from beam_llmdag.calls.attempt import Outcome, Outcomes, fault, key_of, unsent
from beam_llmdag.calls.batch.entry import PendingCall, client_of, custom_id
from beam_llmdag.calls.clients import Target
from beam_llmdag.calls.estimate import Estimates
from beam_llmdag.calls.lane import Lane, Patience, Permit, redacted
from beam_llmdag.calls.limits.budget import Budget, Spender
from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.calls.store.keys import answer_key
from beam_llmdag.calls.store.line import Line
from beam_llmdag.clock import Clock
from beam_llmdag.errors import CallError
from beam_llmdag.model import Answer, Request
from beam_llmdag.outputs.output import Output
from beam_llmdag.providers.base import Provider
from beam_llmdag.providers.batch.base import NOT_ASKED, Batches, reply_of
from beam_llmdag.providers.http.reply import description
from beam_llmdag.records.result import Attempt
from beam_llmdag.telling import told
from beam_llmdag.text import clean_text
from beam_llmdag.usage import Usage

__all__ = ["BatchLane", "BatchRetries", "Waiting", "batches_of"]

BatchRetries = Literal["batch", "direct"]
"""How a call that a batch has not answered is asked again: in the next one, or on its own, for the full price."""


class Waiting(Exception):  # noqa: N818 - no error, a way out
    """A call waits for a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLane:
    """What the calls of one run in one process that go in batches have in common. Belongs to one event loop.

    Args:
        outcomes: what is made of answers.
        estimates: what calls may cost.
        budget: money for them; None for no limit.
        retry: what is heeded of what a vendor asks for.
        clock: time.
        run_id: the run.
        direct: the lane of calls that go on their own.
        retries: see `BatchRetries`.
        deadline: what could come back from a batch only after it, in seconds since 1970-01-01 UTC, goes on its own;
            None: nothing does.
    """

    outcomes: Outcomes
    estimates: Estimates
    budget: Budget | None
    retry: RetryPolicy
    clock: Clock
    run_id: str
    direct: Lane
    retries: BatchRetries
    deadline: float | None = None

    def of(self, line: Line, numbers: frozenset[int]) -> Lane:
        """The lane of one question to one model.

        Args:
            line: where what comes of it is entered.
            numbers: of the calls that the question has on its bill already.
        """
        return _BatchedQuestion(self, line, numbers)


class _BatchedQuestion:
    """`Lane` of the tries of one question to one model: it counts them, so that each round comes to the same one."""

    def __init__(self, lane: BatchLane, line: Line, numbers: frozenset[int]) -> None:
        self.lane = lane
        self.store = line.store
        self.asked = line.asked
        self.numbers = numbers
        self.failed = False
        self._tries = 0

    def permit(self, request: Request, target: Target, dimension: str) -> AbstractAsyncContextManager[Permit]:
        """See `Lane`."""
        if self.failed and self.lane.retries == "direct":
            return self.lane.direct.permit(request, target, dimension)
        self._tries += 1
        return _BatchPermit(self, request, target, dimension, self._tries - 1)


class _BatchPermit:
    """`Permit` of a request that goes in a batch: it is always given, and asks nobody."""

    refusal: Outcome | None = None
    lost: Attempt | None = None
    records = True

    def __init__(
        self, question: _BatchedQuestion, request: Request, target: Target, dimension: str, tries: int
    ) -> None:
        self._spender = Spender(dimension, request.model)
        self._question = question
        self._request = request
        self._target = target
        self._direct: AbstractAsyncContextManager[Permit] | None = None
        key = answer_key(request, target.key_parts).key
        self._id = custom_id(question.asked.key, key, tries)

    async def __aenter__(self) -> Permit:
        if await self._is_late():
            direct = self._question.lane.direct
            self._direct = direct.permit(self._request, self._target, self._spender.dimension)
            return await self._direct.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return None if self._direct is None else await self._direct.__aexit__(kind, error, traceback)

    async def _is_late(self) -> bool:
        """Whether no batch could answer in time; what waits for one already goes on waiting, and is not paid twice."""
        lane, batches = self._question.lane, batches_of(self._target.provider)
        if lane.deadline is None or batches is None or lane.clock.now() + batches.limits.seconds <= lane.deadline:
            return False
        return (await self._question.store.ask_later(self._id, None)).entry is None

    async def ask(self, output: Output, patience: Patience) -> Outcome:  # noqa: ARG002 - nobody waits here
        """See `Permit`.

        Raises:
            Waiting: no batch has said anything yet; the request is entered for the next one.
        """
        question, lane = self._question, self._question.lane
        later = await question.store.ask_later(self._id, None)
        entry = None if later.entry is None else PendingCall.read(later.entry)
        if entry is not None and later.reply is not None:
            return await self._conclude(entry, self._said(later.reply), output, lane)
        if entry is None:
            refused = await self._enter()
            if refused is not None:
                return Outcome(unsent(self._request.model.spec, refused), error=refused)
        elif entry.run_id != lane.run_id:  # whoever waits for it sees to it that it is sent
            await question.store.ask_later(self._id, replace(entry, run_id=lane.run_id, reserved=0).text)
        raise Waiting

    async def _conclude(self, entry: PendingCall, said: Answer | CallError, output: Output, lane: BatchLane) -> Outcome:
        """What came of the call, entered in the ledger if this is the first to read it."""
        question = self._question
        outcome = lane.outcomes.of(
            said,
            self._request,
            output,
            self._target.provider,
            waited_seconds=0.0,
            latency_seconds=0.0,
            batched=True,
        )
        question.failed = isinstance(said, CallError)
        is_known = entry.number in question.numbers
        if not is_known:
            text = outcome.text if outcome.error is None else None
            await question.store.end(entry.number, question.asked, outcome.attempt, text)
            if not entry.is_read:
                await question.store.ask_later(self._id, replace(entry, is_read=True).text)
            if lane.budget is not None and entry.run_id == lane.run_id:
                cost = outcome.attempt.cost_nano_usd
                lane.budget.settle(0, 0 if cost is None else cost - entry.reserved, self._spender)
        return replace(outcome, batched=True, is_known=is_known)

    async def _enter(self) -> CallError | None:
        """Enters the request for the next batch; returns why not, if it cannot be written or there is no money."""
        question, lane, request = self._question, self._question.lane, self._request
        reserved = 0
        try:
            body = await self._body()
        except CallError as error:
            return redacted(error, key_of(self._target.provider), lane.retry)
        if lane.budget is not None:
            most = request.model.max_tokens or getattr(self._target.provider, "default_max_tokens", None)
            estimate = partial(lane.estimates.nano_usd, request, most, batched=True)
            taken = await lane.budget.reserve(estimate, self._spender)
            if isinstance(taken, CallError):
                return taken
            reserved = taken
            lane.budget.settle(reserved, reserved, self._spender)
        payer = question.asked.payer
        entry = PendingCall(
            number=question.store.number(),
            run_id=payer.run_id,
            dimension=payer.dimension,
            subject=payer.subject,
            key=question.asked.key,
            parts=question.asked.parts,
            client=client_of(request.model),
            body=body,
            reserved=reserved,
            entered_at=lane.clock.now(),
        )
        await question.store.ask_later(self._id, entry.text)
        return None

    async def _body(self) -> str:
        """The JSON body of the request.

        Raises:
            CallError: it cannot be written.
        """
        try:
            batches = batches_of(self._target.provider)
            assert batches is not None
            return clean_text(json.dumps(await batches.body(self._request), ensure_ascii=False))
        except CallError:
            raise
        except Exception as error:  # a fault in a provider costs this call, not the run
            raise fault(f"writing the request for a batch raised {told(error)}", error) from error

    def _said(self, text: str) -> Answer | CallError:
        """What the batch said, or why it said nothing."""
        provider, lane = self._target.provider, self._question.lane
        try:
            reply = reply_of(text)
            if reply.status == NOT_ASKED:
                why = f" ({description(reply.body)})" if reply.body else ""
                raise CallError("timeout", f"its batch ended before it was asked{why}", usage=Usage())
            batches = batches_of(provider)
            if batches is None:
                raise CallError("bad_request", f"{self._request.model.spec} has no batch API any more", usage=Usage())
            return batches.read(reply)
        except CallError as error:
            raised = error
        except ValueError as error:
            raised = CallError("connection", f"what its batch said is in the store, and cannot be read: {told(error)}")
        except Exception as error:  # noqa: BLE001 - a fault in a provider costs this call, not the run
            raised = fault(f"reading the answer of a batch raised {told(error)}", error)
        return redacted(raised, key_of(provider), lane.retry)


def batches_of(provider: Provider) -> Batches | None:
    """The batch API of a provider, None if it has none."""
    batches: Callable[[], Batches | None] = getattr(provider, "batches", lambda: None)
    return batches()
