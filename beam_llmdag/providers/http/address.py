"""The address of a server as a user writes it, and as an SDK wants it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit, urlunsplit

__all__ = ["Address", "read_address", "shown_url"]

_LONGEST = 200  # characters of an address that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where requests go.

    Attributes:
        base: what the SDK puts its path behind; None for the vendor's own server.
        query: what stands behind the path of every request.
    """

    base: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)


def read_address(url: str | None, added: tuple[str, ...]) -> Address:
    """An address without what the SDK adds itself, and with its query apart: the SDKs would put their path behind it.

    Args:
        url: as the user wrote it; None for the vendor's own server.
        added: paths that the SDK adds, or the beginnings of them; the first that is there already is taken off.
    """
    if url is None:
        return Address()
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    path = next((path.removesuffix(end) for end in added if path.endswith(end)), path)
    base = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return Address(base=base, query=dict(parse_qsl(parts.query, keep_blank_values=True)))


def shown_url(url: str) -> str:
    """An address without user, password and query, which may hold secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "something that is no address"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))[:_LONGEST]
