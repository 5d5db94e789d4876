"""`Contents` of an answer store in PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from beam_llmdag.calls.store.contents import StoredCall, WaitingCall
from beam_llmdag.calls.store.postgres import escaped, unescaped
from beam_llmdag.calls.store.postgres_connection import PostgresConnection
from beam_llmdag.calls.store.rows import COLUMNS

__all__ = ["PostgresContents"]

_AT_ONCE = 1000
_ALL = (
    f"SELECT number, {', '.join(COLUMNS)}, owner, ended_at FROM llmdag_calls WHERE number > %s "
    f"ORDER BY number LIMIT {_AT_ONCE}"
)
_ADD = (
    f"INSERT INTO llmdag_calls (number, {', '.join(COLUMNS)}, owner, ended_at) "
    f"VALUES (%s, %s, %s{', %s' * len(COLUMNS)}) ON CONFLICT (number) DO NOTHING"
)


class PostgresContents(PostgresConnection):
    """`Contents` of a database.

    Args:
        url: see `PostgresStore`.

    Raises:
        StoreError: it cannot be reached, or holds another layout.
    """

    def calls(self) -> Iterator[StoredCall]:
        """See `Contents`."""
        last = -1
        while True:
            with self._errors():
                rows = self._connection.execute(_ALL.encode(), (last,)).fetchall()
            for number, *line, owner, ended_at in rows:
                last = number
                moment = ended_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                yield StoredCall(number, tuple(map(unescaped, line)), unescaped(owner), moment)
            if not rows:
                return

    def in_flight(self) -> list[WaitingCall]:
        """See `Contents`."""
        with self._errors():
            rows = self._connection.execute(
                "SELECT number, run_id, dimension, subject, model FROM llmdag_in_flight ORDER BY number"
            )
            return [WaitingCall(*map(unescaped, row)) for row in rows]

    def add(self, calls: Iterable[StoredCall]) -> int:
        """See `Contents`."""
        added, rest = 0, iter(calls)
        while some := list(itertools.islice(rest, _AT_ONCE)):
            rows = [
                tuple(map(escaped, (call.number, *call.line, call.owner, datetime.fromisoformat(call.ended_at))))
                for call in some
            ]
            with self._errors(), self._connection.transaction(), self._connection.cursor() as cursor:
                cursor.executemany(_ADD.encode(), rows)
                added += cursor.rowcount
        return added

    def forget_answers(self) -> int:
        """See `Contents`."""
        with self._errors(), self._connection.transaction():
            counted = self._connection.execute("SELECT count(DISTINCT key) FROM llmdag_calls WHERE answer IS NOT NULL")
            [answers] = counted.fetchone() or (0,)
            self._connection.execute("UPDATE llmdag_calls SET answer = NULL WHERE answer IS NOT NULL")
        return int(answers)

    def keep(self, answers: Mapping[int, str]) -> None:
        """See `Contents`."""
        rows = [(escaped(text), number) for number, text in answers.items()]
        with self._errors(), self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany("UPDATE llmdag_calls SET answer = %s WHERE number = %s", rows)

    def remove(self, numbers: Sequence[int]) -> None:
        """See `Contents`."""
        with self._errors():
            self._connection.execute("DELETE FROM llmdag_calls WHERE number = ANY(%s)", (list(numbers),))
