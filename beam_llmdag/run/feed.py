"""Between a program's thread or loop and the loop that makes the calls: records one way, results the other."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Feed", "Outbox"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _End:
    """The last thing that comes: there is no more, or this is why."""

    error: BaseException | None = None


class Feed:
    """Records that somebody else reads, for one reader on an event loop.

    Args:
        loop: the reader's.
        ahead: records that may wait in it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ahead: int) -> None:
        self._loop = loop
        self._room = threading.Semaphore(ahead)
        self._waiting: deque[Any] = deque()
        self._some = asyncio.Event()
        self._stopped = False

    def read(self, records: Iterable[Any]) -> None:
        """Reads an iterator in a thread of its own: one that waits for its next record holds nobody up."""
        threading.Thread(target=self._read, args=(records,), name="llmdag-input", daemon=True).start()

    async def pump(self, records: AsyncIterator[Any]) -> None:
        """Reads an asynchronous iterator on the loop where this is awaited."""
        try:
            async for record in records:
                if not self._room.acquire(blocking=False):
                    await asyncio.to_thread(self._room.acquire)
                if self._stopped:
                    return
                self._put(record)
            self._put(_End())
        except Exception as error:  # noqa: BLE001 - raised where the records are read
            self._put(_End(error))

    def stop(self) -> None:
        """Ends whoever reads for it: at once if it waits for room, else after the next record."""
        self._stopped = True
        self._room.release()

    async def records(self) -> AsyncIterator[Any]:
        """What was read. Raises what the iterator raised."""
        while True:
            while self._waiting:
                record = self._waiting.popleft()
                if isinstance(record, _End):
                    if record.error is not None:
                        raise record.error
                    return
                self._room.release()
                yield record
            self._some.clear()
            if not self._waiting:
                await self._some.wait()

    def _read(self, records: Iterable[Any]) -> None:
        try:
            for record in records:
                self._room.acquire()
                if self._stopped:
                    return
                self._put(record)
            self._put(_End())
        except BaseException as error:  # noqa: BLE001 - raised where the records are read
            self._put(_End(error))

    def _put(self, record: Any) -> None:
        self._waiting.append(record)
        if len(self._waiting) == 1:  # the reader takes all that are there
            self._loop.call_soon_threadsafe(self._some.set)


class Outbox(Generic[T]):
    """Values from an event loop for one reader elsewhere; who puts them there waits while it is full.

    Args:
        loop: where values are put.
        most: values that may wait in it.
        notify: tells the reader that there is something. Called on the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int, notify: Callable[[], object]) -> None:
        self._loop = loop
        self._most = most
        self._notify = notify
        self._values: deque[T | _End] = deque()
        self._room = asyncio.Event()
        self.ended = False

    async def put(self, value: T) -> None:
        """Puts a value there, as soon as there is room."""
        while len(self._values) >= self._most:
            self._room.clear()
            await self._room.wait()
        self._values.append(value)
        self._notify()

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more will come, because of `error` if there is one."""
        self._values.append(_End(error))
        self._notify()

    def take(self) -> Iterator[T]:
        """The values that are there, for the reader; raises the error for which there are no more."""
        while self._values:
            value = self._values.popleft()
            if isinstance(value, _End):
                self.ended = True
                if value.error is not None:
                    raise value.error
                return
            if len(self._values) == self._most - 1:
                self._loop.call_soon_threadsafe(self._room.set)
            yield value
