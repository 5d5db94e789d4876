"""Exceptions and values of anybody's code in words: bounded, in clean text, and without ever raising."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import dropwhile
from types import CodeType

from beam_llmdag.text import clean_text

__all__ = [
    "LONGEST_MESSAGE",
    "LONGEST_TRACEBACK",
    "listed",
    "quoted",
    "shortened",
    "shown",
    "told",
    "traceback_of",
    "words_of",
]

LONGEST_MESSAGE = 800
"""Characters of an error text, so that it is short of 1,000 with the names of dimension, item and model before it."""

LONGEST_TRACEBACK = 4000
"""Characters of a traceback."""

_QUOTED_CHARACTERS = 100
_LISTED_NAMES = 10
_FIRST_FRAMES, _LAST_FRAMES = 5, 15  # of a traceback: what lies between is somebody's recursion
_CAUSES = 3
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,16}\b")  # where an object lies in memory: another one in every run
_LONGEST_ADDRESS = 24
_HERE = os.path.join(os.path.dirname(__file__), "")


def told(error: BaseException, longest: int = LONGEST_MESSAGE) -> str:
    """The class of an exception, and its words if it has any that can be read."""
    name = type(error).__name__
    said = words_of(error, longest)
    return shortened(f"{name}: {said}" if said else name, longest)


def words_of(error: BaseException, longest: int = LONGEST_MESSAGE) -> str:
    """What an exception says, without its class."""
    return _read(lambda: str(error), longest)


def shown(value: object, longest: int = 100) -> str:
    """The `repr` of a value of a user's, as far as there is one."""
    return _read(lambda: repr(value), longest)


def quoted(name: object) -> str:
    """A name or an id as a message quotes it: of what is long, the first characters and the length.

    A column that was mixed up with another makes an id of megabytes, and the message must still fit a screen.
    """
    if not isinstance(name, str) or len(name) <= _QUOTED_CHARACTERS:
        return shown(name, 2 * _QUOTED_CHARACTERS)
    return f"{name[:_QUOTED_CHARACTERS]!r}… ({len(name):,} characters)"


def listed(names: Iterable[object]) -> str:
    """Names one after the other, quoted; of many, the first."""
    known = list(names)
    more = f" and {len(known) - _LISTED_NAMES} more" if len(known) > _LISTED_NAMES else ""
    return ", ".join(map(quoted, known[:_LISTED_NAMES])) + more


def shortened(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """`text`, cut to `longest` characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def traceback_of(error: BaseException) -> str:
    """Where an exception was raised: the frames from the first one on that is not this package's, and its causes.

    Files are named without their folders, and lines of code are left out: the same error gives the same bytes on every
    machine.
    """
    told_causes = [_raised(cause) for cause in _with_causes(error)]
    return shortened("\ncaused by:\n".join(told_causes), LONGEST_TRACEBACK)


def _read(say: Callable[[], str], longest: int) -> str:
    try:
        said = str.__str__(say())  # of a subclass, whose methods may be anything, a plain text
    except BaseException as second:  # noqa: BLE001 - the user's `__str__` and `__repr__` are code like any other
        return f"<its text cannot be read: {type(second).__name__}>"
    return shortened(_ADDRESS.sub("at 0x…", clean_text(said[: longest + _LONGEST_ADDRESS])), longest)


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _raised(error: BaseException) -> str:
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    foreign = list(dropwhile(lambda frame: frame[0].co_filename.startswith(_HERE), frames)) or frames
    lines = [_frame(code, line) for code, line in foreign]
    more = len(lines) - _FIRST_FRAMES - _LAST_FRAMES
    if more > 0:
        lines[_FIRST_FRAMES:-_LAST_FRAMES] = [f"  … {more} more frames"]
    return "\n".join([*lines, told(error)])


def _frame(code: CodeType, line: int) -> str:
    return f'  File "{os.path.basename(code.co_filename)}", line {line}, in {code.co_qualname}'
