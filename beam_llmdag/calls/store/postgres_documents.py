"""`Documents` of an answer store in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from beam_llmdag.calls.store.documents import AT_ONCE, DocumentKind
from beam_llmdag.calls.store.postgres_connection import PostgresConnection

__all__ = ["PostgresDocuments"]

_ALL = f"SELECT key, text FROM llmdag_documents WHERE kind = %s AND key > %s ORDER BY key LIMIT {AT_ONCE}"
_ADD = "INSERT INTO llmdag_documents (kind, key, text) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"


class PostgresDocuments(PostgresConnection):
    """`Documents` of a database.

    Args:
        url: see `PostgresStore`.

    Raises:
        StoreError: it cannot be reached, or holds another layout.
    """

    def all(self, kind: DocumentKind) -> Iterator[tuple[str, str]]:
        """See `Documents`."""
        last = ""
        while True:
            with self._errors():
                rows = self._connection.execute(_ALL.encode(), (kind, last)).fetchall()
            yield from rows
            if not rows:
                return
            last = rows[-1][0]

    def keys(self, kind: DocumentKind) -> set[str]:
        """See `Documents`."""
        with self._errors():
            rows = self._connection.execute("SELECT key FROM llmdag_documents WHERE kind = %s", (kind,))
            return {key for (key,) in rows}

    def get(self, kind: DocumentKind, key: str) -> str | None:
        """See `Documents`."""
        with self._errors():
            statement = "SELECT text FROM llmdag_documents WHERE kind = %s AND key = %s"
            row = self._connection.execute(statement, (kind, key)).fetchone()
        return None if row is None else row[0]

    def add(self, kind: DocumentKind, texts: Mapping[str, str]) -> None:
        """See `Documents`."""
        rows = [(kind, key, text) for key, text in texts.items()]
        with self._errors(), self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(_ADD, rows)

    def swap(self, kind: DocumentKind, key: str, old: str | None, new: str) -> bool:
        """See `Documents`."""
        with self._errors():
            if old is None:
                return self._connection.execute(_ADD, (kind, key, new)).rowcount > 0
            statement = "UPDATE llmdag_documents SET text = %s WHERE kind = %s AND key = %s AND text = %s"
            return self._connection.execute(statement, (new, kind, key, old)).rowcount > 0

    def remove(self, kind: DocumentKind, keys: Iterable[str]) -> None:
        """See `Documents`."""
        with self._errors():
            statement = "DELETE FROM llmdag_documents WHERE kind = %s AND key = ANY(%s)"
            self._connection.execute(statement, (kind, list(keys)))
