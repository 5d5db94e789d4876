"""How long a vendor asks to wait before the next try."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["reset_seconds", "retry_after_seconds"]

_LONGEST_SECONDS = 1e9  # thirty years: a number without end is still a number
_NUMBER = re.compile(r"\d+(\.\d+)?")
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_LIMITS = (  # what is left of a limit, and when it is full again
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
)


def retry_after_seconds(headers: Mapping[str, str], body: Any, now: float) -> float | None:
    """Seconds that the vendor asked to wait; None if it did not, or if the moment it named has passed.

    The first of these that is there counts: `retry-after-ms`; `Retry-After` in seconds or as a date (RFC 9110,
    section 10.2.3); a `google.rpc.RetryInfo` in the body; the reset of a rate limit of which nothing is left, where it
    is a duration with units or a moment. A bare number in a reset header may be either, and is not used.

    Args:
        headers: of the response, names in lower case.
        body: of the response, parsed if it was JSON.
        now: seconds since 1970-01-01 UTC, to take a date from.
    """
    milliseconds = _told(headers, "retry-after-ms")
    if _NUMBER.fullmatch(milliseconds):
        return min(float(milliseconds) / 1000, _LONGEST_SECONDS)
    header = _told(headers, "retry-after")
    if header:
        is_number = _NUMBER.fullmatch(header)
        return min(float(header), _LONGEST_SECONDS) if is_number else _until(_http_date(header), now)
    for delay in _retry_info(body):
        return delay
    resets = [
        reset_seconds(headers[when], now) for left, when in _LIMITS if headers.get(left) == "0" and when in headers
    ]
    return max((reset for reset in resets if reset is not None), default=None)


def _told(headers: Mapping[str, str], name: str) -> str:
    """A header's value, of the server or, if that is a LiteLLM proxy, of the vendor behind it."""
    return (headers.get(name) or headers.get(f"llm_provider-{name}", "")).strip()


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _until(moment: datetime | None, now: float) -> float | None:
    seconds = moment.timestamp() - now if moment else 0.0
    return seconds if seconds > 0 else None


def _retry_info(body: Any) -> Iterator[float]:
    """The delays in `{"error": {"details": [{"@type": "….RetryInfo", "retryDelay": "3.5s"}]}}`."""
    error = body.get("error") if isinstance(body, Mapping) else None
    details = error.get("details") if isinstance(error, Mapping) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, Mapping) else None
        seconds = _duration(delay) if isinstance(delay, str) else None
        if seconds is not None:
            yield seconds


def reset_seconds(text: str, now: float) -> float | None:
    """Seconds until a limit is full again, from a duration with units or a moment; None for anything else.

    Args:
        text: value of a reset header.
        now: seconds since 1970-01-01 UTC.
    """
    duration = _duration(text.strip())
    if duration is not None:
        return duration
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return _until(moment, now) if moment.tzinfo else None


def _duration(text: str) -> float | None:
    """Seconds in `1h2m3.5s` or `20ms`; None for anything else, bare numbers among it."""
    match = _DURATION.fullmatch(text)
    if not match or not any(match.groups()):
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return min(hours * 3600 + minutes * 60 + seconds + milliseconds / 1000, _LONGEST_SECONDS)
