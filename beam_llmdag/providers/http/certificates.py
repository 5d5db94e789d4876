"""The certificates that servers are believed by, read once: the SDKs would read the same 150 for every client.

A context costs 40 ms, and google-genai makes three of them per client.
"""

from __future__ import annotations

import os
import ssl
import threading
from functools import lru_cache

import httpx2

__all__ = ["certificate_fault", "trusting"]

_CHOSEN_BY = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_lock = threading.Lock()

_Version = tuple[int, int] | None
"""Size and time of change of a file or folder; None if there is none."""


def trusting() -> ssl.SSLContext:
    """What verifies servers, as httpx makes it from `SSL_CERT_FILE`, `SSL_CERT_DIR` or the system's certificates."""
    chosen = tuple(os.environ.get(name) for name in _CHOSEN_BY)
    with _lock:
        return _context(tuple((path, _version(path)) for path in chosen))


def certificate_fault(path: str) -> str | None:
    """Why no certificates can be read from the file `path`; None if they can."""
    return _fault(path, _version(path))


@lru_cache(maxsize=8)
def _context(_: tuple[tuple[str | None, _Version], ...]) -> ssl.SSLContext:
    return httpx2.create_ssl_context()


@lru_cache(maxsize=8)
def _fault(path: str, _: _Version) -> str | None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError as error:  # an SSLError is one, too
        return error.strerror or type(error).__name__
    return None


def _version(path: str | None) -> _Version:
    try:
        found = os.stat(path) if path else None
    except (OSError, ValueError):
        return None
    return None if found is None else (found.st_size, found.st_mtime_ns)
