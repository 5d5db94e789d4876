"""Under which key an answer is kept: it covers all that can change the answer, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from beam_llmdag.model import Image, Message, Model, Request
from beam_llmdag.outputs.json_data import clean_json

__all__ = ["AnswerKey", "KeyParts", "answer_key", "own_key"]

_SHORT = 12  # digits of a digest that only tells whether two things differ


class AnswerKey(NamedTuple):
    """The key of a request's answer.

    Attributes:
        key: a hash of model, server, headers, parameters, messages, images, schema, version and sample. Not in it: the
            dimension's name, the item's id, retries, time-outs, limits. The order of the schema's fields is in it
            (models write them in that order); the order of keyword arguments and of `extra_body` is not.
        parts: short digests of these by name, as JSON text: they tell what differs between two keys.
    """

    key: str
    parts: str


@dataclass(frozen=True, slots=True)
class KeyParts:
    """What the keys of all requests to a model that ask for an output have in common.

    Attributes:
        digest: a hash of it.
        parts: the beginning of `AnswerKey.parts`.
    """

    digest: str
    parts: str

    @classmethod
    def of(cls, model: Model, endpoint: str | None, schema_text: str | None, *, native: bool) -> KeyParts:
        """The common parts.

        Args:
            endpoint: the server that requests go to, None for the vendor's own.
            schema_text: the schema of the output as JSON text; None for plain text.
            native: whether the schema is sent, and not told in words.
        """
        digests = {
            "model": _digest(model.spec),
            "server": _digest(endpoint),
            "parameters": _digest(
                [
                    None if model.temperature is None else float(model.temperature),
                    model.max_tokens,
                    model.effort,
                    json.dumps(model.extra_body, sort_keys=True, default=str) if model.extra_body else "{}",
                ]
            ),
            "headers and query": _digest([sorted(model.headers.items()), sorted(model.query.items())]),
            "output schema": _digest([schema_text, native]),
        }
        short = json.dumps({name: digest[:_SHORT] for name, digest in digests.items()})
        return cls(_digest(list(digests.values())), short.removesuffix("}"))


def answer_key(request: Request, common: KeyParts) -> AnswerKey:
    """The key of the answer to `request`, where `common` is of its model and output."""
    system = _text_digest(request.system)
    messages = _digest([_message_parts(message) for message in request.messages])
    version = "" if request.version is None else _text_digest(request.version)
    key = hashlib.sha256(f"{common.digest} {system} {messages} {request.sample}{version}".encode()).hexdigest()
    return AnswerKey(
        key,
        f'{common.parts}, "system text": "{system[:_SHORT]}", "messages": "{messages[:_SHORT]}", '
        f'"version": "{version[:_SHORT]}", "number of the sample": "{request.sample}"}}',
    )


def own_key(key: str, dimension: str) -> str:
    """The key under which a dimension keeps its own answer where another dimension of the dag asked the same before."""
    return hashlib.sha256(f"{key} {dimension}".encode()).hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(clean_json([value])).hexdigest()


@lru_cache(maxsize=128)
def _text_digest(text: str | None) -> str:
    """The digest of a text that most requests have in common."""
    return _digest(text)


def _message_parts(message: Message) -> list[Any]:
    if isinstance(message.content, str):
        return [message.role, [message.content]]
    parts = [
        [part.media_type, hashlib.sha256(part.data).hexdigest()] if isinstance(part, Image) else part
        for part in message.parts()
    ]
    return [message.role, parts]
