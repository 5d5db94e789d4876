"""Any value of a table, a frame or a program as JSON-like data, converted once, on the way in."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from beam_llmdag.errors import InputError
from beam_llmdag.telling import quoted
from beam_llmdag.text import clean_text

__all__ = ["check_digits", "duration_text", "instant_text", "plain", "record_fields"]

_EPOCH = datetime(1970, 1, 1)
_MOST_DIGITS = 4000  # Python itself writes and reads no integer of more than 4,300
_BITS_PER_DIGIT = math.log2(10)
_CERTAINLY_SHORT = 2**64
_LONGEST_STEP = 100


def plain(value: Any, path: str = "value") -> Any:
    """`value` as JSON-like data: None, bool, int, float, text, lists, and dicts with text keys.

    | given | becomes |
    |---|---|
    | `None`, NaN, infinities, `NaT`, `pandas.NA`, a masked cell of numpy | `None` |
    | `bool`, `int` of up to 4,000 digits, `float`, and their numpy scalars | themselves |
    | `str` | itself, with lone surrogates replaced by U+FFFD |
    | `Decimal` | its exact text: `"12.30"` |
    | a date | ISO 8601: `"2026-03-29"` |
    | a date-time with a zone | ISO 8601 in UTC, nanoseconds kept: `"2026-03-29T01:30:00+00:00"` |
    | a date-time without a zone | ISO 8601 without an offset: no zone is guessed |
    | a time of day, a duration | ISO 8601: `"01:30:00"`, `"P1DT2H0.5S"` |
    | `UUID`, a path | its text |
    | an `Enum` member | its value |
    | `bytes` | base64 text |
    | a mapping, a dataclass, a pydantic model, a named tuple | a dict; keys that are no text become their JSON text |
    | a list, a tuple, a numpy array | a list |
    | a set | a sorted list |

    Args:
        value: what to convert; it is not changed.
        path: name of the value for error texts, for example `"row 2: price"`.

    Raises:
        InputError: the value, or one inside it, is of another type, or too long an integer; or two keys of a mapping
            have the same text.
    """
    try:
        return _plain(value, path)
    except RecursionError:
        # "from None": the traceback of a thousand equal frames says nothing
        raise InputError(f"{path}: nested too deeply, or contains itself") from None


def check_digits(digits: int, path: str) -> None:
    """Refuses a number that Python would not write.

    Raises:
        InputError: it has more than 4,000 digits.
    """
    if digits > _MOST_DIGITS:
        raise InputError(
            f"{path}: an integer of about {digits:,} digits; {_MOST_DIGITS:,} are the most. Pass it as text"
        )


def record_fields(value: Any) -> Mapping[Any, Any] | None:
    """The named fields of a mapping, dataclass, pydantic model or named tuple; None for any other value."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    for method in ("model_dump", "_asdict"):
        if hasattr(value, method):
            fields: Mapping[Any, Any] = getattr(value, method)()
            return fields
    return None


def instant_text(nanoseconds: int, *, utc: bool) -> str:
    """ISO 8601 text of a time given in nanoseconds since 1970; nanoseconds are only written where there are any.

    Args:
        nanoseconds: since 1970-01-01T00:00:00, in UTC if `utc`, else on an unknown clock.
        utc: whether to write the offset `+00:00`.

    Raises:
        OverflowError: the year is not between 1 and 9999.
    """
    microseconds, rest = divmod(nanoseconds, 1000)
    moment = _EPOCH + timedelta(microseconds=microseconds)
    text = moment.isoformat(timespec="microseconds") + f"{rest:03d}" if rest else moment.isoformat()
    return text + "+00:00" if utc else text


def duration_text(nanoseconds: int) -> str:
    """ISO 8601 text of a duration, in days, hours, minutes and seconds: `"P1DT2H0.5S"`."""
    sign = "-" if nanoseconds < 0 else ""
    seconds, fraction = divmod(abs(nanoseconds), 10**9)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    exact_seconds = f"{seconds}.{fraction:09d}".rstrip("0") if fraction else str(seconds)
    clock = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    if exact_seconds != "0":
        clock += f"{exact_seconds}S"
    if not days and not clock:
        return "PT0S"
    return f"{sign}P{f'{days}D' if days else ''}{f'T{clock}' if clock else ''}"


def _plain(value: Any, path: str) -> Any:
    quickly = _QUICK.get(type(value))
    if quickly is not None:
        return quickly(value)
    if _is_null(value):
        return None
    for types, convert in _CONVERTERS:
        if isinstance(value, types):
            return convert(value, path)
    if hasattr(getattr(value, "dtype", None), "kind"):
        return _numpy(value, path)
    fields = record_fields(value)
    if fields is not None:
        return _mapping(fields, path)
    raise InputError(
        f"{path}: a value of type {type(value).__module__}.{type(value).__qualname__} is not JSON-like; "
        "convert it to text, a number, a list or a dict first"
    )


def _is_null(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Decimal):
        return not value.is_finite()
    # pandas need not be installed, so its singletons are known by name (NaT is a datetime, NA has no truth value)
    return value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant")


def _datetime(value: datetime, path: str) -> str:
    if value.utcoffset() is None:
        return value.isoformat()
    try:
        return value.astimezone(UTC).isoformat()
    except OverflowError as error:
        raise InputError(f"{path}: {value} is outside the years 1 to 9999 in UTC") from error


def _timedelta(value: timedelta, _path: str) -> str:
    microseconds = (value.days * 86_400 + value.seconds) * 10**6 + value.microseconds
    return duration_text(microseconds * 1000 + getattr(value, "nanoseconds", 0))


def _mapping(value: Mapping[Any, Any], path: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, inner in value.items():
        text = clean_text(key) if type(key) is str else _key_text(key, path)
        if text in result:
            raise InputError(f"{path}: two keys are {quoted(text)} as text")
        quickly = _QUICK.get(type(inner))
        result[text] = _plain(inner, f"{path}.{_step(text)}") if quickly is None else quickly(inner)
    return result


def _step(key: str) -> str:
    return key if len(key) <= _LONGEST_STEP else quoted(key)


def _key_text(key: Any, path: str) -> str:
    known = _plain(key, f"a key of {path}")
    return known if isinstance(known, str) else json.dumps(known, ensure_ascii=False)


def _list(value: Iterable[Any], path: str) -> list[Any]:
    return [_plain(inner, f"{path}[{index}]") for index, inner in enumerate(value)]


def _tuple(value: tuple[Any, ...], path: str) -> Any:
    fields = record_fields(value)
    return _list(value, path) if fields is None else _mapping(fields, path)


def _set(value: Set[Any], path: str) -> list[Any]:
    values = [_plain(inner, f"a member of {path}") for inner in value]
    try:
        return sorted(values)
    except TypeError:  # of several types: any order will do that does not hang on the hash seed
        return sorted(values, key=lambda inner: json.dumps(inner, sort_keys=True))


def _numpy(value: Any, path: str) -> Any:
    if getattr(value, "shape", ()) != ():
        return _list(value, path)
    kind = value.dtype.kind
    if kind == "M":
        return _numpy_datetime(str(value), path)
    if kind == "m":
        return None if str(value) == "NaT" else duration_text(int(value.astype("timedelta64[ns]").astype("int64")))
    if kind == "f":  # float() and not item(): the item of a long double is a long double
        return _plain(float(value), path)
    if kind in "biuUO":
        return _plain(value.item(), path)
    raise InputError(
        f"{path}: a numpy value of type {value.dtype} is not JSON-like; convert it to text or a list first"
    )


def _numpy_datetime(text: str, path: str) -> str | None:
    if text == "NaT":
        return None
    if "T" not in text:
        return text
    whole, _, fraction = text.partition(".")
    try:
        since_epoch = datetime.fromisoformat(whole) - _EPOCH
    except ValueError as error:
        raise InputError(f"{path}: {text} is outside the years 1 to 9999") from error
    seconds = since_epoch.days * 86_400 + since_epoch.seconds
    return instant_text(seconds * 10**9 + int(fraction[:9].ljust(9, "0")), utc=False)


def _integer(value: int, path: str) -> int:
    if not -_CERTAINLY_SHORT < value < _CERTAINLY_SHORT:
        check_digits(int(value.bit_length() / _BITS_PER_DIGIT) + 1, path)
    return int(value)


def _range(_value: range, path: str) -> Any:
    # it is a sequence, and may stand for more numbers than there is memory
    raise InputError(f"{path}: a range is not JSON-like; convert it to a list first")


_QUICK: Mapping[type, Callable[[Any], Any]] = {
    # most values are of exactly these types, and need no path for an error
    str: clean_text,
    bool: lambda value: value,
    type(None): lambda value: value,
    float: lambda value: value if math.isfinite(value) else None,
}

_CONVERTERS: Sequence[tuple[type | tuple[type, ...], Callable[[Any, str], Any]]] = (
    # the first match wins: bool is an int, an Enum may be a str or an int, a datetime is a date
    (bool, lambda value, _path: value),
    (Enum, lambda value, path: _plain(value.value, path)),
    (str, lambda value, _path: clean_text(str.__str__(value))),
    (int, _integer),
    (float, lambda value, _path: float(value)),
    (Decimal, lambda value, _path: str(value)),
    (datetime, _datetime),
    ((date, time), lambda value, _path: value.isoformat()),
    (timedelta, _timedelta),
    ((bytes, bytearray, memoryview), lambda value, _path: base64.b64encode(value).decode("ascii")),
    ((UUID, PurePath), lambda value, _path: clean_text(str(value))),
    (Mapping, _mapping),
    (Set, _set),
    (tuple, _tuple),
    (range, _range),
    (Sequence, _list),
)
