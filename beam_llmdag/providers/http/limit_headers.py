"""What the headers of a response say of the vendor's rate limits.

Names as Anthropic (https://docs.claude.com/en/api/rate-limits#response-headers) and OpenAI
(https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers) document them. Google sends none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from beam_llmdag.model import LimitKind, LimitState
from beam_llmdag.providers.http.retry_after import reset_seconds

__all__ = ["limit_states"]

_MOST_DIGITS = 15
_LEAST_SECONDS = 10.0  # a moment is given in whole seconds: of a nearer one the rate cannot be told


class _Headers(NamedTuple):
    kind: LimitKind
    limit: str
    remaining: str
    reset: str


def _openai(kind: LimitKind) -> _Headers:
    return _Headers(kind, f"x-ratelimit-limit-{kind}", f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}")


def _anthropic(kind: LimitKind) -> _Headers:
    prefix = f"anthropic-ratelimit-{kind.replace('_', '-')}"
    return _Headers(kind, f"{prefix}-limit", f"{prefix}-remaining", f"{prefix}-reset")


_VENDORS = (
    (_anthropic("requests"), _anthropic("input_tokens"), _anthropic("output_tokens")),
    (_openai("requests"), _openai("tokens")),
)


def limit_states(headers: Mapping[str, str], now: float) -> tuple[LimitState, ...]:
    """The limits of which less than half is left: the others make nobody wait.

    Args:
        headers: of the response, names in lower case.
        now: seconds since 1970-01-01 UTC, to take a moment from.
    """
    for vendor in _VENDORS:
        if any(names.remaining in headers for names in vendor):
            return tuple(state for names in vendor if (state := _state(names, headers, now)) is not None)
    return ()


def _state(names: _Headers, headers: Mapping[str, str], now: float) -> LimitState | None:
    limit, remaining = headers.get(names.limit, ""), headers.get(names.remaining, "")
    if not (_is_number(limit) and _is_number(remaining)) or 2 * int(remaining) >= int(limit):
        return None
    reset = headers.get(names.reset, "").strip()
    seconds = reset_seconds(reset, now)
    if seconds is not None and reset[:4].isdecimal() and reset[4:5] == "-":
        seconds = seconds + 0.5 if seconds >= _LEAST_SECONDS else None
    return LimitState(kind=names.kind, limit=int(limit), remaining=int(remaining), reset_seconds=seconds)


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _MOST_DIGITS
