"""One question, asked well: store → attempts, each with its permit and time-out → fallbacks → store.

`Caller` is what a process has one of per run; `Question` goes in, `Reply` comes out. Nothing escapes but a
cancellation, a store that does not work, and shared limits that have never worked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from beam_llmdag.calls.attempt import Outcomes, checked
from beam_llmdag.calls.batch.lane import BatchLane, BatchRetries, Waiting, batches_of
from beam_llmdag.calls.clients import Clients
from beam_llmdag.calls.estimate import Estimates
from beam_llmdag.calls.ladder import Ladder
from beam_llmdag.calls.lane import DirectLane
from beam_llmdag.calls.limits import Limits
from beam_llmdag.calls.limits.budget import Budget
from beam_llmdag.calls.limits.shared import SharedLimits
from beam_llmdag.calls.question import Call, Question, Reply
from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.calls.store.answers import AnswerStore, Asked, Payer
from beam_llmdag.calls.store.keys import AnswerKey, answer_key, own_key
from beam_llmdag.calls.store.line import Line
from beam_llmdag.calls.watch import NO_WATCH, Watch
from beam_llmdag.clock import Clock
from beam_llmdag.errors import CallError, StoreError
from beam_llmdag.model import Answer, LaneName, Model, Request
from beam_llmdag.providers.base import ProviderFactory
from beam_llmdag.providers.prices import PriceTable
from beam_llmdag.text import clean_text
from beam_llmdag.usage import Usage

__all__ = ["Caller"]

_LOOK_AGAIN_SECONDS = 0.5  # for the answer to what another process is asking; a guess


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
        lane: the way of requests to models that say nothing of it themselves; `"direct"`: of all.
        batch_retries: see `BatchRetries`.
        deadline: see `BatchLane`.
        in_rounds: whether this may be one round of several; see `Result.store_hit`.
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
        lane: LaneName | None = None,
        batch_retries: BatchRetries = "batch",
        deadline: float | None = None,
        in_rounds: bool = False,
        watch: Watch = NO_WATCH,
    ) -> None:
        gate = partial(limits.gate, workers=workers, clock=clock, shared=shared)
        self._clients = Clients(providers, clock, gate)
        outcomes, estimates = Outcomes(prices, clock, keep_prompts=keep_prompts), Estimates(prices, clock)
        self._direct = DirectLane(outcomes=outcomes, estimates=estimates, budget=budget, retry=retry, clock=clock)
        self._batch = BatchLane(
            outcomes=outcomes,
            estimates=estimates,
            budget=budget,
            retry=retry,
            clock=clock,
            run_id=run_id,
            direct=self._direct,
            retries=batch_retries,
            deadline=deadline,
        )
        self._lane = lane
        self._in_rounds = in_rounds
        self._ladder = Ladder(retry=retry, clock=clock, rng=rng, watch=watch)
        self._budget = budget
        self.watch = watch
        self._store = store
        self._clock = clock
        self._run_id = run_id
        self._dimensions = frozenset(dimensions)
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._asking: dict[str, _Asking] = {}

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
                return await self._ladder.ask(question, calls)
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
        await self._ladder.recorded()
        if self._budget is not None:
            with suppress(StoreError):  # what it has not spent is not given back then
                await self._budget.aclose()
        await self._clients.aclose()

    async def _ask_once(self, question: Question, calls: Sequence[Call], store: AnswerStore) -> Reply:
        """Asks what nobody else is asking at this moment; else waits, and shares the reply or finds it in the store."""
        keys = [
            _Keys.of(answer_key(call.request, call.target.key_parts), call.request, question.dimension)
            for call in calls
        ]
        twin = self._asking.get(keys[0].shared)
        has_twin = twin is not None and twin.question.dimension != question.dimension
        asked = keys[0].own if has_twin else keys[0].shared
        while (other := self._asking.get(asked)) is not None:
            await asyncio.wait([other.ended])
            if other.reply is not None and other.stands_for(question):
                return _shared(other.reply)
        asking = self._asking[asked] = _Asking(question, asyncio.get_running_loop().create_future())
        payer = Payer.of(self._run_id, question.dimension, question.subject)
        claim: str | None = None
        try:
            reply, kept, numbers = await self._stored(question, keys, payer, store, has_twin=has_twin)
            while store.claims and claim != kept[0] and reply.model is None and reply.error is None:
                claim = await self._claimed(kept[0], claim, store)
                reply, kept, numbers = await self._stored(question, keys, payer, store, has_twin=has_twin)
            if reply.model is None and reply.error is None:
                lines = [
                    Line(store, Asked(key=name, model=model.spec, payer=payer, parts=key.parts))
                    for name, key, model in zip(kept, keys, question.models, strict=True)
                ]
                if self._in_rounds:
                    calls = [self._in_lane(call, line, numbers) for call, line in zip(calls, lines, strict=True)]
                try:
                    reply = await self._ladder.ask(question, calls, lines, reply)
                except Waiting:
                    reply.is_pending = True
            asking.reply = reply
            return reply
        finally:
            if claim is not None:
                store.give_back(claim)
            del self._asking[asked]
            asking.ended.set_result(None)

    async def _claimed(self, key: str, before: str | None, store: AnswerStore) -> str | None:
        """What this process has the claim to now: `key`, or nothing, after some time in which another may answer."""
        if before is not None:
            store.give_back(before)
        if await store.claim(key):
            return key
        await self._clock.sleep(_LOOK_AGAIN_SECONDS)
        return None

    async def _stored(
        self, question: Question, keys: Sequence[_Keys], payer: Payer, store: AnswerStore, *, has_twin: bool
    ) -> tuple[Reply, list[str], frozenset[int]]:
        """The answer of the first model that has one in the store: a fallback's was paid for as well.

        Args:
            keys: of the question, model by model.
            payer: for whom it is asked.
            has_twin: another dimension is asking the same at this moment, and is to have the answer that is shared,
                unless that is this dimension's already.

        Returns:
            The reply, with what this very question has been paid for: its bundle failed and is repeated, or the run
            is started again, and the bill went with its rows. And the keys under which answers are to be kept, if it
            has neither answer nor error; and the numbers of the calls that it has been paid for.
        """
        answers, paid, numbers = await store.find([*(key.own for key in keys), *(key.shared for key in keys)], payer)
        found = {stored.key: stored for stored in answers}
        kept = [key.own if has_twin else key.shared for key in keys]
        for index, key in enumerate(keys):
            stored = found.get(key.own) or found.get(key.shared)
            if stored is None:
                continue
            if stored.key != key.own and stored.dimension != question.dimension:
                if has_twin or stored.dimension in self._dimensions:
                    kept[index] = key.own
                    continue
                # of one that has another name now, or of another dag
                await store.adopt(key.shared, question.dimension)
            kept[index] = stored.key
            try:
                data = checked(Answer(text=stored.text), question.output)
            except CallError as error:
                if error.error_class == "user_function":  # a broken validator breaks on the next answer, too
                    return Reply(error=error, attempts=paid, store_hit=True), kept, numbers
                continue  # a validator changed: asked again, and replaced
            mine = self._in_rounds and bool(paid) and paid[-1].error_class is None
            return Reply(data=data, model=stored.model, attempts=paid, store_hit=not mine), kept, numbers
        return Reply(attempts=paid), kept, numbers

    def _in_lane(self, call: Call, line: Line, numbers: frozenset[int]) -> Call:
        """A call on the way that it is to go.

        Raises:
            CallError: its model has no such way.
        """
        model = call.request.model
        if self._lane == "direct" or (model.lane or self._lane) != "batch":
            return call
        if batches_of(call.target.provider) is not None:
            return call._replace(lane=self._batch.of(line, numbers))
        if model.lane is None:  # the run's lane is for those that have it
            return call
        raise CallError("bad_request", f"{model.spec} has no batch API: leave out lane='batch' there", sent=False)

    def _call(self, question: Question, model: Model) -> Call:
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
            version=question.version,
        )
        return Call(request, target, self._direct)


class _Keys(NamedTuple):
    """Under which keys the answer of one model may be kept.

    Attributes:
        shared: the request's own.
        own: this dimension's; the same where all dimensions share one answer.
        parts: see `AnswerKey`.
    """

    shared: str
    own: str
    parts: str

    @classmethod
    def of(cls, key: AnswerKey, request: Request, dimension: str) -> _Keys:
        # the same request may be answered otherwise the next time: vendors' own default is not 0
        is_drawn = request.model.temperature != 0
        return cls(key.key, own_key(key.key, dimension) if is_drawn else key.key, key.parts)


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


def _shared(reply: Reply) -> Reply:
    """The reply to an identical question, for which nothing more was paid."""
    if reply.is_pending:
        return Reply(is_pending=True)
    if reply.error is None:
        return Reply(data=reply.data, model=reply.model, store_hit=True)
    attempts = [replace(attempt, sent=False, usage=Usage(), cost_nano_usd=0) for attempt in reply.attempts]
    return Reply(error=reply.error, attempts=attempts)
