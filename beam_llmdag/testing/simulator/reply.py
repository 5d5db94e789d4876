"""What the simulator shall do with a request."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Literal

from beam_llmdag.testing.simulator.request import SimulatedRequest
from beam_llmdag.usage import Usage

__all__ = ["AnswerValue", "Reply", "as_reply", "estimated_tokens"]

UsageValue = Usage | Mapping[str, Any] | Literal["estimated", "missing"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted reaction of the simulator, for any of its protocols.

    Args:
        text: the model's answer; a mapping or list is written as JSON.
        stop: `"end"`, `"length"` (token limit) or `"refusal"`, put into the vendor's words; any other text is sent as
            the vendor's own stop reason; None leaves the field out.
        refusal: the words of a refusal, where the API has a place for them.
        thinking: reasoning that the API delivers apart from the answer.
        usage: tokens, put where the vendor puts them; a mapping is sent as it is; `"estimated"` counts four
            characters as one token; `"missing"` sends none.
        status: HTTP status. From 400 on, without `body` and `json`, the vendor's own error object is sent.
        message: text of that error; a fitting one if not given.
        code: the vendor's machine-readable cause in that error, such as `"insufficient_quota"` or
            `"context_length_exceeded"`, where the vendor has a place for one.
        retry_after: seconds, or a text such as an HTTP date, for the Retry-After header (and Gemini's RetryInfo).
        headers: more HTTP headers.
        json: the body, instead of all above but `status` and `headers`.
        body: the body as text or bytes, instead of `json`.
        delay_seconds: time until the answer; None takes the simulator's latency.
        malformed: the body ends half-way, so that it is no JSON.
        truncate: half of the body is sent, then the connection closes.
        hang: the request is accepted and never answered.
        drop: the connection is reset instead of an answer.
    """

    text: str | Mapping[str, Any] | list[Any] = ""
    stop: Literal["end", "length", "refusal"] | str | None = field(default="end", kw_only=True)
    refusal: str | None = field(default=None, kw_only=True)
    thinking: str | None = field(default=None, kw_only=True)
    usage: UsageValue = field(default="estimated", kw_only=True)
    status: int = field(default=200, kw_only=True)
    message: str | None = field(default=None, kw_only=True)
    code: str | None = field(default=None, kw_only=True)
    retry_after: float | str | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    json: Any = field(default=None, kw_only=True)
    body: str | bytes | None = field(default=None, kw_only=True)
    delay_seconds: float | None = field(default=None, kw_only=True)
    malformed: bool = field(default=False, kw_only=True)
    truncate: bool = field(default=False, kw_only=True)
    hang: bool = field(default=False, kw_only=True)
    drop: bool = field(default=False, kw_only=True)

    @property
    def answer_text(self) -> str:
        """The answer as the model writes it."""
        return self.text if isinstance(self.text, str) else json_module.dumps(self.text, ensure_ascii=False)

    def usage_for(self, request: SimulatedRequest) -> Usage | Mapping[str, Any] | None:
        """The tokens to report: a `Usage` to be put into the vendor's words, a mapping to send as it is, or None."""
        if self.usage == "missing":
            return None
        if not isinstance(self.usage, str):
            return self.usage
        reasoning = estimated_tokens(self.thinking) if self.thinking else 0
        return Usage(
            input_tokens=estimated_tokens(request.text),
            output_tokens=estimated_tokens(self.refusal or self.answer_text) + reasoning,
            reasoning_tokens=reasoning,
        )


AnswerValue = str | Mapping[str, Any] | list[Any] | Reply
"""What an answer function may return: the text, JSON data, or a `Reply`."""


def as_reply(value: AnswerValue) -> Reply:
    """`value` as a `Reply`.

    Raises:
        TypeError: it is nothing that can be sent.
    """
    if isinstance(value, Reply):
        return value
    if isinstance(value, (str, Mapping, list)):
        return Reply(value)
    raise TypeError(f"an answer is a text, JSON data or a Reply, not {type(value).__name__}: {value!r}")


def estimated_tokens(text: str) -> int:
    """Tokens of `text`, at least 1: four characters each, which is the vendors' rule of thumb for English."""
    return max(1, ceil(len(text) / 4))
