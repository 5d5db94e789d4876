"""A line of the ledger for each try of a call."""

from __future__ import annotations

from dataclasses import dataclass, field

from beam_llmdag.calls.store.answers import AnswerStore, Asked
from beam_llmdag.records.result import Attempt

__all__ = ["Line"]


@dataclass(slots=True)
class Line:
    """Where the tries of a call are entered, one after the other.

    Attributes:
        store: the store whose ledger it is.
        asked: what is the same for all of them.
    """

    store: AnswerStore
    asked: Asked
    _number: int = field(default=0, init=False)

    def begin(self) -> None:
        """A try is sent now."""
        self._number = self.store.begin(self.asked)

    async def end(self, attempt: Attempt, answer: str | None = None) -> None:
        """What came of it; see `AnswerStore.end`."""
        await self.store.end(self._number, self.asked, attempt, answer)
