"""Who is told how the calls of a run go on. `Watch` is the door: progress hangs on it."""

from __future__ import annotations

from typing import Protocol

from beam_llmdag.records.result import Attempt, Result

__all__ = ["NO_WATCH", "Watch"]


class Watch(Protocol):
    """Is told of what happens in one process, on the loop that makes the calls: it must neither wait nor raise."""

    def asked(self, dimension: str, subject: str, /) -> None:
        """A question of a dimension about an item or a group is asked; the store may know the answer."""

    def attempted(self, dimension: str, subject: str, attempt: Attempt, /) -> None:
        """A model was asked it, or could not be (`Attempt.sent`)."""

    def answered(self, result: Result, /) -> None:
        """A dimension has a result; rows with it may follow much later."""


class _NoWatch:
    """A `Watch` that does nothing."""

    def asked(self, *_: str) -> None:
        """See `Watch`."""

    def attempted(self, *_: str | Attempt) -> None:
        """See `Watch`."""

    def answered(self, _: Result) -> None:
        """See `Watch`."""


NO_WATCH: Watch = _NoWatch()
