"""What the tests of the call layer share: a caller over fakes, and one question."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Collection
from typing import Any, Literal

from pydantic import BaseModel

from beam_llmdag.calls.caller import Caller
from beam_llmdag.calls.limits import Limits
from beam_llmdag.calls.limits.budget import Budget
from beam_llmdag.calls.limits.shared import SharedLimits
from beam_llmdag.calls.question import Question, Reply
from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.calls.store.answers import AnswerStore
from beam_llmdag.calls.watch import NO_WATCH, Watch
from beam_llmdag.clock import Clock
from beam_llmdag.errors import CallError, ErrorClass
from beam_llmdag.model import Message, Model
from beam_llmdag.outputs.output import Output
from beam_llmdag.providers.base import ProviderFactory
from beam_llmdag.providers.prices import Price, PriceTable
from beam_llmdag.testing import FakeClock

PRICES = {"scripted:a": Price(input=1, output=2), "scripted:b": Price(input=10, output=20)}


class Label(BaseModel):
    label: Literal["a", "b"]


LABEL = Output(Label)
TEXT = Output(str)
GOOD = {"label": "a"}


_RUNS = itertools.count()
_ITEMS = itertools.count()


def make_caller(
    providers: dict[str, ProviderFactory],
    *,
    store: AnswerStore | None = None,
    clock: Clock | None = None,
    retry: RetryPolicy | None = None,
    prices: dict[str, Any] | None = None,
    seed: int = 0,
    run_id: str | None = None,
    dimensions: Collection[str] = (),
    limits: Limits | None = None,
    workers: int = 1,
    shared: SharedLimits | None = None,
    keep_prompts: bool = False,
    budget: Budget | None = None,
    watch: Watch = NO_WATCH,
) -> Caller:
    """A caller with a clock that does not wait."""
    return Caller(
        providers=providers,
        prices=PriceTable(PRICES if prices is None else prices),
        budget=budget,
        store=store,
        limits=limits or Limits(),
        retry=retry or RetryPolicy(),
        clock=clock or FakeClock(),
        rng=random.Random(seed),
        run_id=run_id or f"run {next(_RUNS)}",
        dimensions=dimensions,
        workers=workers,
        shared=shared,
        keep_prompts=keep_prompts,
        watch=watch,
    )


def question(
    text: str = "What?",
    *,
    model: Model | str = "scripted:a",
    output: Output = LABEL,
    dimension: str = "analyze",
    subject: str | None = None,
    system: str | None = None,
    deadline_seconds: float | None = None,
    sample: int = 0,
) -> Question:
    """One question with one user message."""
    return Question(
        dimension=dimension,
        subject=subject or f"item {next(_ITEMS)}",
        messages=(Message("user", text),),
        output=output,
        models=(model if isinstance(model, Model) else Model(model)).chain(),
        system=system,
        deadline_seconds=deadline_seconds,
        sample=sample,
    )


def ask(caller: Caller, *questions: Question) -> list[Reply]:
    """The replies to questions asked at the same time; closes the caller."""

    async def run() -> list[Reply]:
        try:
            return list(await asyncio.gather(*(caller.ask(one) for one in questions)))
        finally:
            await caller.aclose()

    return asyncio.run(run())


def failed(error_class: ErrorClass, message: str = "no", **known: Any) -> CallError:
    """A provider's error."""
    return CallError(error_class, message, **known)


def classes(reply: Reply) -> list[str | None]:
    """Error classes of a reply's attempts, None for a good one."""
    return [attempt.error_class for attempt in reply.attempts]


async def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Lets other tasks run until `condition` holds; fails when it does not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0)
