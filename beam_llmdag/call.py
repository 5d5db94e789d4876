"""One question, asked well: store → limits → attempts → stop reason → parse → validate → price → store.

`Caller` is what a process has one of; `Question` goes in, `Reply` comes out, and nothing but a cancellation escapes.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from beam_llmdag.clock import Clock
from beam_llmdag.errors import CallError, ErrorClass, GraphError
from beam_llmdag.limits import Limits
from beam_llmdag.model import Answer, Message, Model, Request, WireSchema
from beam_llmdag.output import read_answer
from beam_llmdag.prices import PriceTable
from beam_llmdag.providers.base import Provider, ProviderFactory, find_provider
from beam_llmdag.result import Attempt
from beam_llmdag.retry import RetryPolicy
from beam_llmdag.schema import Output
from beam_llmdag.store import AnswerStore, StoredAnswer, answer_key
from beam_llmdag.usage import Usage

__all__ = ["Caller", "Question", "Reply"]

_SHORTEST_SECRET = 8
_LONGEST_MESSAGE = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, of whom.

    Attributes:
        dimension: name, for the ledger.
        messages: user and assistant messages in order.
        system: system text of the dimension, behind the model's own.
        output: what an answer must look like.
        model: the first to ask; its fallbacks come after it.
        deadline_seconds: longest time for everything; None for no limit.
    """

    dimension: str
    messages: tuple[Message, ...]
    output: Output
    model: Model
    system: str | None = None
    deadline_seconds: float | None = None


@dataclass(slots=True)
class Reply:
    """What came of a question.

    Attributes:
        data: the validated answer; None if there is none.
        error: why there is none.
        model: who answered, `"provider:name"`.
        attempts: every call made, in order, also those of models that failed.
        store_hit: the answer was in the store.
    """

    data: Any = None
    error: CallError | None = None
    model: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    store_hit: bool = False


class Caller:
    """Makes the calls of one run in one process. Belongs to one event loop.

    Args:
        providers: the dag's own providers.
        prices: what calls cost.
        store: where paid answers are kept; None to keep none.
        limits: permits, shared with the other callers of the process.
        retry: when to try again.
        clock: time.
        rng: jitter.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, ProviderFactory],
        prices: PriceTable,
        store: AnswerStore | None,
        limits: Limits,
        retry: RetryPolicy,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._factories = providers
        self._prices = prices
        self._store = store
        self._limits = limits
        self._retry = retry
        self._clock = clock
        self._rng = rng
        self._providers: dict[tuple[str, str | None, str | None, str], Provider] = {}
        self._wire_schemas: dict[tuple[int, int], WireSchema] = {}  # outputs and providers live as long as the caller
        self._given_up: dict[tuple[str, str | None], CallError] = {}
        self._asking: dict[str, asyncio.Future[None]] = {}

    async def ask(self, question: Question) -> Reply:
        """Asks the model and its fallbacks until one answers well, or the last has failed."""
        reply = Reply()
        try:
            async with asyncio.timeout(question.deadline_seconds):
                await self._ask(question, reply)
        except TimeoutError:
            reply.error = CallError("timeout", f"no good answer within the deadline of {question.deadline_seconds:g} seconds")
        return reply

    async def aclose(self) -> None:
        """Closes all clients."""
        for provider in self._providers.values():
            await provider.aclose()

    async def _ask(self, question: Question, reply: Reply) -> None:
        try:
            requests = [self._request(question, model) for model in question.model.chain()]
        except GraphError as error:
            reply.error = CallError("bad_request", str(error), sent=False)
            return
        if self._store is None:
            await self._ask_models(question, requests, [None] * len(requests), reply)
            return
        keys = [answer_key(request, self._endpoint(request.model)) for request in requests]
        async with self._alone(keys[0]):
            if not await self._from_store(self._store, question, keys, reply):
                await self._ask_models(question, requests, keys, reply)

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """Lets one caller at a time ask what `key` stands for; the others then find its answer in the store."""
        while key in self._asking:
            await asyncio.wait([self._asking[key]])
        done = self._asking[key] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._asking[key]
            done.set_result(None)

    async def _from_store(self, store: AnswerStore, question: Question, keys: list[str], reply: Reply) -> bool:
        """Looks for the answer of each model in turn: a fallback's answer was paid for as well."""
        for key in keys:
            stored = await store.get(key)
            if stored is None:
                continue
            try:
                reply.data = read_answer(stored.text, question.output)
            except CallError:
                continue  # a validator in the user's code changed: asked again, and replaced
            reply.model, reply.store_hit = stored.model, True
            return True
        return False

    async def _ask_models(self, question: Question, requests: list[Request], keys: list[str | None], reply: Reply) -> None:
        failures: list[tuple[str, CallError]] = []
        for request, key in zip(requests, keys, strict=True):
            error = await self._ask_model(question, request, key, reply)
            if error is None:
                reply.model = request.model.spec
                return
            failures.append((request.model.spec, error))
        reply.error = _all_failed(failures)

    async def _ask_model(self, question: Question, request: Request, key: str | None, reply: Reply) -> CallError | None:
        """Asks one model up to `attempts` times; None if it answered well."""
        asked = request
        error: CallError | None = None
        for tries in range(1, request.model.attempts + 1):
            answer, error = await self._attempt(question, asked, key, reply)
            if error is None:
                return None
            if tries == request.model.attempts:
                break
            if self._retry.asks_again_for(error):
                asked = _with_complaint(request, answer, error)
            elif not self._retry.waits_for(error):
                break
            await self._clock.sleep(self._retry.delay_seconds(tries, error, self._rng))
        return error

    async def _attempt(
        self, question: Question, request: Request, key: str | None, reply: Reply
    ) -> tuple[Answer | None, CallError | None]:
        """Makes one call; enters it in the reply, the store and the ledger."""
        started = self._clock.monotonic()
        provider = self._provider(request.model)
        async with self._limits.permit(request.model, provider.default_in_flight):
            given_up = self._given_up.get(_account(request.model))
            if given_up is not None:
                reply.attempts.append(_unsent(request.model, given_up))
                return None, given_up
            call = _Call(request.model, self._clock.monotonic() - started)
            try:
                answer, error = await self._call(provider, request, call)
            except asyncio.CancelledError:
                # by the deadline or with its bundle: it may have been paid, so the reply must not lose it
                reply.attempts.append(self._paid(call, None, CallError("timeout", "cancelled before an answer came")))
                raise
        if answer is not None and error is None:
            error = self._read(question, answer, reply)
        attempt = self._paid(call, answer, error)
        reply.attempts.append(attempt)
        if self._store is not None and key is not None:
            await _keep(self._store, key, question.dimension, attempt, None if error or not answer else answer.text)
        return answer, error

    async def _call(self, provider: Provider, request: Request, call: _Call) -> tuple[Answer | None, CallError | None]:
        started = self._clock.monotonic()
        seconds = request.model.timeout_seconds
        answer: Answer | None = None
        error: CallError | None = None
        try:
            async with asyncio.timeout(seconds):
                answer = await provider.answer(request)
        except TimeoutError:
            error = CallError("timeout", f"no answer within {seconds:g} seconds")
        except CallError as raised:
            error = _redacted(raised, provider.key())
        except Exception as raised:  # a provider that breaks its contract costs this call, not the bundle
            error = _redacted(CallError("connection", f"{type(raised).__name__}: {raised}"), provider.key())
        call.latency_seconds = self._clock.monotonic() - started
        if error is not None and error.error_class in ("quota_exhausted", "auth"):
            self._given_up[_account(request.model)] = error
        return answer, error

    def _read(self, question: Question, answer: Answer, reply: Reply) -> CallError | None:
        """Reads an answer, its stop reason first, into the reply; returns what is wrong with it."""
        if answer.stop == "refusal":
            said = answer.refusal or answer.text or "no reason given"
            return CallError("refused", f"the model refused: {said[:_LONGEST_MESSAGE]}", request_id=answer.request_id)
        if answer.stop == "length":
            return CallError(
                "truncated", "the answer was cut off at the limit of max tokens (its length); raise max_tokens", request_id=answer.request_id
            )
        try:
            reply.data = read_answer(answer.text, question.output)
        except CallError as error:
            return CallError(error.error_class, error.message[:_LONGEST_MESSAGE], request_id=answer.request_id)
        return None

    def _paid(self, call: _Call, answer: Answer | None, error: CallError | None) -> Attempt:
        """The line of the bill for one call."""
        usage = answer.usage if answer is not None else _usage_of_failure(error)
        return Attempt(
            model=call.model.spec,
            error_class=None if error is None else error.error_class,
            message=None if error is None else error.message,
            http_status=None if error is None else error.http_status,
            request_id=answer.request_id if answer is not None else error.request_id if error is not None else None,
            usage=usage,
            cost_nano_usd=self._prices.cost(call.model.spec, usage, at=self._clock.now()),
            sent=error is None or error.sent,
            latency_seconds=call.latency_seconds,
            waited_seconds=call.waited_seconds,
        )

    def _request(self, question: Question, model: Model) -> Request:
        """The question as `model` is asked it."""
        texts = [text for text in (model.system, question.system) if text]
        output = None
        if question.output.schema is not None:
            output = self._wire_schema(question.output, model)
            if not output.native:
                schema = json.dumps(output.schema, ensure_ascii=False)
                texts.append(f"Answer with one JSON object and nothing else. It must fit this JSON schema:\n{schema}")
        return Request(model=model, messages=question.messages, system="\n\n".join(texts) or None, output=output)

    def _wire_schema(self, output: Output, model: Model) -> WireSchema:
        provider = self._provider(model)
        known = self._wire_schemas.get((id(output), id(provider)))
        if known is None:
            assert output.schema is not None
            known = self._wire_schemas[id(output), id(provider)] = provider.wire_schema(output.schema)
        return known

    def _provider(self, model: Model) -> Provider:
        key = (model.provider, model.base_url, model.api_key_env, model.name)
        provider = self._providers.get(key)
        if provider is None:
            provider = self._providers[key] = find_provider(model.provider, self._factories)(model)
        return provider

    def _endpoint(self, model: Model) -> str | None:
        return getattr(self._provider(model), "endpoint", model.base_url)


@dataclass(slots=True)
class _Call:
    """Timings of one call, filled in on its way."""

    model: Model
    waited_seconds: float
    latency_seconds: float = 0.0


def _account(model: Model) -> tuple[str, str | None]:
    """What runs out of quota together: a model on a server."""
    return (model.spec, model.base_url)


def _unsent(model: Model, error: CallError) -> Attempt:
    return Attempt(
        model=model.spec,
        error_class=error.error_class,
        message=error.message,
        http_status=error.http_status,
        request_id=error.request_id,
        usage=Usage(),
        cost_nano_usd=0,
        sent=False,
    )


def _usage_of_failure(error: CallError | None) -> Usage | None:
    """Tokens of a call without an answer: those the vendor named, none for an HTTP error or an unsent one, else unknown."""
    if error is None:
        return None
    if error.usage is not None:
        return error.usage
    rejected = error.http_status is not None and error.http_status >= 400
    return Usage() if rejected or not error.sent else None


async def _keep(store: AnswerStore, key: str, dimension: str, attempt: Attempt, text: str | None) -> None:
    if text is not None:
        await store.put(StoredAnswer(key=key, model=attempt.model, text=text, paid=attempt), dimension)
    elif attempt.sent:
        await store.record(key, dimension, attempt)


def _with_complaint(request: Request, answer: Answer | None, error: CallError) -> Request:
    """`request` again, with the answer that would not do and what was wrong with it."""
    if error.error_class == "truncated":
        complaint = "Your answer was cut off because it was too long. Answer again, shorter."
    else:
        complaint = f"Your answer does not fit: {error.message}\nAnswer again, correctly, in full and with nothing else."
    said = answer.text.strip() if answer is not None else ""
    turns = (Message("assistant", said), Message("user", complaint)) if said else (Message("user", complaint),)
    return replace(request, messages=(*request.messages, *turns))


def _redacted(error: CallError, secret: str | None) -> CallError:
    """`error` without the key, which some vendors echo."""
    message = error.message
    if secret and len(secret) >= _SHORTEST_SECRET:
        message = message.replace(secret, "[key]")
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + "…"
    return CallError(
        error.error_class,
        message,
        http_status=error.http_status,
        request_id=error.request_id,
        retry_after_seconds=error.retry_after_seconds,
        usage=error.usage,
        sent=error.sent,
    )


def _all_failed(failures: list[tuple[str, CallError]]) -> CallError:
    """One error that tells of every model, with the class of the last one."""
    last = failures[-1][1]
    if len(failures) == 1:
        return CallError(last.error_class, f"{failures[0][0]}: {last.message}", http_status=last.http_status, request_id=last.request_id)
    told = "; ".join(f"{spec}: {error}" for spec, error in failures)
    error_class: ErrorClass = last.error_class
    return CallError(error_class, f"all {len(failures)} models failed: {told}", http_status=last.http_status, request_id=last.request_id)
