"""The body of a response: unpacked while it is read, and given up where it is longer than any answer.

A body is a stranger's: packed, 200 MB fit into 200 kB, and a server need not come to an end. With many calls in flight
either would take the memory of the whole process, so nothing is unpacked or kept beyond `LONGEST_BODY`.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import aiohttp
import httpx2

__all__ = [
    "ASKED_FOR",
    "LONGEST_BODY",
    "LONGEST_FILE",
    "BodyError",
    "WholeBodies",
    "WholeResponse",
    "text_of",
    "whole_body",
]

LONGEST_BODY = 16 * 2**20
"""Bytes of the longest response that is read, unpacked."""

LONGEST_FILE = 2**30
"""The same of a file with the answers of a batch, of which one is read at a time."""

ASKED_FOR = {"accept-encoding": "gzip"}
"""Headers of a request: no body comes that could not be unpacked here."""

_LONGEST_NUMBER = 20  # digits: a server may send more of them than Python turns into an int
_PIECE = 2**16
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
_PACKINGS = ("gzip", "x-gzip", "deflate")
_ABOUT_THE_BYTES = (b"content-encoding", b"content-length", b"transfer-encoding")


class BodyError(aiohttp.ClientPayloadError):
    """A body that is too long, or that cannot be unpacked."""


async def whole_body(pieces: AsyncIterator[bytes], headers: Mapping[str, str], longest: int = LONGEST_BODY) -> bytes:
    """The bytes of a body, unpacked piece by piece, so that the loop is held by none of it.

    Args:
        pieces: the body as it comes.
        headers: of the response; names in any case.
        longest: bytes that it may have.

    Raises:
        BodyError: it is longer, or packed in a way that nobody asked for.
    """
    if _declared(headers.get("content-length", "")) > longest:
        raise _too_long(longest)
    unpacker = _Unpacker(headers.get("content-encoding", ""))
    body = bytearray()
    received = 0
    async for piece in pieces:
        received += len(piece)
        for part in unpacker.parts(piece):
            body += part
            if max(received, len(body)) > longest:
                raise _too_long(longest)
            if len(part) == _PIECE:
                await asyncio.sleep(0)
    unpacker.finish()
    return bytes(body)


def text_of(body: bytes) -> str:
    """A body as text: JSON is in UTF-8, or shows that it is not, whatever a header says; what is no text is U+FFFD."""
    return body.decode(json.detect_encoding(body), "replace")


class WholeBodies(httpx2.AsyncClient):
    """A client whose responses are read by `whole_body`."""

    longest_body = LONGEST_BODY

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:  # noqa: ARG002
        """Sends a request and reads the response, streamed or not.

        Raises:
            BodyError: see `whole_body`.
        """
        request.headers.update(ASKED_FOR)
        response = await super().send(request, stream=True, **options)
        try:
            content = await whole_body(response.aiter_raw(), response.headers, self.longest_body)
        finally:
            await response.aclose()
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _ABOUT_THE_BYTES]
        return httpx2.Response(
            response.status_code, headers=headers, content=content, request=request, extensions=response.extensions
        )


class WholeResponse(aiohttp.ClientResponse):
    """A response that is read by `whole_body`, of a session that does not unpack."""

    longest_body = LONGEST_BODY
    _whole: bytes | None = None

    async def read(self) -> bytes:
        """The bytes of the body.

        Raises:
            BodyError: see `whole_body`.
        """
        if self._whole is None:
            try:
                self._whole = await whole_body(self.content.iter_any(), self.headers, self.longest_body)
            except BaseException:
                self.close()
                raise
        return self._whole

    async def text(self, encoding: str | None = None, errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's
        """The body as `text_of` reads it."""
        return text_of(await self.read())

    async def json(self, **_options: Any) -> Any:
        """Nothing: the SDK's own reading of an error fails where that is no JSON, and then its status is lost."""
        return {}


class _Unpacker:
    """Unpacks one body, in parts of at most `_PIECE` bytes.

    Args:
        encoding: the `content-encoding` of the response.

    Raises:
        BodyError: nobody asked for that.
    """

    def __init__(self, encoding: str) -> None:
        packings = [name for name in encoding.lower().replace(" ", "").split(",") if name not in ("", "identity")]
        if len(packings) > 1:
            raise BodyError(f"the body is packed {len(packings)} times ({encoding[:100]}); the limit is once")
        if packings and packings[0] not in _PACKINGS:
            raise BodyError(f"the body is packed as {encoding[:100]!r}, which was not asked for")
        self._zlib = zlib.decompressobj(_ZLIB_OR_GZIP) if packings else None
        self._begun = False

    def parts(self, piece: bytes) -> Iterator[bytes]:
        """What is in a piece.

        Raises:
            BodyError: it is damaged.
        """
        if self._zlib is None:
            yield piece
            return
        self._begun = True
        while piece and not self._zlib.eof:
            try:
                yield self._zlib.decompress(piece, _PIECE)
            except zlib.error as error:
                raise BodyError(f"the body cannot be unpacked: {error}") from None
            piece = self._zlib.unconsumed_tail

    def finish(self) -> None:
        """Ends the body.

        Raises:
            BodyError: there is more of it that did not come.
        """
        if self._begun and self._zlib is not None and not self._zlib.eof:
            raise BodyError("the packed body is cut off")


def _too_long(longest: int) -> BodyError:
    return BodyError(f"the body is longer than the limit of {longest // 2**20} MB")


def _declared(content_length: str) -> int:
    return int(content_length) if content_length.isdecimal() and len(content_length) < _LONGEST_NUMBER else 0
