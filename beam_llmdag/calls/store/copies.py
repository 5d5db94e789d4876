"""Stores copied, kept in files, and cleared of what is old."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, NamedTuple

from beam_llmdag.calls.store.contents import StoredCall, open_contents
from beam_llmdag.calls.store.rows import COLUMNS, is_readable
from beam_llmdag.errors import InputError

__all__ = ["Removed", "collect_garbage", "copy_store", "export_store", "import_calls"]


class Removed(NamedTuple):
    """What was cleared away.

    Attributes:
        calls: how many.
        cost_nano_usd: nano-dollars that were paid for them, as far as known.
    """

    calls: int
    cost_nano_usd: int


def copy_store(source: str | Path, target: str | Path) -> int:
    """Enters all calls of a store, and their answers, into another, which is made if it is not there.

    Nothing that is in it is changed; copied again, nothing is entered twice. Calls in flight are not copied.

    Args:
        source, target: see `open_store`.

    Returns:
        How many calls were not there yet.

    Raises:
        FileNotFoundError: there is no such source.
        StoreError: one of them is no store, or does not answer.
    """
    with open_contents(source) as old, open_contents(target, make=True) as new:
        return new.add(old.calls())


def export_store(place: str | Path, file: IO[str]) -> int:
    """Writes all calls of a store as lines of JSON, those that began first first; returns how many.

    Raises:
        FileNotFoundError, StoreError: see `copy_store`.
    """
    count = 0
    with open_contents(place) as contents:
        for call in contents.calls():
            known = {"number": call.number, **call.columns}
            record = {**known, "owner": call.owner, "ended_at": call.ended_at}
            file.write(f"{json.dumps(record, ensure_ascii=False)}\n")
            count += 1
    return count


def import_calls(lines: Iterable[str], place: str | Path) -> int:
    """Enters the calls that `export_store` has written into a store; see `copy_store`.

    Raises:
        InputError: a line is none of those; the calls before it have been entered.
        StoreError: it is no store, or does not answer.
    """
    with open_contents(place, make=True) as contents:
        return contents.add(_read(lines))


def collect_garbage(
    place: str | Path, *, older: timedelta | None = None, most_bytes: int | None = None, dry_run: bool = False
) -> Removed:
    """Removes the oldest calls of a store, with their answers and what was paid for them.

    Args:
        place: see `open_store`.
        older: calls that ended longer ago go.
        most_bytes: the oldest go until the others take up no more than that, as JSON text; on a disk it is about as
            much.
        dry_run: nothing is removed; the answer is what would be.

    Raises:
        FileNotFoundError, StoreError: see `copy_store`.
    """
    with open_contents(place) as contents:
        known = [
            (call.number, call.ended_at, call.columns["cost_nano_usd"] or 0, _size(call)) for call in contents.calls()
        ]
        before = "" if older is None else (datetime.now(UTC) - older).isoformat(timespec="milliseconds")[:23]
        left = sum(size for *_, size in known)
        gone: list[tuple[int, int]] = []
        for number, ended_at, cost, size in known:
            if ended_at[:23] < before or (most_bytes is not None and left > most_bytes):
                gone.append((number, cost))
                left -= size
        if gone and not dry_run:
            contents.remove([number for number, _ in gone])
    return Removed(len(gone), sum(cost for _, cost in gone))


def _size(call: StoredCall) -> int:
    return len(json.dumps(call, ensure_ascii=False).encode("utf-8", "replace"))


def _read(lines: Iterable[str]) -> Iterator[StoredCall]:
    for position, text in enumerate(lines, start=1):
        try:
            record: dict[str, Any] = json.loads(text)
            line = tuple(record[name] for name in COLUMNS)
            call = StoredCall(int(record["number"]), line, record["owner"], record["ended_at"])
            datetime.fromisoformat(call.ended_at)
            if not is_readable(line) or not isinstance(call.owner, (str, type(None))):
                raise ValueError("no call")
        except (ValueError, TypeError, KeyError):
            raise InputError(
                f"line {position} is no call of an answer store: write it with `llmdag store export`"
            ) from None
        yield call
