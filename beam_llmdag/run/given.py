"""What a run in this process was given, for whoever gives it back with answers."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Given"]


class Given(NamedTuple):
    """What a run was given.

    Attributes:
        frame: the data frame or table; None for anything else.
        id_field, content_field: names of these fields.
    """

    frame: Any = None
    id_field: str = "id"
    content_field: str = "content"
