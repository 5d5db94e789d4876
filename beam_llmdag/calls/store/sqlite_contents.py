"""`Contents` of an answer store in a SQLite file."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beam_llmdag.calls.store.contents import StoredCall, WaitingCall
from beam_llmdag.calls.store.rows import COLUMNS
from beam_llmdag.calls.store.sqlite_file import open_existing, open_file, store_error

__all__ = ["SqliteContents"]

_AT_ONCE = 1000
_ALL = f"SELECT id, {', '.join(COLUMNS)}, owner, ended_at FROM calls WHERE id > ? ORDER BY id LIMIT {_AT_ONCE}"
_ADD = f"INSERT OR IGNORE INTO calls (id, {', '.join(COLUMNS)}, owner, ended_at) VALUES (?, ?, ?{', ?' * len(COLUMNS)})"


class SqliteContents:
    """`Contents` of a file.

    Args:
        path: the file.
        make: whether it is made if it is not there.

    Raises:
        FileNotFoundError: it is not there.
        StoreError: it is no store.
    """

    def __init__(self, path: Path, *, make: bool = False) -> None:
        self._path = path
        with self._errors():
            self._connection = open_file(path) if make else open_existing(path)
            self._connection.text_factory = lambda raw: raw.decode("utf-8", "replace")

    def close(self) -> None:
        """See `Contents`."""
        self._connection.close()

    def calls(self) -> Iterator[StoredCall]:
        """See `Contents`."""
        last = -1
        rows: list[tuple[Any, ...]] | None = None
        while rows is None or rows:  # one long statement would keep those who write from cleaning up the file
            with self._errors():
                rows = self._connection.execute(_ALL, (last,)).fetchall()
            for number, *line, owner, ended_at in rows:
                last = number
                yield StoredCall(number, tuple(line), owner, ended_at)

    def in_flight(self) -> list[WaitingCall]:
        """See `Contents`."""
        with self._errors():
            rows = self._connection.execute("SELECT id, run_id, dimension, subject, model FROM in_flight ORDER BY id")
            return [WaitingCall(*row) for row in rows]

    def add(self, calls: Iterable[StoredCall]) -> int:
        """See `Contents`."""
        before, rows = self._connection.total_changes, iter(calls)
        while some := [(c.number, *c.line, c.owner, c.ended_at) for c in itertools.islice(rows, _AT_ONCE)]:
            with self._errors(), self._transaction():
                self._connection.executemany(_ADD, some)
        return self._connection.total_changes - before

    def forget_answers(self) -> int:
        """See `Contents`."""
        with self._errors(), self._transaction():
            count = "SELECT count(DISTINCT key) FROM calls WHERE answer IS NOT NULL"
            [answers] = self._connection.execute(count).fetchone()
            self._connection.execute("UPDATE calls SET answer = NULL WHERE answer IS NOT NULL")
        return int(answers)

    def keep(self, answers: Mapping[int, str]) -> None:
        """See `Contents`."""
        rows = [(text, number) for number, text in answers.items()]
        with self._errors(), self._transaction():
            self._connection.executemany("UPDATE calls SET answer = ? WHERE id = ?", rows)

    def remove(self, numbers: Sequence[int]) -> None:
        """See `Contents`. The file becomes smaller."""
        with self._errors():
            with self._transaction():
                self._connection.executemany("DELETE FROM calls WHERE id = ?", ((number,) for number in numbers))
            self._connection.execute("VACUUM")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise store_error(self._path, error) from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
