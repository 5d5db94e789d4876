"""Where JSON begins and ends in a text that a model wrote around it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from beam_llmdag.outputs.json_data import decoder, why_unreadable

__all__ = ["BrokenJSONError", "end_of_value", "json_values"]

_SCALAR = r"(?:-?\d[\d.eE+-]*+|true|false|null|NaN|-?Infinity)"
_SCALARS = rf"(?:{_SCALAR}\s*+,\s*+)*+"
_BEGINS = re.compile(rf"""\{{\s*+["}}]|\[\s*+(?:\]|{_SCALARS}(?:["{{\[]|{_SCALAR}\s*+\]))""")
"""What JSON can begin with. The rest is prose, and not worth a try: `{v3}`, `[see 2]`, `[0, 1)`."""

_QUOTE = "[\"'“”‘’]"
_LIKE_JSON = re.compile(rf"\{{\s*+(?:{_QUOTE}|[{{\[]|[\w$-]++\s*+:)|\[\s*+{_SCALARS}(?:{_QUOTE}|[{{\[])")
"""What somebody who tried to write JSON begins with: `{"a`, `{'a`, `{a:`, `{{`, `[1, "a`, `[{`."""

_KEY = re.compile(rf"(?:\[\s*+)*+\{{\s*+{_QUOTE}(?:[^\"'“”‘’\\]|\\.)*+{_QUOTE}\s*+:", re.DOTALL)
_OPENING = re.compile(r"[{\[]")
_BRACKET_OR_STRING = re.compile(r'[{}\[\]]|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A string that nobody closes goes on to the end: looking for it from each of its quotes would take for ever."""

_CLOSES = {"}": "{", "]": "["}
_SHOWN = 200


class BrokenJSONError(ValueError):
    """Something was meant to be JSON and is none, so what it holds, or what follows it, may be a part of it."""


def json_values(text: str) -> Iterator[Any]:
    """The JSON objects and lists that stand in `text`: outermost ones only, equal ones once.

    What stands inside broken JSON is never taken.

    Raises:
        BrokenJSONError: an object with keys is broken, or JSON that is broken does not end, or nothing but broken JSON
            is there.
    """
    position = 0
    seen: set[str] = set()
    broken: BrokenJSONError | None = None
    while match := _OPENING.search(text, position):
        start = match.start()
        if not (_BEGINS.match(text, start) or _LIKE_JSON.match(text, start)):
            position = start + 1
            continue
        # cut out first: an error of the decoder costs as much as the text before it is long
        end = _balanced_end(text, start)
        part = text[start:end]
        try:
            value = _decoded(part)
        except ValueError as error:
            broken = broken or _broken(part, error)
            if end is None or _KEY.match(part):
                raise broken from None
        else:
            if part not in seen:
                seen.add(part)
                yield value
        position = start + len(part)
    if broken and not seen:
        raise broken


def end_of_value(text: str, start: int) -> tuple[int, bool]:
    """The end of what begins with the bracket at `start`, and whether that is JSON.

    What does not look like JSON ends at once, and JSON that does not end does so with the text.
    """
    if not _BEGINS.match(text, start):
        return start, False
    end = _balanced_end(text, start)
    if end is None:
        return len(text), False
    try:
        _decoded(text[start:end])
    except ValueError:
        return end, False
    return end, True


def _decoded(text: str) -> Any:
    """The JSON value that `text` is.

    Raises:
        ValueError: it is none.
    """
    try:
        return decoder.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _broken(part: str, error: ValueError) -> BrokenJSONError:
    return BrokenJSONError(f"broken JSON: {why_unreadable(part, error)}, in {part[:_SHOWN]!r}")


def _balanced_end(text: str, start: int) -> int | None:
    """The end of the brackets that open at `start`; None if they do not close in order."""
    opened: list[str] = []
    for match in _BRACKET_OR_STRING.finditer(text, start):
        bracket = match[0]
        if bracket in _CLOSES:
            if opened.pop() != _CLOSES[bracket]:
                return None
            if not opened:
                return match.end()
        elif bracket in "{[":
            opened.append(bracket)
    return None
