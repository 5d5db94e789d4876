"""Settings of the HTTP connections under the SDKs."""

from __future__ import annotations

import aiohttp
import httpx2

__all__ = ["UNLIMITED", "never_sent"]

UNLIMITED = httpx2.Limits(max_connections=0, max_keepalive_connections=0)
"""A pool without a limit of its own, in aiohttp's way of saying it: the caller limits the calls in flight, and a second,
smaller limit (100 by default) would make them wait inside of their time-out."""


def never_sent(error: BaseException) -> bool:
    """Whether `error`, or what caused it, is the failure to open a connection: then no request was sent."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
            return True
        seen = seen.__cause__
    return False
