"""One input record, and how its id is derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Item"]


@dataclass(frozen=True, slots=True)
class Item:
    """One input record.

    Args:
        id: its name, a text; unique among the items of a run.
        content: what is analysed: a text, or JSON-like data, or bytes (of an image, say).
        metadata: more fields, JSON-like.
        source_ids: for an item that a regroup made: the ids it came from, in order.
    """

    id: str
    content: Any
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source_ids: tuple[str, ...] = field(default=(), kw_only=True)
