"""Small pieces that request bodies and replies of all vendors are made of."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from beam_llmdag.model import Image

__all__ = ["base64_of", "deep_merged", "given", "mapping"]


def deep_merged(body: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with the fields of `more` in it; objects in both are merged, anything else in `more` replaces."""
    result = dict(body)
    for key, value in more.items():
        old = result.get(key)
        result[key] = deep_merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {key: value for key, value in fields.items() if value is not None}


def base64_of(image: Image) -> str:
    """The bytes of an image as base64 text."""
    return base64.b64encode(image.data).decode("ascii")


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is an object, an empty one otherwise: vendors send null for what there is none of."""
    return value if isinstance(value, Mapping) else {}
