"""Paid answers, kept, so that nothing is paid for twice; and a ledger of every attempt that was paid.

An answer is written before anything is made of it and read before a call is made. Its key covers all that can change
the answer and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from beam_llmdag.model import Image, Message, Request
from beam_llmdag.outputs.json_data import clean_json
from beam_llmdag.records.result import Attempt

__all__ = [
    "AnswerStore",
    "Asked",
    "Found",
    "Payer",
    "StoredAnswer",
    "answer_key",
    "own_key",
    "part_digests",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """An answer that was paid for and was good.

    Attributes:
        key: see `answer_key`.
        model: `"provider:name"` that gave it.
        text: the answer as the model wrote it; it is validated again when it is read.
        dimension: the dimension whose answer it is.
    """

    key: str
    model: str
    text: str
    dimension: str


class Payer(NamedTuple):
    """For whom a call was paid: a run, one of its dimensions, and the item or group."""

    run_id: str
    dimension: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the ledger says of a call, whatever comes of it.

    Attributes:
        key: see `answer_key`.
        model: `"provider:name"` that is asked.
        payer: for whom.
        parts: see `part_digests`.
    """

    key: str
    model: str
    payer: Payer
    parts: str


class Found(NamedTuple):
    """What a store has for some keys.

    Attributes:
        answers: the answers there are, in the order of the keys.
        paid: every call that the payer has paid for under these keys, good or not, in order.
    """

    answers: list[StoredAnswer]
    paid: list[Attempt]


class AnswerStore(Protocol):
    """Where paid answers are kept. One per process and place, shared by all that runs there.

    Its methods raise `StoreError`, and nothing else.
    """

    async def find(self, keys: Sequence[str], payer: Payer) -> Found:
        """What there is for `keys`."""

    def begin(self, asked: Asked) -> int:
        """Enters a call that is sent now into the ledger: should the process die, somebody may be billed for it.

        Returns:
            Its number, for `end`.
        """

    async def end(self, number: int, asked: Asked, attempt: Attempt, answer: str | None = None) -> None:
        """Enters what came of a call, unless it was not sent after all; it is safe when this returns.

        Args:
            number: see `begin`.
            asked: the same as there.
            attempt: what came of it.
            answer: its text, which is kept, if it was good.
        """

    async def adopt(self, key: str, dimension: str) -> None:
        """Makes the answer for `key` that of another dimension; nothing is paid for."""

    async def aclose(self) -> None:
        """Finishes what is being written."""


def answer_key(request: Request, endpoint: str | None, output: str | None) -> str:
    """The key of a request's answer: a hash of model, server, headers, parameters, messages, images, schema, sample.

    Not in it: the dimension's name, the item's id, retries, time-outs, limits. The order of the schema's fields is in
    it (models write them in that order); the order of keyword arguments and of `extra_body` is not.

    Args:
        request: what is asked.
        endpoint: the server it goes to, None for the vendor's own.
        output: the schema in `request.output` as JSON text; a parameter because it is the same for many requests.
    """
    return hashlib.sha256(clean_json([*_parts(request, endpoint, output).values()])).hexdigest()


def part_digests(request: Request, endpoint: str | None, output: str | None) -> str:
    """Short digests of what is in `answer_key`, by name, as JSON text: they tell what differs between two keys."""
    parts = _parts(request, endpoint, output)
    return json.dumps({name: hashlib.sha256(clean_json([part])).hexdigest()[:12] for name, part in parts.items()})


def own_key(key: str, dimension: str) -> str:
    """The key under which a dimension keeps its own answer where another dimension of the dag asked the same before."""
    return hashlib.sha256(f"{key} {dimension}".encode()).hexdigest()


def _parts(request: Request, endpoint: str | None, output: str | None) -> dict[str, Any]:
    model = request.model
    return {
        "model": model.spec,
        "server": endpoint,
        "parameters": [
            None if model.temperature is None else float(model.temperature),
            model.max_tokens,
            model.effort,
            json.dumps(model.extra_body, sort_keys=True, default=str) if model.extra_body else "{}",
        ],
        "headers and query": [sorted(model.headers.items()), sorted(model.query.items())],
        "system text": request.system,
        "messages": [_message_parts(message) for message in request.messages],
        "output schema": [output, request.output is not None and request.output.native],
        "number of the sample": request.sample,
    }


def _message_parts(message: Message) -> list[Any]:
    parts = [
        [part.media_type, hashlib.sha256(part.data).hexdigest()] if isinstance(part, Image) else part
        for part in message.parts()
    ]
    return [message.role, parts]
