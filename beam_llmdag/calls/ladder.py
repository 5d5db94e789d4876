"""The models of a question, asked in turn, each as often as it may be: tries → waits → the next model."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

from beam_llmdag.calls.attempt import Outcome
from beam_llmdag.calls.lane import Patience, Permit
from beam_llmdag.calls.limits.gate import Gate
from beam_llmdag.calls.question import Call, Question, Reply
from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.calls.store.line import Line
from beam_llmdag.calls.watch import Watch
from beam_llmdag.clock import Clock
from beam_llmdag.errors import MEANING, CallError, ErrorClass
from beam_llmdag.model import Message, Model, Request
from beam_llmdag.outputs.output import Output
from beam_llmdag.telling import LONGEST_MESSAGE, shortened
from beam_llmdag.text import clean_text, excerpt

__all__ = ["Ladder"]

_LONGEST_QUOTED = 100_000  # characters of a bad answer that is shown to the model once more


class Ladder:
    """Goes from try to try and from model to model until one answers well, or the last has failed.

    Args:
        retry: when to try again.
        clock: time.
        rng: jitter.
        watch: is told of every try.
    """

    def __init__(self, *, retry: RetryPolicy, clock: Clock, rng: random.Random, watch: Watch) -> None:
        self._retry = retry
        self._clock = clock
        self._rng = rng
        self._watch = watch
        self._recording: set[asyncio.Task[None]] = set()

    async def recorded(self) -> None:
        """Returns when the ledger has all calls that were cancelled."""
        if self._recording:
            await asyncio.wait(self._recording)

    async def ask(
        self, question: Question, calls: Sequence[Call], lines: Sequence[Line] | None = None, reply: Reply | None = None
    ) -> Reply:
        """Asks the models of a question.

        Args:
            calls: how each is asked, in order.
            lines: where each is entered in the ledger; None where there is none.
            reply: what the question has brought so far; it is filled in.
        """
        reply = Reply() if reply is None else reply
        asking = _Tries(question, reply, question.deadline_seconds)
        failures: list[tuple[str, CallError]] = []
        for index, call in enumerate(calls):
            is_last = index == len(calls) - 1
            outcome = await self._ask_model(asking, call, None if lines is None else lines[index], is_last)
            spec = call.request.model.spec
            if outcome.error is None:
                reply.data, reply.model = outcome.data, spec
                return reply
            failures.append((spec, outcome.error))
            if asking.time_is_up or not MEANING[outcome.error.error_class].falls_back:
                break
        reply.error = _failure(failures, question.deadline_seconds if asking.time_is_up else None)
        return reply

    async def _ask_model(self, asking: _Tries, call: Call, line: Line | None, is_last: bool) -> Outcome:
        """Asks one model up to `attempts` times; returns what came of the last one.

        A model that is left alone is waited for only if there is no other to ask.
        """
        asked, target, lane = call
        tries = 0
        while True:
            permission = lane.permit(asked, target, asking.question.dimension)
            outcome = await self._attempt(asking, permission, asked.model, line)
            error = outcome.error
            tries += not outcome.is_outage  # the breaker says how long an outage is waited for
            if error is None or tries == asked.model.attempts or asking.time_is_up:
                return outcome
            if self._retry.asks_again_for(error):
                asked = _with_complaint(call.request, outcome)
            elif not self._retry.waits_for(error):
                return outcome
            if outcome.batched:
                continue
            delay = self._retry.delay_seconds(max(tries, 1), error, self._rng)
            if outcome.breaker is not None:
                if outcome.breaker.wait_seconds is None or not is_last:
                    return outcome
                delay += outcome.breaker.wait_seconds
            if asking.left_seconds is not None and delay >= asking.left_seconds:
                return replace(outcome, error=_too_late(error))  # the next model may answer in the time that is left
            if delay > 0:
                asking.spend(await self._rest(target.gate, delay, error))

    async def _attempt(
        self, asking: _Tries, permission: AbstractAsyncContextManager[Permit], model: Model, line: Line | None
    ) -> Outcome:
        """Makes one call, if it may be made; enters it in the reply, the store and the ledger."""
        patience, is_last = asking.patience(model)
        async with permission as permit:
            outcome = permit.refusal or await self._ask(permit, asking.question.output, patience, line)
        attempt, attempts = outcome.attempt, asking.reply.attempts
        if outcome.is_known:
            return outcome
        if outcome.breaker is None or not attempts or attempts[-1].sent:  # told once, however often it is looked
            attempts.append(attempt)
            self._watch.attempted(asking.question.dimension, asking.question.subject, attempt)
        if not outcome.batched:
            asking.spend(patience.seconds if is_last and attempt.error_class == "timeout" else attempt.latency_seconds)
        return outcome

    async def _ask(self, permit: Permit, output: Output, patience: Patience, line: Line | None) -> Outcome:
        if line is None or permit.records:
            return await permit.ask(output, patience)
        line.begin()
        try:
            outcome = await permit.ask(output, patience)
        except asyncio.CancelledError:
            if permit.lost is not None:
                self._record_soon(line.end(permit.lost))
            raise
        await line.end(outcome.attempt, outcome.text if outcome.error is None else None)
        return outcome

    async def _rest(self, gate: Gate, delay: float, error: CallError) -> float:
        """Waits before the next try, and returns how long; what the vendor asked for is waited to its end."""
        asked = self._retry.heeded_seconds(error)
        if asked is None:
            return await gate.rest(delay)
        await self._clock.sleep(delay)
        return delay

    def _record_soon(self, record: Coroutine[Any, Any, None]) -> None:
        """Enters a cancelled call into the ledger, for which the cancelled task cannot wait."""
        task = asyncio.get_running_loop().create_task(record)
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)


@dataclass(slots=True)
class _Tries:
    """The attempts for one question: what they have brought so far, and the time that is left for them."""

    question: Question
    reply: Reply
    left_seconds: float | None

    @property
    def time_is_up(self) -> bool:
        return self.left_seconds is not None and self.left_seconds <= 0

    def patience(self, model: Model) -> tuple[Patience, bool]:
        """How long to wait for an answer of `model`, and whether no time is left after that."""
        seconds = model.timeout_seconds
        if self.left_seconds is not None and self.left_seconds <= seconds:
            return Patience(self.left_seconds, "no answer before the deadline"), True
        return Patience(seconds, f"no answer within {seconds:g} seconds"), False

    def spend(self, seconds: float) -> None:
        if self.left_seconds is not None:
            self.left_seconds -= seconds


def _with_complaint(request: Request, outcome: Outcome) -> Request:
    """`request` again, with the answer that would not do and what was wrong with it."""
    error = outcome.error
    assert error is not None
    if error.error_class == "truncated":
        complaint = "Your answer was cut off because it was too long. Answer again, shorter."
    else:
        complaint = f"Your answer does not fit: {error.message}\nAnswer again, in full and with nothing else."
    said = excerpt(clean_text(outcome.text or "").strip(), _LONGEST_QUOTED)
    turns = (Message("assistant", said), Message("user", complaint)) if said else (Message("user", complaint),)
    return replace(request, messages=(*request.messages, *turns))


def _too_late(error: CallError) -> CallError:
    """`error`, after which nobody tried again because of the deadline."""
    return CallError(
        error.error_class,
        f"{error.message}; the wait before another try would outlast the deadline",
        http_status=error.http_status,
        request_id=error.request_id,
        usage=error.usage,
        sent=error.sent,
    )


def _failure(failures: Sequence[tuple[str, CallError]], deadline_seconds: float | None) -> CallError:
    """One error that tells of every model, with the class of the last one.

    Args:
        deadline_seconds: the deadline that has passed; None if that is not why there is no answer.
    """
    last = failures[-1][1]
    error_class: ErrorClass = last.error_class
    if len(failures) == 1:
        told = f"{failures[0][0]}: {last.message}"
    else:
        each = LONGEST_MESSAGE // len(failures)
        each_told = "; ".join(f"{spec}: {shortened(str(error), each)}" for spec, error in failures)
        told = f"all {len(failures)} models failed: {each_told}"
    if deadline_seconds is not None:
        error_class = "timeout"
        told = f"no good answer within the deadline of {deadline_seconds:g} seconds; {told}"
    return CallError(
        error_class, told, http_status=last.http_status, request_id=last.request_id, traceback=last.traceback
    )
