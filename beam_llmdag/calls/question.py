"""What is asked of models, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from beam_llmdag.calls.clients import Target
from beam_llmdag.calls.lane import Lane
from beam_llmdag.errors import CallError
from beam_llmdag.model import Message, Model, Request
from beam_llmdag.outputs.output import Output
from beam_llmdag.records.result import Attempt

__all__ = ["Call", "Question", "Reply"]


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
        version: see `Request`.
    """

    dimension: str
    subject: str
    messages: tuple[Message, ...]
    output: Output
    models: tuple[Model, ...]
    system: str | None = None
    deadline_seconds: float | None = None
    sample: int = 0
    version: str | None = None


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
        is_pending: it waits for a batch: there is neither answer nor error yet.
    """

    data: Any = None
    error: CallError | None = None
    model: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    store_hit: bool = False
    reason: str | None = None
    is_pending: bool = False


class Call(NamedTuple):
    """What one model is asked, how, and by which way."""

    request: Request
    target: Target
    lane: Lane
