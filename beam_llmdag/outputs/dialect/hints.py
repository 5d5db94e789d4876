"""Schema keywords in words, for the description of a field whose API does not know them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["hint"]

_WORDS: Mapping[str, str] = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matches the regular expression {}",
    "format": "in the format {}",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "minProperties": "at least {} entries",
    "maxProperties": "at most {} entries",
    "default": "default {}",
    "const": "always {}",
    "enum": "one of {}",
    "examples": "for example {}",
    "not": "does not fit {}",
    "contentMediaType": "holds {}",
    "keys": "each key: {}",
}
_PLAIN = ("pattern", "format", "contentMediaType", "keys")  # a text that reads better without quotes


def hint(keyword: str, value: Any) -> str:
    """`keyword` with its `value` as a few words, for example `at most 5 entries`."""
    if keyword == "uniqueItems":
        return "no entry twice"
    if keyword == "examples" and isinstance(value, list):
        return "for example " + ", ".join(_json(entry) for entry in value)
    text = value if keyword in _PLAIN and isinstance(value, str) else _json(value)
    return _WORDS[keyword].format(text) if keyword in _WORDS else f"{keyword}: {text}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
