"""Anthropic's Message Batches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from beam_llmdag.errors import CallError
from beam_llmdag.model import Answer, Request
from beam_llmdag.providers.batch.base import (
    NOT_ASKED,
    BatchLimits,
    BatchLine,
    BatchReply,
    BatchState,
    lines_in,
    seconds_of,
)
from beam_llmdag.providers.http.request_body import mapping
from beam_llmdag.providers.http.sdk_provider import SdkProvider
from beam_llmdag.text import name_text

__all__ = ["AnthropicBatches"]

_PATH = "/v1/messages/batches"
_NOT_THERE = 404
_STATUSES = {  # of an error's type; https://docs.anthropic.com/en/api/errors
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class AnthropicBatches:
    """`Batches` of Anthropic: https://docs.anthropic.com/en/docs/build-with-claude/batch-processing.

    It has no place for a name of ours: a batch is known again by its custom ids.

    Args:
        provider: whose server and key are used.
    """

    limits = BatchLimits(requests=50_000, bytes=100_000_000)  # half of what the API takes, so that it fits in memory
    keeps_labels = False

    def __init__(self, provider: SdkProvider) -> None:
        self._provider = provider

    async def body(self, request: Request) -> Mapping[str, Any]:
        """See `Batches`."""
        return self._provider.body(request)

    async def create(self, label: str, model: str, lines: Sequence[BatchLine]) -> BatchState:  # noqa: ARG002 - see above
        """See `Batches`."""
        requests = [{"custom_id": line.custom_id, "params": json.loads(line.body)} for line in lines]
        return _state(await self._provider.managed("POST", _PATH, {"requests": requests}))

    async def state(self, batch_id: str) -> BatchState:
        """See `Batches`."""
        return _state(await self._provider.managed("GET", f"{_PATH}/{quote(batch_id, safe='')}"))

    async def recent(self) -> Sequence[BatchState]:
        """See `Batches`."""
        page = await self._provider.managed("GET", f"{_PATH}?limit=100")
        return [_state(mapping(batch)) for batch in page.get("data") or []]

    async def replies(self, batch_id: str) -> Iterator[tuple[str, BatchReply]] | None:
        """See `Batches`. The address is made here: `results_url` could lead anywhere, and the key goes with it."""
        try:
            return _replies(await self._provider.downloaded(f"{_PATH}/{quote(batch_id, safe='')}/results"))
        except CallError as error:
            if error.http_status == _NOT_THERE:
                return None
            raise

    async def cancel(self, batch_id: str) -> None:
        """See `Batches`."""
        await self._provider.managed("POST", f"{_PATH}/{quote(batch_id, safe='')}/cancel")

    def read(self, reply: BatchReply) -> Answer:
        """See `Batches`."""
        return self._provider.answer_in(reply.status, reply.body, reply.request_id)


def _state(batch: Mapping[str, Any]) -> BatchState:
    counts = mapping(batch.get("request_counts"))
    numbers = {name: count for name, count in counts.items() if isinstance(count, int)}
    status = name_text(batch.get("processing_status")) or "unknown"
    total = sum(numbers.values())
    return BatchState(
        id=name_text(batch.get("id")) or "",
        status=status,
        ended=status == "ended",
        requests=total or None,
        created_at=seconds_of(batch.get("created_at")),
        done=total - numbers.get("processing", 0),
    )


def _replies(content: bytes) -> Iterator[tuple[str, BatchReply]]:
    for line in lines_in(content):
        custom_id, result = line.get("custom_id"), mapping(line.get("result"))
        kind = result.get("type")
        if not isinstance(custom_id, str):
            continue
        if kind == "succeeded":
            yield custom_id, BatchReply(200, result.get("message"))
        elif kind == "errored":
            error = mapping(result.get("error"))
            code = mapping(error.get("error")).get("type")
            yield custom_id, BatchReply(_STATUSES.get(str(code), 500), error, name_text(error.get("request_id")))
        else:
            yield custom_id, BatchReply(NOT_ASKED, None)
