"""`Documents` of an answer store in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from beam_llmdag.calls.store.documents import AT_ONCE, DocumentKind
from beam_llmdag.calls.store.sqlite_file import open_file, store_error

__all__ = ["SqliteDocuments"]

_ALL = f"SELECT key, text FROM documents WHERE kind = ? AND key > ? ORDER BY key LIMIT {AT_ONCE}"


class SqliteDocuments:
    """`Documents` of a file, which is made if it is not there.

    Args:
        path: the file.

    Raises:
        StoreError: it is no store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._errors():
            self._connection = open_file(path)

    def close(self) -> None:
        """See `Documents`."""
        self._connection.close()

    def all(self, kind: DocumentKind) -> Iterator[tuple[str, str]]:
        """See `Documents`."""
        last = ""
        while True:
            with self._errors():
                rows = self._connection.execute(_ALL, (kind, last)).fetchall()
            yield from rows
            if not rows:
                return
            last = rows[-1][0]

    def keys(self, kind: DocumentKind) -> set[str]:
        """See `Documents`."""
        with self._errors():
            return {key for (key,) in self._connection.execute("SELECT key FROM documents WHERE kind = ?", (kind,))}

    def get(self, kind: DocumentKind, key: str) -> str | None:
        """See `Documents`."""
        with self._errors():
            row = self._connection.execute("SELECT text FROM documents WHERE kind = ? AND key = ?", (kind, key))
            known = row.fetchone()
        return None if known is None else known[0]

    def add(self, kind: DocumentKind, texts: Mapping[str, str]) -> None:
        """See `Documents`."""
        rows = [(kind, key, text) for key, text in texts.items()]
        self._each("INSERT OR IGNORE INTO documents (kind, key, text) VALUES (?, ?, ?)", rows)

    def swap(self, kind: DocumentKind, key: str, old: str | None, new: str) -> bool:
        """See `Documents`."""
        with self._errors():
            if old is None:
                statement = "INSERT OR IGNORE INTO documents (kind, key, text) VALUES (?, ?, ?)"
                return self._connection.execute(statement, (kind, key, new)).rowcount > 0
            statement = "UPDATE documents SET text = ? WHERE kind = ? AND key = ? AND text = ?"
            return self._connection.execute(statement, (new, kind, key, old)).rowcount > 0

    def remove(self, kind: DocumentKind, keys: Iterable[str]) -> None:
        """See `Documents`."""
        self._each("DELETE FROM documents WHERE kind = ? AND key = ?", [(kind, key) for key in keys])

    def _each(self, statement: str, rows: Sequence[tuple[str, ...]]) -> None:
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(statement, rows)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise store_error(self._path, error) from None
