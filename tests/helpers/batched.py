"""A vendor with a batch API, in this process: what comes back is scripted, and when."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from beam_llmdag.errors import CallError
from beam_llmdag.model import Answer, Request
from beam_llmdag.providers.batch.base import BatchLimits, BatchLine, BatchReply, BatchState
from beam_llmdag.testing import ScriptedProvider
from beam_llmdag.usage import Usage

__all__ = ["BatchedProvider"]


class BatchedProvider(ScriptedProvider):
    """A scripted provider that has a batch API, and is it.

    Args:
        answers: to requests of either lane, from the prompt.
        limits: of one batch.
        labels: whether batches keep our name.

    Attributes:
        sent: the batches that were taken, in order: their lines.
        states: what is said of each.
        ends: whether a batch has ended as soon as it is taken.
        tells_done: whether it is said of a batch how many requests of it have ended.
        said: prompt -> reply of a batch, in place of an answer.
        on_create: called before a batch is taken, and after; may raise.
        extra_replies: that every batch has besides.
    """

    def __init__(
        self,
        answers: Callable[[str], Any] = lambda prompt: {"label": prompt},
        *,
        limits: BatchLimits = BatchLimits(1000, 10**6),
        labels: bool = True,
    ) -> None:
        super().__init__(lambda request: self._answer_to(prompt_of(request)))
        self.limits = limits
        self.answers = answers
        self.keeps_labels = labels
        self.sent: list[Sequence[BatchLine]] = []
        self.states: list[BatchState] = []
        self.ends = True
        self.tells_done = False
        self.said: dict[str, Callable[[], BatchReply]] = {}
        self.on_create: tuple[Callable[[], None], Callable[[], None]] = (lambda: None, lambda: None)
        self.extra_replies: list[tuple[str, BatchReply]] = []
        self.cancelled_batches: list[str] = []
        self._numbers = itertools.count()

    def batches(self) -> BatchedProvider:
        return self

    @property
    def lines(self) -> list[BatchLine]:
        """All requests of all batches."""
        return [line for batch in self.sent for line in batch]

    def end_all(self) -> None:
        """From now on all batches have ended."""
        self.ends = True
        self.states = [replace(state, ended=True, status="ended") for state in self.states]

    async def body(self, request: Request) -> Mapping[str, Any]:
        return {"prompt": prompt_of(request), "system": request.system}

    async def create(self, label: str, model: str, lines: Sequence[BatchLine]) -> BatchState:
        self.on_create[0]()
        state = BatchState(
            id=f"{model}-{next(self._numbers)}",
            status="ended" if self.ends else "in_progress",
            ended=self.ends,
            requests=len(lines),
            done=len(lines) if self.ends and self.tells_done else None,
            label=label if self.keeps_labels else None,
        )
        self.sent.append(list(lines))
        self.states.append(state)
        self.on_create[1]()
        return state

    async def state(self, batch_id: str) -> BatchState:
        for state in self.states:
            if state.id == batch_id:
                return state
        raise CallError("bad_request", "no such batch", http_status=404)

    async def recent(self) -> Sequence[BatchState]:
        return self.states[::-1]

    async def replies(self, batch_id: str) -> Iterable[tuple[str, BatchReply]]:
        index = [state.id for state in self.states].index(batch_id)
        replies = []
        for line in reversed(self.sent[index]):
            prompt = json.loads(line.body)["prompt"]
            said = self.said.get(prompt, lambda prompt=prompt: BatchReply(200, {"prompt": prompt}))
            replies.append((line.custom_id, said()))
        return [*replies, *self.extra_replies]

    async def cancel(self, batch_id: str) -> None:
        self.cancelled_batches.append(batch_id)

    def read(self, reply: BatchReply) -> Answer:
        if reply.status != 200:
            error_class = "overloaded" if reply.status >= 500 else "bad_request"
            raise CallError(error_class, str(reply.body), http_status=reply.status)
        return self._answer_to(reply.body["prompt"])

    def _answer_to(self, prompt: str) -> Answer:
        return Answer(text=json.dumps(self.answers(prompt)), usage=Usage(input_tokens=100, output_tokens=10))


def prompt_of(request: Request) -> str:
    return "\n".join(str(message.content) for message in request.messages)
