"""What an answer store says to a person: what was paid, what is kept, and why something was asked again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beam_llmdag.calls.store.contents import StoredCall, open_contents
from beam_llmdag.calls.store.rows import is_readable
from beam_llmdag.errors import InputError
from beam_llmdag.usage import TOKEN_KINDS, Usage

__all__ = ["LedgerTotal", "clear_store", "read_totals", "why_asked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTotal:
    """What was paid for one model.

    Attributes:
        model: `"provider:name"`.
        calls: calls that have ended, good or not.
        in_flight: calls that were sent and have not ended: they are on their way, or their process was killed, and
            nobody knows what they cost.
        unpriced_calls: those of `calls` whose cost is not known.
        cost_nano_usd: nano-dollars of the others.
        usage: tokens of `calls`, as far as known.
        answers: good answers that are kept.
    """

    model: str
    calls: int = 0
    in_flight: int = 0
    unpriced_calls: int = 0
    cost_nano_usd: int = 0
    usage: Usage = field(default_factory=Usage)
    answers: int = 0


def read_totals(place: str | Path) -> list[LedgerTotal]:
    """Totals of a store by model, ordered by name.

    Args:
        place: see `open_store`.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it is no store, or does not answer.
    """
    totals: dict[str, _Total] = {}
    with open_contents(place) as contents:
        for call in contents.calls():
            totals.setdefault(str(call.columns["model"]), _Total()).add(call)
        for waiting in contents.in_flight():
            totals.setdefault(waiting.model, _Total()).in_flight += 1
    return [total.of(model) for model, total in sorted(totals.items())]


def clear_store(place: str | Path) -> int:
    """Forgets all answers of a store; the ledger stays, since the money is spent.

    Args:
        place: see `open_store`.

    Returns:
        How many answers there were.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it is no store, or does not answer.
    """
    with open_contents(place) as contents:
        return contents.forget_answers()


def why_asked(place: str | Path, dimension: str, subject: str) -> str:
    """What differs between the last call of a dimension about an item and the answer that comes nearest to it.

    Args:
        place: see `open_store`.
        dimension: name of the dimension.
        subject: id of the item; the group of a `per=` global; `""` for a global over all items.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it is no store, or does not answer.
        InputError: nothing was ever asked about that.
    """
    with open_contents(place) as contents:
        calls = [_Call.of(call) for call in contents.calls() if call.line[2:4] == (dimension, subject)][::-1]
    about = f"dimension {dimension!r}" + (f", item {subject!r}" if subject else "")
    if not calls:
        raise InputError(f"{about}: the store has no call; names of dimensions and ids are matched as they are")
    last = calls[0]
    told = f"{about}: last asked {last.ended_at} by run {last.run_id!r}, of {last.model}"
    others = [call for call in calls[1:] if call.is_kept and call.key != last.key]
    if not others:
        same = any(call.is_kept and call.key == last.key for call in calls[1:])
        why = "the answer to the same question was there and no longer fits" if same else "no other answer is kept"
        return f"{told}; {why}"
    nearest = min(others, key=lambda call: len(last.differs_from(call)))
    differing = last.differs_from(nearest)
    what = [f"model ({nearest.model}, then {last.model})" if name == "model" else name for name in differing]
    return f"{told}\nthe nearest answer is of {nearest.ended_at}, by run {nearest.run_id!r}; " + (
        f"what differs: {', '.join(what)}" if what else "nothing differs but the dimension it is kept for"
    )


@dataclass(frozen=True, slots=True)
class _Call:
    key: str
    run_id: str
    model: str
    parts: Mapping[str, str]
    ended_at: str
    is_kept: bool

    @classmethod
    def of(cls, call: StoredCall) -> _Call:
        known = call.columns
        is_kept = known["answer"] is not None
        return cls(known["key"], known["run_id"], known["model"], _digests(known["parts"]), call.ended_at, is_kept)

    def differs_from(self, other: _Call) -> list[str]:
        return [name for name in self.parts if self.parts[name] != other.parts.get(name)]


@dataclass(slots=True)
class _Total:
    """What the calls of a model add up to."""

    calls: int = 0
    in_flight: int = 0
    unpriced_calls: int = 0
    cost_nano_usd: int = 0
    usage: Usage = field(default_factory=Usage)
    answers: set[str] = field(default_factory=set)

    def add(self, call: StoredCall) -> None:
        self.calls += 1
        if not is_readable(call.line):  # somebody has been at the store by hand
            self.unpriced_calls += 1
            return
        known = call.columns
        self.usage += Usage.of(known[kind] or 0 for kind in TOKEN_KINDS)
        if known["cost_nano_usd"] is None:
            self.unpriced_calls += 1
        else:
            self.cost_nano_usd += known["cost_nano_usd"]
        if known["answer"] is not None:
            self.answers.add(known["key"])

    def of(self, model: str) -> LedgerTotal:
        return LedgerTotal(
            model=model,
            calls=self.calls,
            in_flight=self.in_flight,
            unpriced_calls=self.unpriced_calls,
            cost_nano_usd=self.cost_nano_usd,
            usage=self.usage,
            answers=len(self.answers),
        )


def _digests(parts: Any) -> Mapping[str, str]:
    """The digests of a call; none where somebody has been at the store by hand."""
    try:
        digests = json.loads(parts)
    except (TypeError, ValueError):
        return {}
    return digests if isinstance(digests, dict) else {}
