"""Paid answers, kept, so that nothing is paid for twice; and a ledger of every attempt that was paid.

An answer is written before anything is made of it and read before a call is made. Its key covers all that can change
the answer and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Protocol

from beam_llmdag.model import Image, Message, Request
from beam_llmdag.result import Attempt

__all__ = ["AnswerStore", "StoredAnswer", "answer_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """An answer that was paid for and was good.

    Attributes:
        key: see `answer_key`.
        model: `"provider:name"` that gave it.
        text: the answer as the model wrote it; it is validated again when it is read.
        paid: the attempt that brought it, with its usage and cost.
    """

    key: str
    model: str
    text: str
    paid: Attempt


class AnswerStore(Protocol):
    """Where paid answers are kept. One per process and place, shared by all that runs there."""

    async def get(self, key: str) -> StoredAnswer | None:
        """The answer for a key, or None."""

    async def put(self, answer: StoredAnswer, dimension: str) -> None:
        """Keeps an answer and enters it into the ledger; it is safe when this returns."""

    async def record(self, key: str, dimension: str, attempt: Attempt) -> None:
        """Enters an attempt that brought no answer into the ledger: it was paid for, too."""

    async def aclose(self) -> None:
        """Finishes what is being written."""


def answer_key(request: Request, endpoint: str | None) -> str:
    """The key of a request's answer: a hash of model, server, parameters, messages, images and output schema.

    Not in it: the dimension's name, the item's id, retries, time-outs, limits. The order of the schema's fields is in it
    (models write them in that order); the order of keyword arguments and of `extra_body` is not.

    Args:
        request: what is asked.
        endpoint: the server it goes to, None for the vendor's own.
    """
    model = request.model
    parts = {
        "model": model.spec,
        "endpoint": endpoint,
        "temperature": model.temperature,
        "max_tokens": model.max_tokens,
        "effort": model.effort,
        "extra_body": json.dumps(model.extra_body, sort_keys=True, default=str),
        "system": request.system,
        "messages": [_message_parts(message) for message in request.messages],
        "output": None if request.output is None else json.dumps(request.output.schema),
        "native": None if request.output is None else request.output.native,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8")).hexdigest()


def _message_parts(message: Message) -> list[Any]:
    parts = [
        [part.media_type, hashlib.sha256(part.data).hexdigest()] if isinstance(part, Image) else part
        for part in message.parts()
    ]
    return [message.role, parts]

