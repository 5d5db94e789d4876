"""OpenAI's Batch API, for Responses and for Chat Completions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any
from urllib.parse import quote

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

__all__ = ["OpenAIBatches"]

_ENDED = ("completed", "failed", "expired", "cancelled")
_LABEL = "llmdag"
_PASSING = ("token_limit_exceeded", "rate_limit_exceeded")  # too much of the account's is in batches at present


class OpenAIBatches:
    """`Batches` of OpenAI: https://platform.openai.com/docs/guides/batch.

    Args:
        provider: whose server and key are used.
        path: of its requests, behind the version of the API.
    """

    limits = BatchLimits(requests=50_000, bytes=100_000_000)  # the API takes files of 200 MB
    keeps_labels = True

    def __init__(self, provider: SdkProvider, path: str) -> None:
        self._provider = provider
        self._url = f"/v1{path}"

    async def body(self, request: Request) -> Mapping[str, Any]:
        """See `Batches`."""
        return self._provider.body(request)

    async def create(self, label: str, model: str, lines: Sequence[BatchLine]) -> BatchState:  # noqa: ARG002 - in the body
        """See `Batches`."""
        asked = f'"method": "POST", "url": "{self._url}"'
        content = "".join(
            f'{{"custom_id": {json.dumps(line.custom_id)}, {asked}, "body": {line.body}}}\n' for line in lines
        )
        file = await self._provider.uploaded(f"{label}.jsonl", content.encode())
        batch = {
            "input_file_id": file.get("id"),
            "endpoint": self._url,
            "completion_window": "24h",
            "metadata": {_LABEL: label},
        }
        return _state(await self._provider.managed("POST", "/batches", batch))

    async def state(self, batch_id: str) -> BatchState:
        """See `Batches`."""
        return _state(await self._provider.managed("GET", f"/batches/{quote(batch_id, safe='')}"))

    async def recent(self) -> Sequence[BatchState]:
        """See `Batches`."""
        page = await self._provider.managed("GET", "/batches?limit=100")
        return [_state(mapping(batch)) for batch in page.get("data") or []]

    async def replies(self, batch_id: str) -> Iterator[tuple[str, BatchReply]] | None:
        """See `Batches`. What failed or expired stands in a second file."""
        batch = await self._provider.managed("GET", f"/batches/{quote(batch_id, safe='')}")
        if batch.get("status") not in _ENDED:
            return None
        files = [batch.get("output_file_id"), batch.get("error_file_id")]
        contents = [
            await self._provider.downloaded(f"/files/{quote(str(file), safe='')}/content") for file in files if file
        ]
        return chain.from_iterable(map(_replies, contents))

    async def cancel(self, batch_id: str) -> None:
        """See `Batches`."""
        await self._provider.managed("POST", f"/batches/{quote(batch_id, safe='')}/cancel")

    def read(self, reply: BatchReply) -> Answer:
        """See `Batches`."""
        return self._provider.answer_in(reply.status, reply.body, reply.request_id)


def _state(batch: Mapping[str, Any]) -> BatchState:
    counts, status = mapping(batch.get("request_counts")), name_text(batch.get("status")) or "unknown"
    numbers = [counts.get(name) for name in ("total", "completed", "failed")]
    total, completed, failed = (number if isinstance(number, int) else 0 for number in numbers)
    data = mapping(batch.get("errors")).get("data")
    problems = [mapping(problem) for problem in (data if isinstance(data, list) else [])]
    told = [str(problem.get("message")) for problem in problems]
    return BatchState(
        id=name_text(batch.get("id")) or "",
        status=status,
        ended=status in _ENDED,
        requests=total or None,
        created_at=seconds_of(batch.get("created_at")),
        done=completed + failed,
        label=name_text(mapping(batch.get("metadata")).get(_LABEL)),
        problem="; ".join(told[:3]) or "the whole batch failed" if status == "failed" else None,
        passes=any(problem.get("code") in _PASSING for problem in problems),
    )


def _replies(content: bytes) -> Iterator[tuple[str, BatchReply]]:
    for line in lines_in(content):
        custom_id, response = line.get("custom_id"), mapping(line.get("response"))
        if not isinstance(custom_id, str):
            continue
        status = response.get("status_code")
        if isinstance(status, int) and status >= 100:
            yield custom_id, BatchReply(status, response.get("body"), name_text(response.get("request_id")))
        else:
            yield custom_id, BatchReply(NOT_ASKED, line.get("error"))
