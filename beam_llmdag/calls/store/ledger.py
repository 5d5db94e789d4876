"""What an answer store's file says to a person: what was paid, what is kept, and why something was asked again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from beam_llmdag.calls.store.sqlite_file import with_file
from beam_llmdag.errors import InputError
from beam_llmdag.usage import TOKEN_KINDS, Usage

__all__ = ["LedgerTotal", "clear_store", "read_totals", "why_asked"]

_SUMS = ", ".join(f"coalesce(sum({kind}), 0)" for kind in TOKEN_KINDS)
_TOTALS = f"""
    SELECT model, count(*), count(DISTINCT iif(answer IS NULL, NULL, key)), sum(cost_nano_usd IS NULL),
        coalesce(sum(cost_nano_usd), 0), {_SUMS}
    FROM calls GROUP BY model"""
_IN_FLIGHT = "SELECT model, count(*) FROM in_flight GROUP BY model"
_ABOUT = """
    SELECT id, key, run_id, model, parts, ended_at, answer IS NOT NULL FROM calls
    WHERE dimension = ? AND subject = ? ORDER BY id DESC"""


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


def read_totals(path: str | Path) -> list[LedgerTotal]:
    """Totals of a store's file by model, ordered by name.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it is no store.
    """
    return with_file(Path(path), _totals)


def clear_store(path: str | Path) -> int:
    """Forgets all answers of a store's file; the ledger stays, since the money is spent.

    Returns:
        How many answers there were.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it is no store.
    """
    return with_file(Path(path), _clear)


def why_asked(path: str | Path, dimension: str, subject: str) -> str:
    """What differs between the last call of a dimension about an item and the answer that comes nearest to it.

    Args:
        path: a store's file.
        dimension: name of the dimension.
        subject: id of the item; the group of a `per=` global; `""` for a global over all items.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it is no store.
        InputError: nothing was ever asked about that.
    """
    calls = with_file(Path(path), partial(_calls, dimension=dimension, subject=subject))
    about = f"dimension {dimension!r}" + (f", item {subject!r}" if subject else "")
    if not calls:
        raise InputError(f"{about}: the store {path} has no call; names of dimensions and ids are matched as they are")
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

    def differs_from(self, other: _Call) -> list[str]:
        return [name for name in self.parts if self.parts[name] != other.parts.get(name)]


def _totals(connection: sqlite3.Connection) -> list[LedgerTotal]:
    waiting = dict(connection.execute(_IN_FLIGHT).fetchall())
    totals = [
        LedgerTotal(
            model=model,
            calls=calls,
            in_flight=waiting.pop(model, 0),
            unpriced_calls=unpriced,
            cost_nano_usd=int(cost),
            usage=Usage.of(map(int, counts)),
            answers=answers,
        )
        for model, calls, answers, unpriced, cost, *counts in connection.execute(_TOTALS)
    ]
    totals += [LedgerTotal(model=model, in_flight=count) for model, count in waiting.items()]
    return sorted(totals, key=lambda total: total.model)


def _clear(connection: sqlite3.Connection) -> int:
    [answers] = connection.execute("SELECT count(DISTINCT key) FROM calls WHERE answer IS NOT NULL").fetchone()
    connection.execute("UPDATE calls SET answer = NULL WHERE answer IS NOT NULL")
    return int(answers)


def _calls(connection: sqlite3.Connection, dimension: str, subject: str) -> list[_Call]:
    return [
        _Call(key, run_id, model, _digests(parts), ended_at, bool(is_kept))
        for _, key, run_id, model, parts, ended_at, is_kept in connection.execute(_ABOUT, (dimension, subject))
    ]


def _digests(parts: Any) -> Mapping[str, str]:
    """The digests of a call; none where somebody has been at the file by hand."""
    try:
        digests = json.loads(parts)
    except (TypeError, ValueError):
        return {}
    return digests if isinstance(digests, dict) else {}
