"""A connection to Redis for one process that does things in order: layout checked, errors told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from beam_llmdag.calls.store.redis import LAYOUT, LAYOUT_KEY, check_layout
from beam_llmdag.calls.store.server import address_of
from beam_llmdag.errors import StoreError
from beam_llmdag.telling import told

__all__ = ["RedisConnection"]


class RedisConnection:
    """What `Contents` and `Documents` of a database have in common.

    Args:
        url: see `RedisStore`.

    Raises:
        StoreError: it cannot be reached, or holds another layout.
    """

    def __init__(self, url: str) -> None:
        known, self._place = address_of(url)
        with self._errors():
            self._client: Any = Redis.from_url(known, decode_responses=True, socket_timeout=60)
            layout = self._client.get(LAYOUT_KEY)
            if layout is None:
                self._client.set(LAYOUT_KEY, LAYOUT, nx=True)
        check_layout(layout, self._place)

    def close(self) -> None:
        """Gives up the connection."""
        self._client.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError, ValueError) as error:
            raise StoreError(f"answer store {self._place}: {told(error)}") from None
