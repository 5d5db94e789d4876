"""Paid answers, kept, so that nothing is paid for twice; and a ledger of every attempt that was paid.

An answer is written before anything is made of it and read before a call is made. Its key covers all that can change
the answer and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from beam_llmdag.errors import LLMDagError
from beam_llmdag.json_data import clean_json
from beam_llmdag.model import Image, Message, Request
from beam_llmdag.result import Attempt

__all__ = ["AnswerStore", "StoreError", "StoredAnswer", "answer_key", "own_key"]


class StoreError(LLMDagError, RuntimeError):
    """A store that cannot be read or written. The message names its place and the remedy.

    It ends the run: to go on without the store would pay for answers and lose them.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """An answer that was paid for and was good.

    Attributes:
        key: see `answer_key`.
        model: `"provider:name"` that gave it.
        text: the answer as the model wrote it; it is validated again when it is read.
        dimension: the dimension that it was paid for.
        payer: the run, dimension and item that it was paid for.
        paid: the attempt that brought it.
    """

    key: str
    model: str
    text: str
    dimension: str
    payer: str
    paid: Attempt


class AnswerStore(Protocol):
    """Where paid answers are kept. One per process and place, shared by all that runs there.

    Its methods raise `StoreError`, and nothing else.
    """

    async def find(self, keys: Sequence[str]) -> list[StoredAnswer]:
        """The answers there are for `keys`, in the order of the keys."""

    async def put(self, answer: StoredAnswer) -> None:
        """Keeps an answer and enters the attempt that brought it into the ledger; both are safe when this returns."""

    async def adopt(self, key: str, dimension: str) -> None:
        """Makes the answer for `key` that of another dimension; nothing is paid for."""

    async def record(self, key: str, dimension: str, attempt: Attempt) -> None:
        """Enters an attempt that brought no answer into the ledger: it was paid for, too."""

    async def aclose(self) -> None:
        """Finishes what is being written."""


def answer_key(request: Request, endpoint: str | None, output: str | None) -> str:
    """The key of a request's answer: a hash of model, server, parameters, messages, images, schema and sample.

    Not in it: the dimension's name, the item's id, retries, time-outs, limits. The order of the schema's fields is in
    it (models write them in that order); the order of keyword arguments and of `extra_body` is not.

    Args:
        request: what is asked.
        endpoint: the server it goes to, None for the vendor's own.
        output: the schema in `request.output` as JSON text; a parameter because it is the same for many requests.
    """
    model = request.model
    parts = [
        model.spec,
        endpoint,
        None if model.temperature is None else float(model.temperature),
        model.max_tokens,
        model.effort,
        json.dumps(model.extra_body, sort_keys=True, default=str) if model.extra_body else "{}",
        request.system,
        [_message_parts(message) for message in request.messages],
        output,
        request.output is not None and request.output.native,
        *([request.sample] if request.sample else []),
    ]
    return hashlib.sha256(clean_json(parts)).hexdigest()


def own_key(key: str, dimension: str) -> str:
    """The key under which a dimension keeps its own answer where another dimension of the dag asked the same before."""
    return hashlib.sha256(f"{key} {dimension}".encode()).hexdigest()


def _message_parts(message: Message) -> list[Any]:
    parts = [
        [part.media_type, hashlib.sha256(part.data).hexdigest()] if isinstance(part, Image) else part
        for part in message.parts()
    ]
    return [message.role, parts]
