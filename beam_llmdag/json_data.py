"""JSON read strictly, and what data must be so that every sink can hold it."""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic_core import to_json

from beam_llmdag.errors import CallError
from beam_llmdag.text import clean_text

__all__ = ["check_data", "clean_json", "decoder"]

_INT64 = 2**63


def _no_repeated_key(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        for key, value in pairs:
            if found[key] != value:
                raise ValueError(f"the key {key!r} stands twice, with different values")
    return found


decoder = json.JSONDecoder(object_pairs_hook=_no_repeated_key, strict=False)
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
        return data
    if isinstance(data, int):  # bool is one too, and fits
        if not -_INT64 <= data < _INT64:
            raise CallError("invalid_answer", f"{path or 'the answer'}: {data} does not fit 64 bits")
        return data
    if isinstance(data, dict):
        return {clean_text(key): _checked(value, f"{path}.{key}" if path else key) for key, value in data.items()}
    if isinstance(data, list):
        return [_checked(value, f"{path}[{index}]") for index, value in enumerate(data)]
    if data is not None:
        raise CallError("invalid_answer", f"{path or 'the answer'}: a {type(data).__name__} is not JSON")
    return None
