"""Paid answers, kept, so that nothing is paid for twice; and a ledger of every attempt that was paid.

An answer is written before anything is made of it and read before a call is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from beam_llmdag.records.result import Attempt
from beam_llmdag.text import clean_text

__all__ = [
    "AnswerStore",
    "Asked",
    "Found",
    "Later",
    "Payer",
    "StoredAnswer",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """An answer that was paid for and was good.

    Attributes:
        key: see `AnswerKey`.
        model: `"provider:name"` that gave it.
        text: the answer as the model wrote it; it is validated again when it is read.
        dimension: the dimension whose answer it is.
    """

    key: str
    model: str
    text: str
    dimension: str


class Payer(NamedTuple):
    """For whom a call was paid: a run, one of its dimensions, and the item or group. In clean text, see `of`."""

    run_id: str
    dimension: str
    subject: str

    @classmethod
    def of(cls, run_id: str, dimension: str, subject: str) -> Payer:
        """The payer with these names, in text that every store can hold."""
        return cls(clean_text(run_id), clean_text(dimension), clean_text(subject))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the ledger says of a call, whatever comes of it.

    Attributes:
        key: see `AnswerKey`.
        model: `"provider:name"` that is asked.
        payer: for whom.
        parts: see `AnswerKey`.
    """

    key: str
    model: str
    payer: Payer
    parts: str


class Found(NamedTuple):
    """What a store has for some keys.

    Attributes:
        answers: the answers there are, in the order of the keys.
        paid: every call that the payer has paid for under these keys, good or not, in order.
        numbers: of those calls.
    """

    answers: list[StoredAnswer]
    paid: list[Attempt]
    numbers: frozenset[int]


class Later(NamedTuple):
    """What a store has of a call that waits for a batch.

    Attributes:
        entry: what was entered; None if nothing was.
        reply: what a batch said to it; None if nothing yet.
    """

    entry: str | None
    reply: str | None


class AnswerStore(Protocol):
    """Where paid answers are kept. One per process and place, shared by all that runs there.

    Its methods raise `StoreError`, and nothing else.

    Attributes:
        claims: whether processes see to it that they do not ask the same at the same time, with `claim`.
    """

    claims: bool

    async def find(self, keys: Sequence[str], payer: Payer) -> Found:
        """What there is for `keys`."""

    def begin(self, asked: Asked) -> int:
        """Enters a call that is sent now into the ledger: should the process die, somebody may be billed for it.

        Returns:
            Its number, for `end`.
        """

    async def end(self, number: int, asked: Asked, attempt: Attempt, answer: str | None = None) -> None:
        """Enters what came of a call, unless it was not sent after all; it is safe when this returns.

        Args:
            number: see `begin`.
            asked: the same as there.
            attempt: what came of it.
            answer: its text, which is kept, if it was good.
        """

    async def adopt(self, key: str, dimension: str) -> None:
        """Makes the answer for `key` that of another dimension; nothing is paid for."""

    async def claim(self, key: str) -> bool:
        """Takes for this process what nobody else is to ask meanwhile.

        Returns:
            Whether nobody else has it. Who has it keeps it as long as its process lives, or until `give_back`.
        """

    def give_back(self, key: str) -> None:
        """Ends a claim."""

    def number(self) -> int:
        """A number for a call that is not sent now: what comes of it is entered under it once, however often."""

    async def ask_later(self, key: str, text: str | None) -> Later:
        """Enters a call that is to go in a batch, in the place of what was entered before.

        Args:
            key: its custom id.
            text: what is entered, see `beam_llmdag.calls.batch.entry`; None to look only.

        Returns:
            What is there now.
        """

    async def draw(self, run_id: str, nano_usd: int, limit_nano_usd: int) -> int:
        """Takes money of a run's budget for the process that asks; nobody else can have it then.

        Args:
            run_id: the run.
            nano_usd: how much is wanted; negative to give it back.
            limit_nano_usd: the budget of the run.

        Returns:
            How much there was, at most what is wanted.
        """

    async def aclose(self) -> None:
        """Finishes what is being written."""
