"""One CallError for a reply that is no answer: classified by the vendor's codes, then by the status."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from beam_llmdag.errors import CallError, ErrorClass
from beam_llmdag.providers.access import Access
from beam_llmdag.providers.reply import Reply, codes, description, words
from beam_llmdag.providers.retry_after import retry_after_seconds
from beam_llmdag.usage import Usage

__all__ = ["Classify", "VendorError", "by_code", "failure", "no_answer", "status_class"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorError:
    """What a vendor says of an error.

    Attributes:
        codes: its machine-readable names: codes, types, reasons.
        message: its words.
    """

    codes: tuple[str, ...]
    message: str


Classify = Callable[[VendorError], ErrorClass | None]
"""A vendor's own reading of an error; None leaves it to the status."""

_LONGEST = 900
_BY_STATUS: Mapping[int, ErrorClass] = {
    401: "auth",
    402: "quota_exhausted",
    403: "auth",
    408: "timeout",
    413: "too_long",
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


def by_code(table: Mapping[str, ErrorClass], found: Collection[str]) -> ErrorClass | None:
    """The class of the first code of `table` that is in `found`: a table lists what decides before what is general."""
    return next((error_class for code, error_class in table.items() if code in found), None)


def failure(reply: Reply, access: Access, classify: Classify, now: float, usage: Usage | None = None) -> CallError:
    """The error for a reply with an error status, or with an error object in it.

    Args:
        reply: what came.
        access: names the variables of the key in an `auth` error.
        classify: the vendor's own codes.
        now: seconds since 1970-01-01 UTC, for a Retry-After that is a date.
        usage: tokens that the reply names.
    """
    found = codes(reply.body)
    said = words(reply.body)
    error_class = classify(VendorError(codes=found, message=said)) or _by_status(reply.status, found)
    message = f"{said} ({', '.join(found)})" if found else said
    if reply.status < 400:
        message = f"HTTP {reply.status} with an error in its body: {message}"
    elif not isinstance(reply.body, Mapping):
        message = f"HTTP {reply.status}: {message}"
    if error_class == "auth":
        message = f"{message[: _LONGEST - 200]}; check the key in {' or '.join(access.variables)}"
    return CallError(
        error_class,
        message[:_LONGEST],
        http_status=reply.status,
        request_id=reply.request_id,
        retry_after_seconds=retry_after_seconds(reply.headers, reply.body, now),
        usage=usage,
    )


def no_answer(reply: Reply) -> CallError:
    """The error for a good status around something that is no answer: a proxy's page, an empty body, other JSON."""
    return CallError(
        "connection",
        f"HTTP {reply.status}, but not with an answer in JSON: {description(reply.body)}",
        http_status=reply.status,
        request_id=reply.request_id,
    )


def _by_status(status: int, found: Collection[str]) -> ErrorClass:
    if status >= 400:
        return status_class(status)
    inside = [int(code) for code in found if code.isdecimal() and 400 <= int(code) < 600]
    if inside:
        return status_class(inside[0])
    return "bad_request" if any(code.lower().startswith(_OF_THE_REQUEST) for code in found) else "overloaded"
