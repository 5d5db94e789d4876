"""Gemini's Batch API: a file of requests goes up, a file of answers comes down."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import aiohttp
from google.genai import types
from google.genai.client import AsyncClient

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
from beam_llmdag.text import name_text

__all__ = ["GoogleBatches", "WrittenBody", "written_body"]

_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED")
_OK = 200
_NEVER_BEGUN = (1, 4)  # cancelled, and expired
_HTTP_STATUSES = {3: 400, 5: 404, 7: 403, 8: 429, 11: 400, 12: 501, 13: 500, 14: 503, 16: 401}
"""Of the numbers that errors inside of a file have, https://github.com/googleapis/googleapis/…/google/rpc/code.proto."""


class WrittenBody(Exception):  # noqa: N818 - no error, a way out
    """A request as the SDK has written it, in the place of sending it."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__()
        self.body = body


async def written_body(request: aiohttp.ClientRequest, _: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Middleware of a session that sends nothing.

    Raises:
        WrittenBody: always.
    """
    content = request.body if isinstance(request.body, bytes) else await request.body.as_bytes()
    raise WrittenBody(json.loads(content))


class _Provider(Protocol):
    """What is needed of the provider."""

    async def body(self, request: Request) -> Mapping[str, Any]:
        """The JSON body of a request, as the SDK writes it."""

    def file_client(self) -> AbstractAsyncContextManager[AsyncClient]:
        """A client that reads whole files; what its calls raise becomes a `CallError`."""

    def answer_in(self, status: int, body: Any, request_id: str | None) -> Answer:
        """The answer in a response that did not come by HTTP."""


class GoogleBatches:
    """`Batches` of Gemini: https://ai.google.dev/gemini-api/docs/batch-api.

    Args:
        provider: whose server and key are used.
    """

    limits = BatchLimits(requests=50_000, bytes=100_000_000, seconds=48 * 3600)  # it takes files of 2 GB
    keeps_labels = True

    def __init__(self, provider: _Provider) -> None:
        self._provider = provider

    async def body(self, request: Request) -> Mapping[str, Any]:
        """See `Batches`. What the SDK makes of the request is taken from the SDK."""
        return await self._provider.body(request)

    async def create(self, label: str, model: str, lines: Sequence[BatchLine]) -> BatchState:
        """See `Batches`."""
        content = "".join(f'{{"key": {json.dumps(line.custom_id)}, "request": {line.body}}}\n' for line in lines)
        async with self._provider.file_client() as client:
            config = types.UploadFileConfig(display_name=label, mime_type="jsonl")
            file = await client.files.upload(file=io.BytesIO(content.encode()), config=config)
            if not file.name:
                raise CallError("connection", "the API took a file and did not say its name")
            made = await client.batches.create(
                model=model, src=file.name, config=types.CreateBatchJobConfig(display_name=label)
            )
        return _state(made)

    async def state(self, batch_id: str) -> BatchState:
        """See `Batches`."""
        async with self._provider.file_client() as client:
            return _state(await client.batches.get(name=batch_id))

    async def recent(self) -> Sequence[BatchState]:
        """See `Batches`."""
        async with self._provider.file_client() as client:
            pager = await client.batches.list(config=types.ListBatchJobsConfig(page_size=100))
            return [_state(job) for job in pager.page]

    async def replies(self, batch_id: str) -> Iterator[tuple[str, BatchReply]] | None:
        """See `Batches`."""
        async with self._provider.file_client() as client:
            job = await client.batches.get(name=batch_id)
            if not _state(job).ended:
                return None
            name = None if job.dest is None else job.dest.file_name
            content = b"" if not name else await client.files.download(file=name)
        return _replies(content)

    async def cancel(self, batch_id: str) -> None:
        """See `Batches`."""
        async with self._provider.file_client() as client:
            await client.batches.cancel(name=batch_id)

    def read(self, reply: BatchReply) -> Answer:
        """See `Batches`."""
        return self._provider.answer_in(reply.status, reply.body, reply.request_id)


def _state(job: types.BatchJob) -> BatchState:
    status = (job.state.value if job.state is not None else "unknown").removeprefix("JOB_STATE_")
    stats = job.completion_stats
    done = None if stats is None else (stats.successful_count or 0) + (stats.failed_count or 0)
    total = None if stats is None or done is None else done + max(stats.incomplete_count or 0, 0)
    problem = job.error.message if job.error is not None and status == "FAILED" else None
    return BatchState(
        id=name_text(job.name) or "",
        status=status,
        ended=status in _ENDED,
        requests=total,
        done=done,
        created_at=seconds_of(job.create_time.timestamp() if job.create_time else None),
        label=name_text(job.display_name),
        problem=problem or ("the whole batch failed" if status == "FAILED" else None),
    )


def _replies(content: bytes) -> Iterator[tuple[str, BatchReply]]:
    for line in lines_in(content):
        key, response = line.get("key"), line.get("response")
        if not isinstance(key, str):
            continue
        if isinstance(response, Mapping):
            yield key, BatchReply(_OK, response)
        else:
            error = mapping(line.get("error"))
            code = error.get("code")
            if code in _NEVER_BEGUN:
                yield key, BatchReply(NOT_ASKED, {"error": error})
                continue
            status = code if isinstance(code, int) and code >= 400 else _HTTP_STATUSES.get(code or 0, 500)
            yield key, BatchReply(status, {"error": error})
