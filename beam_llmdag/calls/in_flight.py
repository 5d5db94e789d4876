"""Many coroutines in flight for one DoFn: submitted by its thread, run on the process' loop, collected as they end."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

from beam_llmdag.calls.call_thread import CallThread
from beam_llmdag.calls.limits.turn import next_turn

__all__ = ["InFlight"]

Tag = TypeVar("Tag")
T = TypeVar("T")

_CANCEL_SECONDS = 10.0
_DEAF_SECONDS = 0.5  # Python hears a Ctrl-C that comes at the very start of a wait only at its end


class InFlight(Generic[Tag, T]):
    """Coroutines on their way, each with a tag that comes back with its result.

    Args:
        calls: where they run.
    """

    def __init__(self, calls: CallThread) -> None:
        self._calls = calls
        self._submitted: deque[tuple[Tag, Coroutine[Any, Any, T]]] = deque()
        self._ended: deque[tuple[Tag, asyncio.Task[T]]] = deque()
        self._some_ended = threading.Event()
        self._tasks: set[asyncio.Task[T]] = set()
        self._cancelled = False
        self.pending = 0

    def submit(self, tag: Tag, coroutine: Coroutine[Any, Any, T]) -> None:
        """Starts a coroutine soon."""
        self.pending += 1
        self._submitted.append((tag, coroutine))
        if len(self._submitted) == 1:  # the loop takes all that are there when it wakes up
            self._calls.loop.call_soon_threadsafe(self._start_submitted)

    def ended(self) -> Iterator[tuple[Tag, T]]:
        """Results of those that have ended, without waiting.

        Raises:
            Exception: what a coroutine raised.
        """
        while self._ended:
            tag, task = self._ended.popleft()
            self.pending -= 1
            yield tag, task.result()

    def wait(self) -> None:
        """Waits until at least one has ended. There must be one pending.

        Raises:
            LLMDagError: none will, since their thread has ended.
        """
        while not self._ended:
            self._some_ended.clear()
            if not self._ended and not self._some_ended.wait(_DEAF_SECONDS):
                self._calls.check()

    def cancel(self) -> None:
        """Cancels all that are still on their way and waits for their end; their results are gone."""
        self._cancelled = True
        self.pending = 0
        self._calls.finish(self._cancel_tasks(), _CANCEL_SECONDS)

    def _start_submitted(self) -> None:
        while self._submitted:
            tag, coroutine = self._submitted.popleft()
            if self._cancelled:
                coroutine.close()
                continue
            task = self._calls.loop.create_task(coroutine, context=next_turn())
            self._tasks.add(task)
            task.add_done_callback(partial(self._end, tag))

    def _end(self, tag: Tag, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if not self._cancelled:
            self._ended.append((tag, task))
            self._some_ended.set()
        elif not task.cancelled():
            task.exception()  # nobody else will look at it

    async def _cancel_tasks(self) -> None:
        self._start_submitted()
        for _, task in self._ended:  # nobody else will look at them
            if not task.cancelled():
                task.exception()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
