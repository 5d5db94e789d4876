"""An end for every template: how often its loops go round, and how much text it makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

__all__ = ["check_method", "check_operator", "counted", "made", "step", "written"]

T = TypeVar("T")

_MOST_STEPS = 1_000_000
_STEPS_PER_ROW = 10
_MOST_OF_ONE = 10_000_000
_MOST_MADE = 200_000_000
_MOST_BITS = 100_000
_SMALL = 1_000

_WIDE = re.compile(r"%(?:\([^()]*\))?[-#0 +]*\d*\.?(?:\*|\d{7})")
_WIDE_FIELD = re.compile(r":[^{}]*(?:\d{7}|\{)")

_TEXTS = (str, bytes, list, tuple)


class _Count:
    """What one run of a template has done."""

    def __init__(self, most_steps: int) -> None:
        self.most_steps = most_steps
        self.steps = 0
        self.made = 0


_COUNT: ContextVar[_Count | None] = ContextVar("count of a template", default=None)


@contextmanager
def counted(values: Iterable[Any]) -> Iterator[None]:
    """Counts from zero, for one run of one template over `values`; with the rows of a global it may take longer."""
    rows = sum(len(value) for value in values if isinstance(value, list))
    token = _COUNT.set(_Count(_MOST_STEPS + _STEPS_PER_ROW * rows))
    try:
        yield
    finally:
        _COUNT.reset(token)


def step(weight: int) -> None:
    """One more round of a loop, or call of a macro.

    Args:
        weight: how many rounds of an ordinary loop take as long.

    Raises:
        OverflowError: there have been too many.
    """
    count = _COUNT.get()
    if count is None:
        return
    count.steps += weight
    if count.steps > count.most_steps:
        raise OverflowError(f"its loops went round {count.most_steps:,} times; a template must come to an end")


def made(value: T) -> T:
    """`value`, which a template has made.

    Raises:
        OverflowError: it is too large, or all that was made is.
    """
    size = len(value) if isinstance(value, _TEXTS) else 0
    _check_size(size)
    if size > _SMALL:
        _count(size)
    return value


def written(text: str) -> str:
    """`text`, which is a part of what a template is.

    Raises:
        OverflowError: all that was made is too large.
    """
    _count(len(text))
    return text


def check_operator(operator: str, left: Any, right: Any) -> None:
    """Whether what an operator would make has a size that can be.

    Raises:
        OverflowError: it has not.
    """
    if operator == "*":
        for several, times in ((left, right), (right, left)):
            if isinstance(several, _TEXTS) and isinstance(times, int):
                _check_size(len(several) * times)
    if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
        if bits > _MOST_BITS:
            raise OverflowError(f"a number of more than {_MOST_BITS:,} bits")
    if operator == "%" and isinstance(left, str):
        _check_width(left, _WIDE)


def check_method(name: str, value: Any, arguments: Sequence[Any]) -> None:
    """Whether what a method of a text, or the filter of that name, would make has a size that can be.

    Raises:
        OverflowError: it has not.
    """
    check = _METHODS.get(name)
    if check is not None:
        check(value, [argument for argument in arguments if not isinstance(argument, bool)])


def _padded(_: Any, arguments: Sequence[Any]) -> None:
    _check_size(max((argument for argument in arguments if isinstance(argument, int)), default=0))


def _padded_lines(value: Any, arguments: Sequence[Any]) -> None:
    for argument in arguments:
        if isinstance(argument, int):
            _check_size(len(value) * argument if isinstance(value, str) else argument)


def _replaced(value: Any, arguments: Sequence[Any]) -> None:
    if isinstance(value, str) and len(arguments) >= 2 and all(isinstance(each, str) for each in arguments[:2]):
        _check_size(value.count(arguments[0]) * len(arguments[1]))


def _joined(value: Any, arguments: Sequence[Any]) -> None:
    between, parts = (value, arguments[:1]) if isinstance(value, str) else (next(iter(arguments), ""), [value])
    for several in parts:
        if isinstance(several, Sized) and isinstance(between, str):
            _check_size(len(several) * len(between))


def _formatted(value: Any, _: Sequence[Any]) -> None:
    if isinstance(value, str):
        _check_width(value, _WIDE)
        _check_width(value, _WIDE_FIELD)


_METHODS: Mapping[str, Callable[[Any, Sequence[Any]], None]] = {
    **dict.fromkeys(("batch", "center", "ljust", "rjust", "slice", "to_bytes", "zfill"), _padded),
    **dict.fromkeys(("expandtabs", "indent"), _padded_lines),
    **dict.fromkeys(("format", "format_map"), _formatted),
    "join": _joined,
    "replace": _replaced,
}


def _count(size: int) -> None:
    count = _COUNT.get()
    if count is None:
        return
    count.made += size
    if count.made > _MOST_MADE:
        raise OverflowError(f"it made more than {_MOST_MADE:,} characters of text")


def _check_size(size: int) -> None:
    if size > _MOST_OF_ONE:
        raise OverflowError(f"a value of more than {_MOST_OF_ONE:,} characters or elements")


def _check_width(text: str, wide: re.Pattern[str]) -> None:
    if wide.search(text):
        raise OverflowError("a format that pads to a width of millions, or to one that is computed")
