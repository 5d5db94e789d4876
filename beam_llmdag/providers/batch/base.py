"""What a vendor's batch API is to us: `Batches`, and `Batched`, a provider that has one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from beam_llmdag.model import Answer, Request

__all__ = [
    "NOT_ASKED",
    "BatchLimits",
    "BatchLine",
    "BatchReply",
    "BatchState",
    "Batched",
    "Batches",
    "lines_in",
    "reply_of",
    "seconds_of",
]


NOT_ASKED = 0
"""In the place of a status: the batch ended before the request was asked."""


class BatchLimits(NamedTuple):
    """How large one batch may be.

    Attributes:
        requests: how many.
        bytes: of all their bodies together.
        seconds: within which it ends, answered or not.
    """

    requests: int
    bytes: int
    seconds: float = 24 * 3600.0


class BatchLine(NamedTuple):
    """One request of a batch.

    Attributes:
        custom_id: at most 64 of `A-Z a-z 0-9 _ -`; what comes back has it again.
        body: the JSON body that it would have on its own, as text.
    """

    custom_id: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchState:
    """What a vendor says of a batch.

    Attributes:
        id: the vendor's.
        status: the vendor's own word.
        ended: whether nothing more will come.
        requests: how many are in it; None if the vendor does not say.
        done: how many of them have ended; None if the vendor does not say.
        created_at: in seconds since 1970-01-01 UTC; None if the vendor does not say.
        label: the name that we gave it, where the vendor keeps one.
        problem: why the whole batch failed.
        passes: whether that passes by waiting.
    """

    id: str
    status: str
    ended: bool
    requests: int | None = None
    done: int | None = None
    created_at: float | None = None
    label: str | None = None
    problem: str | None = None
    passes: bool = False


class BatchReply(NamedTuple):
    """What a batch says to one request.

    Attributes:
        status: as of an HTTP response, or `NOT_ASKED`: the batch expired or was cancelled.
        body: JSON data of the response, or of its error.
        request_id: the vendor's id of the request, where it is not in the body.
    """

    status: int
    body: Any
    request_id: str | None = None


class Batches(Protocol):
    """A vendor's batch API. Its methods raise `CallError`, and nothing else.

    Attributes:
        limits: of one batch.
        keeps_labels: whether a batch is listed under our name of it.
    """

    limits: BatchLimits
    keeps_labels: bool

    async def body(self, request: Request) -> Mapping[str, Any]:
        """The JSON body of a request, the same as when it goes on its own."""

    async def create(self, label: str, model: str, lines: Sequence[BatchLine]) -> BatchState:
        """Sends a batch off.

        Args:
            label: our name of it; the same is never given to two.
            model: the vendor's name of the model.
            lines: the requests, within `limits`.
        """

    async def state(self, batch_id: str) -> BatchState:
        """How far a batch is."""

    async def recent(self) -> Sequence[BatchState]:
        """The vendor's batches, the newest first, as many as a page has."""

    async def replies(self, batch_id: str) -> Iterable[tuple[str, BatchReply]] | None:
        """What a batch that has ended says to its requests, by custom id, in any order; not all need be there.

        None if it has not ended after all, or its results are not there yet.
        """

    async def cancel(self, batch_id: str) -> None:
        """Asks for what has not begun not to be begun."""

    def read(self, reply: BatchReply) -> Answer:
        """The answer in a reply with a status.

        Raises:
            CallError: there is none.
        """


class Batched(Protocol):
    """A provider that has a batch API. A part of `Provider` that may be left out."""

    def batches(self) -> Batches | None:
        """The API; None where the server has none."""


def lines_in(content: bytes) -> Iterable[Mapping[str, Any]]:
    """The objects in lines of JSON; what is none is left out, as if that line had not come."""
    for line in content.splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, Mapping):
            yield record


def seconds_of(moment: Any) -> float | None:
    """A vendor's moment, an ISO text or a number of seconds, as seconds since 1970-01-01 UTC; None if it is neither."""
    try:
        return datetime.fromisoformat(moment).timestamp() if isinstance(moment, str) else float(moment)
    except (ValueError, TypeError, OverflowError):
        return None


def reply_of(text: str) -> BatchReply:
    """A reply that was kept as JSON text.

    Raises:
        ValueError: it is none.
    """
    status, body, request_id = json.loads(text)
    return BatchReply(int(status), body, request_id)
