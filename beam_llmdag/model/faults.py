"""Why an option of a `Model` cannot be right: names, addresses, headers and queries. In words, for its error."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

__all__ = ["address_fault", "headers_fault", "query_fault", "spec_fault"]

_SPEC = re.compile(r"[^\s:]+:\S+(?: +\S+)*")
_VENDORS = {"anthropic": "anthropic", "openai": "openai", "google": "google", "gemini": "google"}
_BRANDS = {"claude": "anthropic", "gpt": "openai", "chatgpt": "openai", "gemini": "google", "gemma": "google"}
_MISSPELT = 0.82  # as alike as 'gogle' and 'google'; names of one's own providers are less so
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PRINTABLE = re.compile(r"[\t\x20-\x7e]*")
_SECRET = re.compile(
    r"(?:.*[-_])?(?:authorization|auth|api[-_]?key|apikey|token|secret|password|cookie)", re.IGNORECASE
)
_SECRETS_OF_QUERIES = ("key", "sig", "signature", "code", "subscription-key")
_OF_THE_CONNECTION = ("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection")
_KEYS = "a key is read on the worker from the variable or secret that api_key_env names"


def spec_fault(spec: object) -> str | None:
    """Why `spec` is no `"provider:name"`; None if it is one, of whatever provider."""
    if not isinstance(spec, str) or not _SPEC.fullmatch(spec):
        return f"write it as 'provider:name', for example '{_meant(spec) if isinstance(spec, str) else _EXAMPLE}'"
    provider, _, name = spec.partition(":")
    if any(vendor in provider.lower() for vendor in _VENDORS):
        return None
    close = difflib.get_close_matches(provider.lower(), _VENDORS, n=1, cutoff=_MISSPELT)
    return f"there is no provider {provider!r}; did you mean '{_VENDORS[close[0]]}:{name}'?" if close else None


_EXAMPLE = "anthropic:claude-haiku-4-5"


def _meant(spec: str) -> str:
    """What somebody meant who wrote `spec`, as far as it shows."""
    prefix, slash, rest = spec.strip().partition("/")
    name = spec.strip().rpartition("/")[2]
    if slash and rest and prefix in _VENDORS:
        return f"{_VENDORS[prefix]}:{rest}"
    brand = re.match(r"([a-z]+)-", name)
    if brand and brand[1] in _BRANDS and not re.search(r"[\s:]", name):
        return f"{_BRANDS[brand[1]]}:{name}"
    return _EXAMPLE


def address_fault(url: str | None) -> str | None:
    """Why `url` may not be a base URL; None if it may. It is not shown, because it may hold a secret."""
    if url is None:
        return None
    if not isinstance(url, str):
        return f"is the address of a server as text, not {type(url).__name__}"
    if "@" in re.split(r"[/?]", url.partition("//")[2], maxsplit=1)[0]:
        return f"holds a user or a password, and a model is pickled, shown and logged; {_KEYS}"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"is no address of a server ({str(error).partition(':')[0]})"
    if any(_is_secret_of_query(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        return f"holds a key in its query, and a model is pickled, shown and logged; {_KEYS}"
    return None


def headers_fault(headers: Mapping[str, str]) -> str | None:
    """Why `headers` may not be sent; None if they may. Values are not shown, because they may be secrets."""
    if not isinstance(headers, Mapping):
        return f"headers is a mapping of names to texts, not {type(headers).__name__}"
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            return f"headers: {name!r:.100} is no name of a header"
        if _SECRET.fullmatch(name) or (isinstance(value, str) and value.lower().startswith(("bearer ", "basic "))):
            return f"headers: {name!r} holds a key, and a model is pickled, shown and logged; {_KEYS}"
        if name.lower() in _OF_THE_CONNECTION:
            return f"headers: {name!r} is set with every request; it cannot be given"
        if not isinstance(value, str) or not _PRINTABLE.fullmatch(value):
            return f"headers: the value of {name!r} is a text of one line in ASCII"
    return None


def query_fault(query: Mapping[str, str]) -> str | None:
    """Why `query` may not be sent; None if it may. Values are not shown, because they may be secrets."""
    if not isinstance(query, Mapping):
        return f"query is a mapping of names to texts, not {type(query).__name__}"
    for name, value in query.items():
        if not isinstance(name, str) or not name or not isinstance(value, str):
            return f"query: {name!r:.100} and its value are texts"
        if _is_secret_of_query(name):
            return f"query: {name!r} holds a key, and a model is pickled, shown and logged; {_KEYS}"
    return None


def _is_secret_of_query(name: str) -> bool:
    return name.lower() in _SECRETS_OF_QUERIES or _SECRET.fullmatch(name) is not None
