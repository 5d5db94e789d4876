"""JSON read strictly, and what data must be so that every sink can hold it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from pydantic_core import to_json

from beam_llmdag.errors import CallError
from beam_llmdag.outputs.decimals import exact_float
from beam_llmdag.telling import shown
from beam_llmdag.text import clean_text

__all__ = ["check_data", "clean_json", "decoder", "why_unreadable"]

_INT64 = 2**63
_SHOWN_DIGITS = 30


def _no_repeated_key(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if not all(map(str.isascii, found)):  # cleaned first: two keys may become one
        pairs = [(clean_text(key), value) for key, value in pairs]
        found = dict(pairs)
    if len(found) != len(pairs):
        for key, value in pairs:
            if found[key] != value:
                raise ValueError(_twice(key))
    return found


class _Unreadable:
    """Stands in data where a value cannot be read."""

    def __init__(self, why: str) -> None:
        self.why = why


def _repeated_key_marked(pairs: list[tuple[str, Any]]) -> Any:
    try:
        return _no_repeated_key(pairs)
    except ValueError as error:
        return _Unreadable(str(error))


def _long_number_marked(digits: str) -> Any:
    try:
        return int(digits)
    except ValueError:  # Python reads no more than 4,300 digits
        return _Unreadable(_beyond_64_bits(len(digits.lstrip("-"))))


_marking_decoder = json.JSONDecoder(object_pairs_hook=_repeated_key_marked, parse_int=_long_number_marked, strict=False)


def why_unreadable(text: str, error: ValueError) -> str:
    """Why `decoder` could not read `text`, and the field in which it could not, if it is JSON that it could not take.

    Args:
        error: what it raised.
    """
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    value, _ = _marking_decoder.raw_decode(text)
    return next(_unreadable_in(value, ""), str(error))


def _unreadable_in(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Unreadable):
        yield f"{path or 'the answer'}: {value.why}"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _unreadable_in(inner, _inside(path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _unreadable_in(inner, f"{path}[{index}]")


def _inside(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _twice(key: str) -> str:
    return f"the key {shown(key)} stands twice, with different values"


def _beyond_64_bits(digits: int) -> str:
    return f"a number of {digits} digits does not fit 64 bits; give a smaller one"


decoder = json.JSONDecoder(object_pairs_hook=_no_repeated_key, parse_float=exact_float, strict=False)
"""Reads JSON in which no key has two values.

Raw line breaks in strings are read (`strict=False`): models write them, and they mean themselves. NaN and Infinity are
read as well, so that `check_data` can name the field they stand in.
"""


def clean_json(data: Any) -> bytes:
    """JSON of `data` with clean text. NaN and Infinity stay."""
    try:
        return to_json(data)  # ten times as fast as json.dumps
    except ValueError:  # lone surrogates, or nested deeper than it goes
        return clean_text(json.dumps(data, ensure_ascii=False)).encode()


def check_data(data: Any) -> Any:
    """`data` with clean text, if JSON, Parquet and BigQuery can all hold it.

    Raises:
        CallError: `invalid_answer` for a number that is not finite, an integer beyond 64 bits, or a value that is not
            JSON, naming its field.
    """
    return data if _is_plain(data) else _checked(data, "")


def _is_plain(data: Any) -> bool:
    """Whether there is nothing to do about `data`: so it is with nearly all answers, and this is fast."""
    kind = type(data)
    if kind is str:
        return bool(data.isascii())
    if kind is dict:
        return all(map(_is_plain, data)) and all(map(_is_plain, data.values()))
    if kind is list:
        return all(map(_is_plain, data))
    if kind is int:
        return bool(-_INT64 <= data < _INT64)
    if kind is float:
        return math.isfinite(data)
    return data is None or kind is bool


def _checked(data: Any, path: str) -> Any:
    if isinstance(data, str):
        return clean_text(data)
    if isinstance(data, float):
        if not math.isfinite(data):
            raise CallError("invalid_answer", f"{path or 'the answer'}: {data} is no JSON number")
        return float(data)  # also of one that remembers its text
    if isinstance(data, int):  # bool is one too, and fits
        if not -_INT64 <= data < _INT64:
            raise CallError("invalid_answer", f"{path or 'the answer'}: {_large(data)}")
        return data
    if isinstance(data, dict):
        pairs = [(clean_text(key), _checked(value, _inside(path, key))) for key, value in data.items()]
        try:
            return _no_repeated_key(pairs)
        except ValueError as error:
            raise CallError("invalid_answer", f"{path or 'the answer'}: {error}") from None
    if isinstance(data, list):
        return [_checked(value, f"{path}[{index}]") for index, value in enumerate(data)]
    if data is not None:
        raise CallError("invalid_answer", f"{path or 'the answer'}: a {type(data).__name__} is not JSON")
    return None


def _large(number: int) -> str:
    digits = int(abs(number).bit_length() * math.log10(2)) + 1  # of a number of thousands of digits there is no text
    return _beyond_64_bits(digits) if digits > _SHOWN_DIGITS else f"{number} does not fit 64 bits"
