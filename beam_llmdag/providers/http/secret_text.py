"""A key is hidden in whatever spelling it can be read again: as it is, with JSON's escapes, in URL-encoding."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["hidden", "shows"]

_HIDDEN = "[key]"
_SHORTEST_SECRET = 6  # a shorter "key" is no secret, and hiding it would garble messages
_ESCAPE = re.compile(r"\\++(?:u([0-9a-f]{4}))?|%([0-9a-f]{2})", re.IGNORECASE)
_MOST_ESCAPED = 4  # times: JSON in JSON in an error text has been seen


def shows(text: str, secret: str | None) -> bool:
    """Whether `secret` stands in `text`, in any spelling and in upper or lower case."""
    if not secret or len(secret) < _SHORTEST_SECRET:
        return False
    wanted = secret.lower()
    for _ in range(_MOST_ESCAPED):
        if wanted in text.lower():
            return True
        plain = _ESCAPE.sub(_unescaped, text)
        if plain == text:
            return False
        text = plain
    return wanted in text.lower()


def hidden(text: str, secret: str | None) -> str:
    """`text` without `secret`."""
    if secret is None or not shows(text, secret):
        return text
    without = _spellings(secret).sub(_HIDDEN, text)
    return _HIDDEN if shows(without, secret) else without  # a spelling of spellings: nothing of it can be kept


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else ""


@lru_cache(maxsize=64)
def _spellings(secret: str) -> re.Pattern[str]:
    """Matches `secret` with every character written in any way."""
    return re.compile("".join(_spelled(character) for character in secret), re.IGNORECASE)


def _spelled(character: str) -> str:
    code = ord(character)
    return rf"(?:\\{{0,16}}(?:{re.escape(character)}|u{code:04x})|%{code:02x})"
