"""What hostile servers, models and files are made of: good ones with something odd in them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

__all__ = ["HTTP_HEADERS", "HTTP_STATUSES", "bodies", "mutated_text", "odd_values"]

_ODD_WORDS = ("", "NaN", "null", "1e999", "-1", "true", "\ud83c", "\u0000", "{", "```", "<think>", "end_turn")
_ODD_TEXTS = (*_ODD_WORDS, "x" * 5000)
_ODD_NUMBERS = (-1, 0, 1, 2**31, 2**53, 2**64, -(10**20), 0.5, -0.5, 1e300, float("nan"), float("inf"))
_ODD_HEADERS = (
    *("0", "-1", "+5", "5s", "1.5", "1e400", "9" * 400, "nan", "soon", "6m0s", "0, 5", "\xb2"),
    *("2026-99-99T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-01-01"),
    *("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 9999 07:28:00 -2359", "Wed, 0 Foo 0 0:0:0 GMT"),
)

odd_values = st.recursive(
    st.none() | st.booleans() | st.sampled_from(_ODD_NUMBERS) | st.integers() | st.sampled_from(_ODD_TEXTS) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
"""JSON-like values that nobody would send on purpose."""

HTTP_STATUSES = st.sampled_from([200, 200, 200, 201, 204, 400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 503, 529])

HTTP_HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "retry-after",
            "retry-after-ms",
            "request-id",
            "x-request-id",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
            "x-ratelimit-limit-tokens",
            "x-ratelimit-reset-tokens",
            "content-type",
        ]
    ),
    st.sampled_from(_ODD_HEADERS) | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
    max_size=4,
)


@st.composite
def bodies(draw: st.DrawFn, good: Mapping[str, Any]) -> bytes:
    """A body in which a few places are odd, some bytes too now and then."""
    body = copy.deepcopy(dict(good))
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(body))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        if draw(st.booleans()):
            holder[key] = draw(odd_values)
        elif isinstance(holder, dict):
            holder.pop(key, None)
    text = json.dumps(body)
    return draw(mutated_text(text)).encode("utf-8", "surrogatepass") if draw(st.integers(0, 3)) == 0 else text.encode()


@st.composite
def mutated_text(draw: st.DrawFn, text: str) -> str:
    """A text of which a few pieces are cut out, doubled, or replaced."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 20)))
        piece = draw(st.sampled_from(["", text[start:end] * 2, *_ODD_WORDS]) | st.text(max_size=6))
        text = text[:start] + piece + text[end:]
    return text


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(entries):
        yield value, key
        yield from _places(inner)
