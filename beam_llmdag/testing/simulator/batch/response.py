"""What the batch APIs answer with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Refused", "Response"]


@dataclass(frozen=True, slots=True)
class Response:
    """A response with status 200.

    Attributes:
        body: JSON data, or the bytes of a file.
        is_creation: whether a batch was taken.
        headers: more of them.
    """

    body: Any
    is_creation: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):  # noqa: N818 - a response, not a fault
    """An error of the API."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
