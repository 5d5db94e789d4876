"""Settings of the HTTP connections under the SDKs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import aiohttp
import httpx2

__all__ = ["UNLIMITED", "RedirectError", "never_sent", "no_redirects", "root_cause", "timed_out", "with_query"]

UNLIMITED = httpx2.Limits(max_connections=0, max_keepalive_connections=0)
"""A pool without a limit of its own, in aiohttp's way of saying it: the caller limits the calls in flight, and a
smaller limit of the pool (100 by default) would make them wait inside of their time-out."""


class RedirectError(Exception):
    """A session was told to ask elsewhere, and does not.

    Args:
        status: of the response.
        headers: of the response.
    """

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers


async def no_redirects(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware of aiohttp, which would send all but one of the headers on to any host, keys among them.

    Raises:
        RedirectError: instead.
    """
    response = await send(request)
    if 300 <= response.status < 400:
        response.close()
        raise RedirectError(response.status, dict(response.headers))
    return response


def with_query(query: Mapping[str, str]) -> aiohttp.ClientMiddlewareType:
    """A middleware of aiohttp that puts `query` behind the address of every request."""

    async def extended(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if query:
            request.url = request.url.update_query(query)
        return await send(request)

    return extended


def never_sent(error: BaseException) -> bool:
    """Whether `error`, or what caused it, is the failure to open a connection: then no request was sent."""
    unopened = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
    return any(isinstance(seen, unopened) for seen in _causes(error))


def timed_out(error: BaseException) -> bool:
    """Whether `error` is a time-out by its causes: OpenAI's SDK calls every failure of a connection one."""
    causes = list(_causes(error))
    if any(isinstance(seen, aiohttp.ClientError) for seen in causes):
        return any(isinstance(seen, TimeoutError) for seen in causes)
    return any(isinstance(seen, (TimeoutError, httpx2.TimeoutException)) for seen in causes)


def root_cause(error: BaseException) -> BaseException:
    """The first of the errors of which each caused the next."""
    return list(_causes(error))[-1]


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__
