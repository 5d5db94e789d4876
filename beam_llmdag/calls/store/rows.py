"""A line of the ledger as every store keeps it: columns, values, and what is made of those that come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from beam_llmdag.calls.store.answers import Asked, Found, Payer, StoredAnswer
from beam_llmdag.errors import ERROR_CLASSES
from beam_llmdag.records.result import Attempt
from beam_llmdag.text import clean_text
from beam_llmdag.usage import TOKEN_KINDS, Usage

__all__ = ["COLUMNS", "Line", "Lines", "attempt_of", "is_readable", "line_of"]

_TEXT = (str,)
_TEXT_OR_NONE = (str, type(None))
_COUNT_OR_NONE = (int, type(None))
COLUMNS: dict[str, tuple[type, ...]] = {
    "key": _TEXT,
    "run_id": _TEXT,
    "dimension": _TEXT,
    "subject": _TEXT,
    "model": _TEXT,
    "parts": _TEXT,
    "answer": _TEXT_OR_NONE,
    "error_class": _TEXT_OR_NONE,
    "message": _TEXT_OR_NONE,
    "http_status": _COUNT_OR_NONE,
    "request_id": _TEXT_OR_NONE,
    **dict.fromkeys(TOKEN_KINDS, _COUNT_OR_NONE),
    "cost_nano_usd": _COUNT_OR_NONE,
    "latency_seconds": (float,),
    "waited_seconds": (float,),
    "raw_answer": _TEXT_OR_NONE,
    "prompt": _TEXT_OR_NONE,
}
"""Column -> what it holds, where nobody has been at the file by hand."""

_NO_NUMBERS: frozenset[int] = frozenset()

Line = tuple[Any, ...]
"""The values of `COLUMNS`."""


@dataclass(slots=True)
class Lines:
    """Lines of the ledger, as they were looked up.

    Attributes:
        answers: key -> the newest answer.
        paid: key -> payer, number and line of each call.
        unreadable: whether there are rows that nobody can read, and no newer answer in their place.
    """

    answers: dict[str, StoredAnswer] = field(default_factory=dict)
    paid: dict[str, list[tuple[Payer, int, Line]]] = field(default_factory=dict)
    unreadable: bool = False

    def add(self, line: Line, owner: Any, number: int) -> None:
        """Enters a line that is older than all before it with its key.

        Args:
            owner: the dimension whose answer it is.
            number: of the call; greater for what came later.
        """
        key, run_id, dimension, subject, model, _, answer, *_ = line
        if not is_readable(line) or not isinstance(owner, str):
            self.unreadable = self.unreadable or key not in self.answers
            return
        self.paid.setdefault(key, []).append((Payer(run_id, dimension, subject), number, line))
        if answer is not None and key not in self.answers:
            self.answers[key] = StoredAnswer(key=key, model=model, text=answer, dimension=owner)

    def found(self, keys: Sequence[str], payer: Payer | None) -> Found:
        """What there is for these keys, and what `payer` paid for them, in the order in which that was."""
        mine = {
            number: line
            for key in keys
            for who, number, line in self.paid.get(key, ())
            if payer is not None and who == payer
        }
        answers = [self.answers[key] for key in keys if key in self.answers]
        if not mine:
            return Found(answers, [], _NO_NUMBERS)
        return Found(answers, [attempt_of(mine[number]) for number in sorted(mine)], frozenset(mine))


def is_readable(line: Line) -> bool:
    """Whether a line is one that this package may have written."""
    if not all(map(isinstance, line, COLUMNS.values())):
        return False
    known = dict(zip(COLUMNS, line, strict=True))
    counts = (known[name] for name in (*TOKEN_KINDS, "cost_nano_usd"))
    error_class = known["error_class"]
    return (
        ":" in known["model"]
        and (error_class is None or error_class in ERROR_CLASSES)
        and all(count is None or count >= 0 for count in counts)
    )


def line_of(asked: Asked, attempt: Attempt, answer: str | None) -> Line:
    usage = attempt.usage
    return (
        asked.key,
        *asked.payer,
        asked.model,
        asked.parts,
        _clean(answer),
        attempt.error_class,
        _clean(attempt.message),
        attempt.http_status,
        _clean(attempt.request_id),
        *((None,) * len(TOKEN_KINDS) if usage is None else usage.counts()),
        attempt.cost_nano_usd,
        attempt.latency_seconds,
        attempt.waited_seconds,
        attempt.raw_answer,
        attempt.prompt,
    )


def attempt_of(line: Line) -> Attempt:
    known = dict(zip(COLUMNS, line, strict=True))
    counts = [known[kind] for kind in TOKEN_KINDS]
    return Attempt(
        model=known["model"],
        error_class=known["error_class"],
        message=known["message"],
        http_status=known["http_status"],
        request_id=known["request_id"],
        usage=None if None in counts else Usage.of(counts),
        cost_nano_usd=known["cost_nano_usd"],
        raw_answer=known["raw_answer"],
        prompt=known["prompt"],
        latency_seconds=known["latency_seconds"],
        waited_seconds=known["waited_seconds"],
    )


def _clean(text: str | None) -> str | None:
    return None if text is None else clean_text(text)
