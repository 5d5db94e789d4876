"""Text is cleaned once, on its way in and on its way out, the same for every provider and sink."""

from __future__ import annotations

__all__ = ["clean_text", "excerpt", "name_text"]

_LONGEST_NAME = 200
_HIGHEST_NUMBER = 2**128


def clean_text(text: str) -> str:
    """`text` as valid Unicode: halves of a surrogate pair are joined, lone ones become U+FFFD.

    A lone surrogate cannot be encoded as UTF-8, so one of them would break a request or a whole Parquet file.
    """
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def excerpt(text: str, longest: int) -> str:
    """`text`, without its middle where it has more than `longest` characters: what is wrong may stand at either end."""
    if len(text) <= longest:
        return text
    left_out = f" […{len(text) - longest} characters or a few more left out…] "
    kept = longest - len(left_out)
    end = kept // 4
    return text[: kept - end] + left_out + text[-end:]


def name_text(name: object) -> str | None:
    """A name or an id that somebody else gave, as a short text in one line; None if it is neither text nor number."""
    if isinstance(name, int) and not isinstance(name, bool) and abs(name) < _HIGHEST_NUMBER:
        name = str(name)
    if not isinstance(name, str):
        return None
    known = clean_text(name[: _LONGEST_NAME + 1])
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in known)[:_LONGEST_NAME] or None
