"""Just enough HTTP/1.1 for a server on the loopback interface: keep-alive, chunked requests, and ways to fail."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType
from typing import Literal, cast

__all__ = ["Ending", "HttpConnection", "HttpReply", "HttpRequest", "encode_response"]

Ending = Literal["sent", "cut", "hung_up"]
"""How a request ended: the data went out, the server cut the connection, or the client did."""

_PHRASES: Mapping[int, str] = {**{status.value: status.phrase for status in HTTPStatus}, 529: "Overloaded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """What to do with a request.

    Attributes:
        data: bytes to send.
        delay_seconds: when to send them.
        hang: send nothing, ever.
        drop: reset the connection instead of sending.
        close: close the connection after the data.
        ended: called once, with how it ended.
    """

    data: bytes = b""
    delay_seconds: float = 0.0
    hang: bool = False
    drop: bool = False
    close: bool = False
    ended: Callable[[Ending], None]


class HttpConnection(asyncio.Protocol):
    """One connection: hands each request to `handle` and does what it returns; one request at a time.

    Args:
        handle: what to do with a request; must not block.
        connections: set that holds this connection while it is open.
    """

    def __init__(self, handle: Callable[[HttpRequest], HttpReply], connections: set[HttpConnection]) -> None:
        self._handle = handle
        self._connections = connections
        self._buffer = bytearray()
        self._pending: HttpReply | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._keep_alive = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._buffer += data
        self._advance()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self._connections.discard(self)
        self._end("hung_up")

    def abort(self) -> None:
        """Resets the connection: the peer sees ECONNRESET, not a regular end."""
        self._end("cut")
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _advance(self) -> None:
        while self._pending is None and not self._transport.is_closing():
            try:
                request = take_request(self._buffer)
            except ValueError as error:
                self._transport.write(encode_response(400, {"content-type": "text/plain"}, f"{error}\n".encode()))
                self._transport.close()
                return
            if request is None:
                return
            self._keep_alive = request.keep_alive
            self._pending = self._handle(request)
            self._start(self._pending)

    def _start(self, reply: HttpReply) -> None:
        if reply.hang:
            return
        if reply.delay_seconds > 0:
            self._timer = asyncio.get_running_loop().call_later(reply.delay_seconds, self._finish_late)
        else:
            self._finish()

    def _finish_late(self) -> None:
        self._finish()
        self._advance()

    def _finish(self) -> None:
        if self._pending is None:
            return
        if self._pending.drop:
            self.abort()
            return
        reply = self._pending
        self._end("sent")  # before it is: who has the answer may rely on finding it in the log
        self._transport.write(reply.data)
        if reply.close or not self._keep_alive:
            self._transport.close()

    def _end(self, ending: Ending) -> None:
        reply, self._pending = self._pending, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if reply is not None:
            reply.ended(ending)


def encode_response(status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    """A whole HTTP response; Content-Length is added."""
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + body


def take_request(buffer: bytearray) -> HttpRequest | None:
    """The first request in `buffer`, which is taken out; None if it is not complete yet.

    Raises:
        ValueError: this is not HTTP/1.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = _parse_head(bytes(buffer[:end]))
    taken = _take_body(buffer, end + 4, head.headers)
    if taken is None:
        return None
    body, used = taken
    del buffer[:used]
    return HttpRequest(method=head.method, path=head.path, headers=head.headers, body=body, keep_alive=head.keep_alive)


@dataclass(frozen=True, slots=True)
class _Head:
    method: str
    path: str
    headers: Mapping[str, str]
    keep_alive: bool


@lru_cache(maxsize=4096)
def _parse_head(data: bytes) -> _Head:
    """What stands before the body. Kept, because a client sends the same head again and again.

    Raises:
        ValueError: this is not HTTP/1.
    """
    lines = data.decode("latin-1").split("\r\n")
    method, path, version = (*lines[0].split(" "), "", "")[:3]
    if not version.startswith("HTTP/1."):
        raise ValueError(f"not an HTTP/1 request: {lines[0][:100]!r}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    wish = headers.get("connection", "keep-alive" if version == "HTTP/1.1" else "close").lower()
    return _Head(method, path, MappingProxyType(headers), wish != "close")


def _take_body(buffer: bytearray, start: int, headers: Mapping[str, str]) -> tuple[bytes, int] | None:
    """Body and the position behind it; None if it is not complete yet."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _take_chunks(buffer, start)
    end = start + int(headers.get("content-length", "0"))
    return (bytes(buffer[start:end]), end) if len(buffer) >= end else None


def _take_chunks(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    body = bytearray()
    while (line_end := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:line_end].split(b";")[0], 16)
        chunk_end = line_end + 2 + size
        if len(buffer) < chunk_end + 2:
            return None
        if size == 0:
            return bytes(body), chunk_end + 2
        body += buffer[line_end + 2 : chunk_end]
        start = chunk_end + 2
    return None
