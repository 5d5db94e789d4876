"""`Documents` of an answer store in Redis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from beam_llmdag.calls.store.documents import AT_ONCE, DocumentKind
from beam_llmdag.calls.store.redis import DOCUMENTS
from beam_llmdag.calls.store.redis_connection import RedisConnection

__all__ = ["RedisDocuments"]

# ARGV: key, the text that is there, the text in its place
_SWAP = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""


class RedisDocuments(RedisConnection):
    """`Documents` of a database.

    Args:
        url: see `RedisStore`.

    Raises:
        StoreError: it cannot be reached, or holds another layout.
    """

    def all(self, kind: DocumentKind) -> Iterator[tuple[str, str]]:
        """See `Documents`. Redis has no order: the keys are sorted in memory, but not the texts."""
        name = DOCUMENTS + kind
        with self._errors():
            keys = sorted(self._client.hkeys(name))
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            with self._errors():
                texts = self._client.hmget(name, some)
            yield from ((key, text) for key, text in zip(some, texts, strict=True) if text is not None)

    def keys(self, kind: DocumentKind) -> set[str]:
        """See `Documents`."""
        with self._errors():
            return set(self._client.hkeys(DOCUMENTS + kind))

    def get(self, kind: DocumentKind, key: str) -> str | None:
        """See `Documents`."""
        with self._errors():
            text: str | None = self._client.hget(DOCUMENTS + kind, key)
        return text

    def add(self, kind: DocumentKind, texts: Mapping[str, str]) -> None:
        """See `Documents`."""
        with self._errors(), self._client.pipeline(transaction=True) as pipe:
            for key, text in texts.items():
                pipe.hsetnx(DOCUMENTS + kind, key, text)
            pipe.execute()

    def swap(self, kind: DocumentKind, key: str, old: str | None, new: str) -> bool:
        """See `Documents`."""
        name = DOCUMENTS + kind
        with self._errors():
            if old is None:
                return bool(self._client.hsetnx(name, key, new))
            return bool(self._client.eval(_SWAP, 1, name, key, old, new))

    def remove(self, kind: DocumentKind, keys: Iterable[str]) -> None:
        """See `Documents`."""
        some = list(keys)
        with self._errors():
            if some:
                self._client.hdel(DOCUMENTS + kind, *some)
