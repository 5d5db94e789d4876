"""Small documents beside the paid answers: what the batch lane must know from one round to the next.

`Documents` is the door, for one process at a time that does many things in order; calls that are on their way ask the
store itself, see `AnswerStore.ask_later`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

from beam_llmdag.calls.store.place import server_kind, sqlite_file

__all__ = ["AT_ONCE", "DocumentKind", "Documents", "open_documents"]

DocumentKind = Literal["pending", "replies", "batches", "runs", "leases"]
"""Calls that wait for a batch, by custom id; what batches said to them, by the same; batches, by our own name; ids of
runs that go on in another round, by the name of what runs; who does what nobody else may do at the same time."""

AT_ONCE = 1000
"""Documents of one statement."""


class Documents(Protocol):
    """Texts by kind and key. Methods raise `StoreError`, and nothing else."""

    def all(self, kind: DocumentKind) -> Iterator[tuple[str, str]]:
        """Keys and texts of a kind, ordered by key; in portions, however many there are."""

    def keys(self, kind: DocumentKind) -> set[str]:
        """All keys of a kind."""

    def get(self, kind: DocumentKind, key: str) -> str | None:
        """The text of a key, None if there is none."""

    def add(self, kind: DocumentKind, texts: Mapping[str, str]) -> None:
        """Enters texts under the keys that have none."""

    def swap(self, kind: DocumentKind, key: str, old: str | None, new: str) -> bool:
        """Puts `new` in the place of `old` (None: of nothing), and returns whether `old` was there."""

    def remove(self, kind: DocumentKind, keys: Iterable[str]) -> None:
        """Removes these."""

    def close(self) -> None:
        """Gives up the connection."""


@contextmanager
def open_documents(place: str | Path) -> Iterator[Documents]:
    """The documents of the store at a place, see `open_store`; to be used with `with`, on one thread.

    Raises:
        StoreError: it is no store, or does not answer.
        GraphError: there is no such kind of store.
    """
    documents = _documents(place)
    try:
        yield documents
    finally:
        documents.close()


def _documents(place: str | Path) -> Documents:
    kind = server_kind(place)
    if kind == "postgres":
        from beam_llmdag.calls.store.postgres_documents import PostgresDocuments  # its client is an extra

        return PostgresDocuments(str(place))
    if kind == "redis":
        from beam_llmdag.calls.store.redis_documents import RedisDocuments  # its client is an extra

        return RedisDocuments(str(place))
    from beam_llmdag.calls.store.sqlite_documents import SqliteDocuments

    return SqliteDocuments(sqlite_file(place).expanduser())
