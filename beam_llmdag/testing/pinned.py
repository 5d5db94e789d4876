"""Test objects that survive pickling as themselves.

A graph is pickled on its way to a DoFn even when everything runs in one process; a fake that came out as a copy would
record what the test cannot see.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

__all__ = ["Pinned"]

_pinned: dict[str, Pinned] = {}


class Pinned:
    """An object that unpickles (and copies) to itself within its process.

    It is kept until the process ends: a pickled graph may outlive every other reference.
    """

    def __init__(self) -> None:
        self._pin = uuid.uuid4().hex
        _pinned[self._pin] = self

    def __reduce__(self) -> tuple[Callable[[str, str], Pinned], tuple[str, str]]:
        return find_pinned, (type(self).__name__, self._pin)

    def __deepcopy__(self, memo: dict[int, Any]) -> Pinned:
        return self


def find_pinned(kind: str, pin: str) -> Pinned:
    """The object that was pickled.

    Raises:
        RuntimeError: this is another process than the one it was made in.
    """
    try:
        return _pinned[pin]
    except KeyError:
        raise RuntimeError(
            f"this {kind} was made in another process; it works within one process only: "
            "run the pipeline in process, or use the Simulator, which any process can reach by its URL"
        ) from None
