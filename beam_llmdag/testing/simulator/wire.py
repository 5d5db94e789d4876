"""What the wire formats have in common: the seam between the simulator and one vendor's API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_llmdag.testing.simulator.rate_limits import LimitState
from beam_llmdag.testing.simulator.reply import Reply
from beam_llmdag.testing.simulator.request import ApiProtocol, SimulatedRequest
from beam_llmdag.usage import Usage

__all__ = ["Asked", "Wire", "parts_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The parts of a request's body that the simulator understands; see `SimulatedRequest`."""

    system: str
    messages: tuple[tuple[str, str], ...]
    schema: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One vendor's wire format, as functions over plain data.

    Attributes:
        protocol: its name.
        request_id_header: response header with the id of the request; None if the vendor has none.
        read: body -> what was asked.
        usage: tokens -> the vendor's usage object.
        answer: request, reply and the vendor's usage object (None: leave it out) -> body of a good answer.
        error: status, reply, id of the request -> body of an error.
        limit_headers: state of the rate limits, and now in seconds since 1970 -> response headers.
    """

    protocol: ApiProtocol
    request_id_header: str | None
    read: Callable[[Mapping[str, Any]], Asked]
    usage: Callable[[Usage], dict[str, Any]]
    answer: Callable[[SimulatedRequest, Reply, Mapping[str, Any] | None], dict[str, Any]]
    error: Callable[[int, Reply, str], dict[str, Any]]
    limit_headers: Callable[[LimitState, float], dict[str, str]]


def parts_text(content: Any, *, type_of_text: Sequence[str] = ("text",)) -> str:
    """The text in a message's content: a text, or a list of parts of which those of another type are left out."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(
        part["text"]
        for part in content
        if isinstance(part, Mapping) and part.get("type", "text") in type_of_text and isinstance(part.get("text"), str)
    )
