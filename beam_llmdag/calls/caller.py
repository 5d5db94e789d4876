"""One question, asked well: store → attempts, each with its permit and time-out → fallbacks → store.

`Caller` is what a process has one of per run; `Question` goes in, `Reply` comes out. Nothing escapes but a
cancellation, a store that does not work, and shared limits that have never worked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from beam_llmdag.calls.attempt import Outcome, Outcomes, checked
from beam_llmdag.calls.clients import Clients, Target
from beam_llmdag.calls.estimate import Estimates
from beam_llmdag.calls.lane import DirectLane, Lane, Patience, Permit
from beam_llmdag.calls.limits import Limits
from beam_llmdag.calls.limits.budget import Budget
from beam_llmdag.calls.limits.gate import Gate
from beam_llmdag.calls.limits.shared import SharedLimits
from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.calls.store.answers import AnswerStore, Asked, Payer, answer_key, own_key, part_digests
from beam_llmdag.calls.watch import NO_WATCH, Watch
from beam_llmdag.clock import Clock
from beam_llmdag.errors import MEANING, CallError, ErrorClass
from beam_llmdag.model import Answer, Message, Model, Request
from beam_llmdag.outputs.output import Output
from beam_llmdag.providers.base import ProviderFactory
from beam_llmdag.providers.prices import PriceTable
from beam_llmdag.records.result import Attempt
from beam_llmdag.telling import LONGEST_MESSAGE, shortened
from beam_llmdag.text import clean_text, excerpt
from beam_llmdag.usage import Usage

__all__ = ["Caller", "Question", "Reply"]

_LONGEST_QUOTED = 100_000  # characters of a bad answer that is shown to the model once more


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, of whom.

    Attributes:
        dimension: name; two dimensions of a dag have an answer each, unless the temperature is 0.
        subject: the item or group that is asked about.
        messages: user and assistant messages in order.
        system: system text of the dimension, behind the model's own.
        output: what an answer must look like.
        models: the models to ask, in order.
        deadline_seconds: longest time for all attempts and the waits between them; None for no limit. Like a time-out
            it does not run while a permit is waited for.
        sample: number of the sample, from 0, where the same is asked several times on purpose.
    """

    dimension: str
    subject: str
    messages: tuple[Message, ...]
    output: Output
    models: tuple[Model, ...]
    system: str | None = None
    deadline_seconds: float | None = None
    sample: int = 0


@dataclass(slots=True)
class Reply:
    """What came of a question.

    Attributes:
        data: the validated answer; None if there is none.
        error: why there is none.
        model: who answered, `"provider:name"`.
        attempts: every call made, in order, also those of models that failed.
        store_hit: the answer was in the store.
        reason: what a reader of a good answer should know.
    """

    data: Any = None
    error: CallError | None = None
    model: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    store_hit: bool = False
    reason: str | None = None


class Caller:
    """Makes the calls of one run in one process. Belongs to one event loop.

    Args:
        providers: the dag's own providers.
        prices: what calls cost.
        budget: what they may cost; None for no limit.
        store: where paid answers are kept; None to keep none.
        limits: permits, shared with the other callers of the process.
        retry: when to try again.
        clock: time.
        rng: jitter.
        dimensions: names of the dag's; see `Question.dimension`.
        run_id: the run; an answer that it has paid for itself is on its bill when it comes from the store.
        workers: processes among which what the models say of their limits is divided.
        shared: where their limits per minute are counted for all processes instead; None to divide them, too.
        keep_prompts: whether attempts say what was asked.
        watch: is told how the calls go on.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, ProviderFactory],
        prices: PriceTable,
        budget: Budget | None = None,
        store: AnswerStore | None,
        limits: Limits,
        retry: RetryPolicy,
        clock: Clock,
        rng: random.Random,
        run_id: str,
        dimensions: Collection[str] = (),
        workers: int = 1,
        shared: SharedLimits | None = None,
        keep_prompts: bool = False,
        watch: Watch = NO_WATCH,
    ) -> None:
        gate = partial(limits.gate, workers=workers, clock=clock, shared=shared)
        self._clients = Clients(providers, clock, gate)
        self._lane: Lane = DirectLane(
            outcomes=Outcomes(prices, clock, keep_prompts=keep_prompts),
            estimates=Estimates(prices, clock),
            budget=budget,
            retry=retry,
            clock=clock,
        )
        self.watch = watch
        self._store = store
        self._retry = retry
        self._clock = clock
        self._rng = rng
        self._run_id = run_id
        self._dimensions = frozenset(dimensions)
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._asking: dict[str, _Asking] = {}
        self._recording: set[asyncio.Task[None]] = set()

    async def ask(self, question: Question) -> Reply:
        """Asks the models in turn until one answers well, or the last has failed.

        Raises:
            StoreError: the answer store does not work.
            SharedLimitsError: limits cannot be counted for all processes.
        """
        self._open += 1
        self._idle.clear()
        self.watch.asked(question.dimension, question.subject)
        try:
            calls = [self._call(question, model) for model in question.models]
            if self._store is None:
                return await self._ask_models(question, calls, None, Reply())
            return await self._ask_once(question, calls, self._store)
        except CallError as error:  # the question cannot be asked
            return Reply(error=error)
        finally:
            self._open -= 1
            if not self._open:
                self._idle.set()

    async def aclose(self) -> None:
        """Waits until all questions have ended (who closes has cancelled them), and closes all clients."""
        await self._idle.wait()
        if self._recording:
            await asyncio.wait(self._recording)
        await self._clients.aclose()

    async def _ask_once(self, question: Question, calls: Sequence[_Call], store: AnswerStore) -> Reply:
        """Asks what nobody else is asking at this moment; else waits, and shares the reply or finds it in the store."""
        keys = [answer_key(call.request, call.target.endpoint, call.target.schema_text) for call in calls]
        own = [
            own_key(key, question.dimension) if _is_drawn(call.request) else key
            for key, call in zip(keys, calls, strict=True)
        ]
        twin = self._asking.get(keys[0])
        has_twin = twin is not None and twin.question.dimension != question.dimension
        asked = own[0] if has_twin else keys[0]
        while (other := self._asking.get(asked)) is not None:
            await asyncio.wait([other.ended])
            if other.reply is not None and other.stands_for(question):
                return _shared(other.reply)
        asking = self._asking[asked] = _Asking(question, asyncio.get_running_loop().create_future())
        try:
            reply, keys = await self._stored(question, keys, own, store, has_twin=has_twin)
            if not reply.store_hit:
                reply = await self._ask_models(question, calls, keys, reply)
            asking.reply = reply
            return reply
        finally:
            del self._asking[asked]
            asking.ended.set_result(None)

    async def _stored(
        self, question: Question, keys: Sequence[str], own: Sequence[str], store: AnswerStore, *, has_twin: bool
    ) -> tuple[Reply, list[str]]:
        """The answer of the first model that has one in the store: a fallback's was paid for as well.

        Args:
            keys: of the question, model by model.
            own: keys of this dimension's own answers; the same where all dimensions share one.
            has_twin: another dimension is asking the same at this moment, and is to have the answer that is kept for
                `keys`, unless that is this dimension's already.

        Returns:
            The reply, with what this very question has been paid for: its bundle failed and is repeated, or the run
            is started again, and the bill went with its rows. And the keys under which answers are to be kept, if it
            has neither answer nor error.
        """
        answers, paid = await store.find([*own, *keys], self._payer(question))
        found = {stored.key: stored for stored in answers}
        kept = list(own if has_twin else keys)
        for index, (key, mine) in enumerate(zip(keys, own, strict=True)):
            stored = found.get(mine) or found.get(key)
            if stored is None:
                continue
            if stored.key != mine and stored.dimension != question.dimension:
                if has_twin or stored.dimension in self._dimensions:
                    kept[index] = mine
                    continue
                await store.adopt(key, question.dimension)  # of one that has another name now, or of another dag
            kept[index] = stored.key
            try:
                data = checked(Answer(text=stored.text), question.output)
            except CallError as error:
                if error.error_class == "user_function":  # a broken validator breaks on the next answer, too
                    return Reply(error=error, attempts=paid, store_hit=True), kept
                continue  # a validator changed: asked again, and replaced
            return Reply(data=data, model=stored.model, attempts=paid, store_hit=True), kept
        return Reply(attempts=paid), kept

    def _payer(self, question: Question) -> Payer:
        return Payer(self._run_id, question.dimension, question.subject)

    async def _ask_models(
        self, question: Question, calls: Sequence[_Call], keys: Sequence[str] | None, reply: Reply
    ) -> Reply:
        asking = _Tries(question, reply, question.deadline_seconds)
        failures: list[tuple[str, CallError]] = []
        for index, call in enumerate(calls):
            is_last = index == len(calls) - 1
            outcome = await self._ask_model(asking, call, None if keys is None else keys[index], is_last)
            spec = call.request.model.spec
            if outcome.error is None:
                asking.reply.data, asking.reply.model = outcome.data, spec
                return asking.reply
            failures.append((spec, outcome.error))
            if asking.time_is_up or not MEANING[outcome.error.error_class].falls_back:
                break
        asking.reply.error = _failure(failures, question.deadline_seconds if asking.time_is_up else None)
        return asking.reply

    async def _ask_model(self, asking: _Tries, call: _Call, key: str | None, is_last: bool) -> Outcome:
        """Asks one model up to `attempts` times; returns what came of the last one.

        A model that is left alone is waited for only if there is no other to ask.
        """
        asked, target = call
        line = self._line(asking.question, call, key)
        tries = 0
        while True:
            outcome = await self._attempt(asking, asked, target, line)
            error = outcome.error
            tries += not outcome.is_outage  # the breaker says how long an outage is waited for
            if error is None or tries == asked.model.attempts or asking.time_is_up:
                return outcome
            if self._retry.asks_again_for(error):
                asked = _with_complaint(call.request, outcome)
            elif not self._retry.waits_for(error):
                return outcome
            delay = self._retry.delay_seconds(max(tries, 1), error, self._rng)
            if outcome.breaker is not None:
                if outcome.breaker.wait_seconds is None or not is_last:
                    return outcome
                delay += outcome.breaker.wait_seconds
            if asking.left_seconds is not None and delay >= asking.left_seconds:
                return replace(outcome, error=_too_late(error))  # the next model may answer in the time that is left
            if delay > 0:
                asking.spend(await self._rest(target.gate, delay, error))

    async def _attempt(self, asking: _Tries, request: Request, target: Target, line: _Line | None) -> Outcome:
        """Makes one call, if it may be made; enters it in the reply, the store and the ledger."""
        patience, is_last = asking.patience(request.model)
        async with self._lane.permit(request, target) as permit:
            outcome = permit.refusal or await self._ask(permit, asking.question.output, patience, line)
        attempt, attempts = outcome.attempt, asking.reply.attempts
        if outcome.breaker is None or not attempts or attempts[-1].sent:  # told once, however often it is looked
            attempts.append(attempt)
            self.watch.attempted(asking.question.dimension, asking.question.subject, attempt)
        asking.spend(patience.seconds if is_last and attempt.error_class == "timeout" else attempt.latency_seconds)
        return outcome

    async def _ask(self, permit: Permit, output: Output, patience: Patience, line: _Line | None) -> Outcome:
        if line is None:
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

    def _line(self, question: Question, call: _Call, key: str | None) -> _Line | None:
        """The line of the ledger for each try of a call; None where there is no store."""
        if self._store is None or key is None:
            return None
        request, target = call
        parts = part_digests(request, target.endpoint, target.schema_text)
        return _Line(self._store, Asked(key=key, model=request.model.spec, payer=self._payer(question), parts=parts))

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

    def _call(self, question: Question, model: Model) -> _Call:
        """The question as `model` is asked it.

        Raises:
            CallError: it cannot be asked.
        """
        target = self._clients.target(model, question.output)
        texts = [text for text in (model.system, question.system) if text]
        if target.schema is not None and not target.schema.native:
            texts.append(
                f"Answer with one JSON object and nothing else. It must fit this JSON schema:\n{target.schema_text}"
            )
        request = Request(
            model=model,
            messages=question.messages,
            system=clean_text("\n\n".join(texts)) or None,
            output=target.schema,
            sample=question.sample,
        )
        return _Call(request, target)


class _Call(NamedTuple):
    """What one model is asked, and how."""

    request: Request
    target: Target


@dataclass(slots=True)
class _Line:
    """A call's line in the ledger."""

    store: AnswerStore
    asked: Asked
    number: int = 0

    def begin(self) -> None:
        self.number = self.store.begin(self.asked)

    async def end(self, attempt: Attempt, answer: str | None = None) -> None:
        await self.store.end(self.number, self.asked, attempt, answer)


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


@dataclass(slots=True)
class _Asking:
    """A question on its way, for those who have the same one. Cancelled, it ends without a reply."""

    question: Question
    ended: asyncio.Future[None]
    reply: Reply | None = None

    def stands_for(self, question: Question) -> bool:
        """Whether its reply, good or not, would be the reply to `question`: also the patience must be the same."""
        mine = self.question
        return mine.dimension == question.dimension and mine.models == question.models


def _is_drawn(request: Request) -> bool:
    """Whether the same request may be answered otherwise the next time: vendors' own default is not 0."""
    return request.model.temperature != 0


def _shared(reply: Reply) -> Reply:
    """The reply to an identical question, for which nothing more was paid."""
    if reply.error is None:
        return Reply(data=reply.data, model=reply.model, store_hit=True)
    attempts = [replace(attempt, sent=False, usage=Usage(), cost_nano_usd=0) for attempt in reply.attempts]
    return Reply(error=reply.error, attempts=attempts)


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
