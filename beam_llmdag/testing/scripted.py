"""A provider without a network: a model that says what a test told it to say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from beam_llmdag.errors import CallError
from beam_llmdag.model import Answer, Image, Model, Request, WireSchema
from beam_llmdag.testing.pinned import Pinned
from beam_llmdag.testing.simulator.reply import estimated_tokens
from beam_llmdag.usage import Usage

__all__ = ["ScriptedAnswer", "ScriptedProvider"]

ScriptedAnswer = str | Mapping[str, Any] | list[Any] | Answer | CallError
"""A text, JSON data, a whole `Answer`, or an error to raise."""


class ScriptedProvider(Pinned):
    """A `beam_llmdag.providers.base.Provider` in process: `Dag(..., providers={"scripted": ScriptedProvider(…)})`.

    Models are named `"scripted:anything"`. The object is its own factory, and survives the pickling of a graph as
    itself within a process, so that a test can read afterwards what it was asked.

    Args:
        answers: a function from `Request` to an answer, which may raise `CallError`; or answers and errors in order, of
            which the last one repeats.
        latency_seconds: time until each answer, or a function that says it for a request.
        default_in_flight: calls in flight per process when the user sets no limit.

    Attributes:
        requests: every request, in the order in which they came.
        cancelled: calls that were cancelled while they waited for their answer.
        in_flight: calls that wait for their answer.
        peak_in_flight: the highest `in_flight` so far.

    Raises:
        ValueError: an empty sequence of answers.
    """

    def __init__(
        self,
        answers: Callable[[Request], ScriptedAnswer] | Sequence[ScriptedAnswer],
        *,
        latency_seconds: float | Callable[[Request], float] = 0.0,
        default_in_flight: int = 100,
    ) -> None:
        super().__init__()
        if not callable(answers) and not answers:
            raise ValueError("a scripted provider needs at least one answer")
        self.default_in_flight = default_in_flight
        self.requests: list[Request] = []
        self.cancelled = 0
        self.in_flight = 0
        self.peak_in_flight = 0
        self._answers = answers
        self._latency_seconds = latency_seconds

    def __call__(self, _model: Model) -> ScriptedProvider:
        """This object, for every model."""
        return self

    def wire_schema(self, schema: Mapping[str, Any]) -> WireSchema:
        """The schema as it is."""
        return WireSchema(schema=schema)

    def key(self) -> str | None:
        """None: there is no secret."""
        return None

    async def answer(self, request: Request) -> Answer:
        """The answer to `request`.

        Raises:
            CallError: the scripted one.
        """
        self.requests.append(request)
        said = self._next(request, len(self.requests) - 1)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self._latency(request))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        if isinstance(said, CallError):
            raise said
        return _as_answer(said, request)

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _next(self, request: Request, position: int) -> ScriptedAnswer:
        if callable(self._answers):
            try:
                return self._answers(request)
            except CallError as error:
                return error
        return self._answers[min(position, len(self._answers) - 1)]

    def _latency(self, request: Request) -> float:
        return self._latency_seconds(request) if callable(self._latency_seconds) else self._latency_seconds


def _as_answer(said: str | Mapping[str, Any] | list[Any] | Answer, request: Request) -> Answer:
    if isinstance(said, Answer):
        return said
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    texts = [part for message in request.messages for part in message.parts() if not isinstance(part, Image)]
    asked = "".join((request.system or "", *texts))
    usage = Usage(input_tokens=estimated_tokens(asked), output_tokens=estimated_tokens(text))
    return Answer(text=text, usage=usage, model_name=request.model.name)
