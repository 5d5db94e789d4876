"""Settings of the HTTP connections under the SDKs."""

from __future__ import annotations

from collections.abc import Iterator

import aiohttp
import httpx2

__all__ = ["UNLIMITED", "never_sent", "root_cause", "timed_out"]

UNLIMITED = httpx2.Limits(max_connections=0, max_keepalive_connections=0)
"""A pool without a limit of its own, in aiohttp's way of saying it: the caller limits the calls in flight, and a
smaller limit of the pool (100 by default) would make them wait inside of their time-out."""


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
