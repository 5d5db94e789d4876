"""One CallError for a reply that is no answer: classified by the vendor's codes, then by the status."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from beam_llmdag.errors import CallError, ErrorClass
from beam_llmdag.providers.http.access import Access
from beam_llmdag.providers.http.address import shown_url
from beam_llmdag.providers.http.error_words import meant_class
from beam_llmdag.providers.http.reply import Reply, codes, description, words
from beam_llmdag.providers.http.retry_after import retry_after_seconds
from beam_llmdag.usage import Usage

__all__ = ["failure", "no_answer", "redirected", "status_class"]

_LONGEST = 900
_NOT_HERE = (404, 405)  # the server knows no such address, or no such model
_BY_STATUS: Mapping[int, ErrorClass] = {
    401: "auth",
    402: "quota_exhausted",
    403: "auth",
    408: "timeout",
    413: "too_long",
    425: "overloaded",  # too early: it passes
    429: "rate_limited",
}
_OF_THE_REQUEST = ("invalid", "not_found", "image_")  # how codes begin that blame the request


def status_class(status: int) -> ErrorClass:
    """What an HTTP status means where no code says more.

    A bare 504 is a gateway's error and so `overloaded`; a vendor that ran out of time itself says so in its code.
    """
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return "overloaded" if status >= 500 else "bad_request"


def failure(
    reply: Reply, access: Access, now: float, usage: Usage | None = None, *, asked: str | None = None
) -> CallError:
    """The error for a reply with an error status, or with an error object in it.

    Args:
        reply: what came.
        access: names the variables of the key in an `auth` error.
        now: seconds since 1970-01-01 UTC, for a Retry-After that is a date.
        usage: tokens that the reply names.
        asked: the address that was asked, where it is not the vendor's own.
    """
    found = codes(reply.body)
    said = words(reply.body)
    error_class = meant_class(reply.status, reply.body) or _by_status(reply.status, found, "overloaded")
    message = f"{said} ({', '.join(found)})" if found else said
    if reply.status < 400:
        message = f"HTTP {reply.status} with an error in its body: {message}"
    elif not isinstance(reply.body, Mapping) or said == description(reply.body):
        message = f"HTTP {reply.status}: {message}"
    if reply.status in _NOT_HERE and asked is not None:
        message = f"{message[: _LONGEST - 400]}; asked was {shown_url(asked)}{_remedy(asked)}"
    if error_class == "auth" and not (reply.status == 403 and isinstance(reply.body, str)):  # a firewall's page
        message = f"{message[: _LONGEST - 200]}; check the key in {' or '.join(access.variables)}"
    return CallError(
        error_class,
        message[:_LONGEST],
        http_status=reply.status,
        request_id=reply.request_id,
        retry_after_seconds=retry_after_seconds(reply.headers, reply.body, now),
        usage=usage,
    )


def redirected(reply: Reply) -> CallError:
    """The error for a redirect. An API has no need of one, and to follow it would hand key and prompt to a stranger."""
    target = reply.headers.get("location")
    where = "" if not target else f" to {shown_url(target)}"
    return CallError(
        "bad_request",
        f"HTTP {reply.status}: a redirect{where}, which is not followed; if that is the server, make it the base_url",
        http_status=reply.status,
        request_id=reply.request_id,
    )


def no_answer(reply: Reply, usage: Usage | None) -> CallError:
    """The error for a good status around something that is no answer: a proxy's page, an empty body, other JSON.

    Some gateways tell of their errors so, in codes and words that stand flat in the body.
    """
    error_class: ErrorClass = "connection"
    if isinstance(reply.body, Mapping):
        found = codes(reply.body)
        error_class = meant_class(reply.status, reply.body) or _by_status(reply.status, found, "connection")
    return CallError(
        error_class,
        f"HTTP {reply.status}, but not with an answer in JSON: {description(reply.body)}",
        http_status=reply.status,
        request_id=reply.request_id,
        usage=usage,
    )


def _remedy(asked: str) -> str:
    return "" if "/v1" in asked else "; does the base_url lack a '/v1'?"


def _by_status(status: int, found: Collection[str], otherwise: ErrorClass) -> ErrorClass:
    if status >= 400:
        return status_class(status)
    inside = [int(code) for code in found if len(code) == 3 and code.isdecimal() and 400 <= int(code) < 600]
    if inside:
        return status_class(inside[0])
    return "bad_request" if any(code.lower().startswith(_OF_THE_REQUEST) for code in found) else otherwise
