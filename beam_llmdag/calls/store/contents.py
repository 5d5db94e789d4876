"""What is in an answer store, call by call: for people, for copies, and for clearing up. `Contents` is the door."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from beam_llmdag.calls.store.place import server_kind, sqlite_file
from beam_llmdag.calls.store.rows import COLUMNS, Line

__all__ = ["Contents", "StoredCall", "WaitingCall", "open_contents"]


class StoredCall(NamedTuple):
    """A call that has ended.

    Attributes:
        number: unique; greater for what began later.
        line: the values of `rows.COLUMNS`.
        owner: the dimension that has taken the answer over; None for the one that asked.
        ended_at: when, in UTC, as `2026-01-31T12:00:00.000Z`.
    """

    number: int
    line: Line
    owner: str | None
    ended_at: str

    @property
    def columns(self) -> dict[str, Any]:
        """The values of `line` by name."""
        return dict(zip(COLUMNS, self.line, strict=True))


class WaitingCall(NamedTuple):
    """A call that was sent and has not ended: it is on its way, or its process was killed."""

    number: int
    run_id: str
    dimension: str
    subject: str
    model: str


class Contents(Protocol):
    """A store that is there, read and cleared up by one process; others may use it meanwhile.

    Its methods raise `StoreError`, and nothing else.
    """

    def calls(self) -> Iterator[StoredCall]:
        """All calls, those that began first first; one after the other, however many there are."""

    def in_flight(self) -> list[WaitingCall]:
        """The calls that have not ended."""

    def add(self, calls: Iterable[StoredCall]) -> int:
        """Enters calls of another store; returns how many were not there yet."""

    def forget_answers(self) -> int:
        """Forgets all answers, but not what was paid for them; returns how many there were."""

    def keep(self, answers: Mapping[int, str]) -> None:
        """Makes texts the good answers of calls, by number."""

    def remove(self, numbers: Sequence[int]) -> None:
        """Removes calls, with their answers and what was paid for them."""

    def close(self) -> None:
        """Gives up the connection."""


@contextmanager
def open_contents(place: str | Path, *, make: bool = False) -> Iterator[Contents]:
    """The contents of the store at a place, see `open_store`; to be used with `with`.

    Args:
        make: whether a file is made if there is none. On a server tables are made in any case.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it is no store, or does not answer.
        GraphError: there is no such kind of store.
    """
    contents = _contents(place, make=make)
    try:
        yield contents
    finally:
        contents.close()


def _contents(place: str | Path, *, make: bool) -> Contents:
    kind = server_kind(place)
    if kind == "postgres":
        from beam_llmdag.calls.store.postgres_contents import PostgresContents  # its client is an extra

        return PostgresContents(str(place))
    if kind == "redis":
        from beam_llmdag.calls.store.redis_contents import RedisContents  # its client is an extra

        return RedisContents(str(place))
    from beam_llmdag.calls.store.sqlite_contents import SqliteContents

    return SqliteContents(sqlite_file(place).expanduser(), make=make)
