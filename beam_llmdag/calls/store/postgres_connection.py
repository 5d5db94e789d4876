"""A connection to PostgreSQL for one process that does things in order: tables made, layout checked, errors told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from beam_llmdag.calls.store.postgres import GET_LAYOUT, MAKE, check_layout
from beam_llmdag.calls.store.server import address_of
from beam_llmdag.errors import StoreError
from beam_llmdag.telling import told

__all__ = ["PostgresConnection"]


class PostgresConnection:
    """What `Contents` and `Documents` of a database have in common.

    Args:
        url: see `PostgresStore`.

    Raises:
        StoreError: it cannot be reached, or holds another layout.
    """

    def __init__(self, url: str) -> None:
        known, self._place = address_of(url)
        with self._errors():
            self._connection = psycopg.connect(known, autocommit=True, connect_timeout=10)
            self._connection.execute(MAKE.encode())
            check_layout(self._connection.execute(GET_LAYOUT).fetchone(), self._place)

    def close(self) -> None:
        """Gives up the connection."""
        self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, OSError) as error:
            raise StoreError(f"answer store {self._place}: {told(error)}") from None
