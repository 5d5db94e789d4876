"""The rounds of a run whose calls go in batches: run, hand in what waits, wait, run again, until nothing waits.

A round is an ordinary run, of any engine, with the same store and `run_id`. What it cannot know yet it leaves pending.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from beam_llmdag.calls.batch.desk import Desk, OpenBatch
from beam_llmdag.calls.batch.entry import PendingCall
from beam_llmdag.calls.store.documents import Documents, open_documents
from beam_llmdag.calls.store.place import open_store
from beam_llmdag.clock import Clock, SystemClock
from beam_llmdag.errors import MEANING, CallError, LLMDagError
from beam_llmdag.providers.base import ProviderFactory
from beam_llmdag.providers.prices import PriceTable
from beam_llmdag.telling import told

__all__ = ["Rounds"]

_FIRST_POLL_SECONDS = 0.2
_LONGEST_POLL_SECONDS = 60.0
_SLOWER = 1.5  # from poll to poll
_DEAF_SECONDS = 0.5  # Python hears a Ctrl-C at the end of a wait only

T = TypeVar("T")


class Rounds:
    """Goes with a run from round to round.

    `start()`, then a round of the run with `run_id`, then `next()`; as long as that says `"again"`, another round. Each
    step may be the last of its process: the same steps later, here or on another machine with the same store, go on.

    Args:
        place: the answer store, see `open_store`.
        name: of what runs: who comes back under it goes on with the run that has not come to its end.
        run_id: the run, if it has an id of its own; then `name` says nothing.
        providers: a dag's own providers.
        prices: a dag's own prices, as `Dag.prices`.
        clock: where time comes from, for tests.

    Raises:
        StoreError: the store does not work.
    """

    def __init__(
        self,
        place: str | Path,
        *,
        name: str = "",
        run_id: str | None = None,
        providers: Mapping[str, ProviderFactory] | None = None,
        prices: PriceTable | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._place = place
        self._name = name
        self._providers = providers or {}
        self._prices = prices or PriceTable()
        self._clock = clock or SystemClock()
        self._waiting = 0
        self._open: list[OpenBatch] = []
        self._problem: str | None = None
        self._since = time.monotonic()
        self._work: _Work | None = None
        self.number = 1
        self.run_id = run_id or self._named_run()

    def line(self) -> str:
        """What is waited for, in one line."""
        shown = [f"{batch.id or batch.label} {batch.status} {batch.done}/{batch.requests}" for batch in self._open[:3]]
        more = f" and {len(self._open) - 3} more" if len(self._open) > 3 else ""
        seconds = int(time.monotonic() - self._since)
        problem = f"; {self._problem}" if self._problem else ""
        count = "1 batch" if len(self._open) == 1 else f"{len(self._open)} batches"
        return (
            f"after round {self.number}: {self._waiting} calls wait for {count} "
            f"({', '.join(shown)}{more}), {seconds // 60}:{seconds % 60:02} so far{problem}"
        )

    def start(self, *, hand_in: bool = False) -> None:
        """Brings home what has ended since the last process was here.

        Args:
            hand_in: whether to hand in first what an earlier round has left waiting, for who starts rounds elsewhere
                and does not see their end.
        """

        async def steps(desk: Desk, documents: Documents) -> None:
            await self._started(desk, documents, hand_in=hand_in)

        self._done(steps)

    def next(self, *, wait: bool = True) -> Literal["again", "done", "waiting"]:
        """Hands in what the round has left waiting, and waits until something has come of it.

        Args:
            wait: False: only hands it in.

        Returns:
            `"again"`: answers have come, and another round is due. `"done"`: nothing waits, and the run is over.
            `"waiting"`: something waits, and `wait` is False.

        Raises:
            CallError: a vendor takes no batch, and will not later.
            StoreError: the store does not work.
        """
        self._since = time.monotonic()

        async def steps(desk: Desk, documents: Documents) -> Literal["again", "done", "waiting"]:
            return await self._next(desk, documents, wait=wait)

        said = self._done(steps)
        self.number += said == "again"
        return said

    def stop(self) -> None:
        """Ends a `next` that waits in another thread, with `CancelledError` there."""
        if self._work is not None:
            self._work.cancel()

    def _done(self, steps: Callable[[Desk, Documents], Coroutine[Any, Any, T]]) -> T:
        self._work = work = _Work()
        try:
            return work.result(self._with_desk(steps))
        finally:
            self._work = None

    async def _started(self, desk: Desk, documents: Documents, *, hand_in: bool) -> None:
        entered = self._entered(documents)
        if hand_in and entered:
            await self._hand_in(desk, patient=False)
        if entered and (batches := desk.batches_with(entered)):
            await desk.collect(batches)

    async def _next(self, desk: Desk, documents: Documents, *, wait: bool) -> Literal["again", "done", "waiting"]:
        pause = _FIRST_POLL_SECONDS
        entered = self._entered(documents)
        if not entered:
            await self._end(desk, documents)
            return "done"
        self._waiting = len(entered)
        while True:
            self._open = desk.batches_with(entered)
            if not entered.issubset(key for batch in self._open for key in batch.keys):
                await self._hand_in(desk, patient=wait)
                self._open = desk.batches_with(entered)
            await desk.collect(self._open)
            if not entered.isdisjoint(documents.keys("replies")):
                return "again"
            self._open = desk.batches_with(entered)
            if not wait:
                return "waiting"
            await self._clock.sleep(pause)
            pause = min(pause * _SLOWER, _LONGEST_POLL_SECONDS)

    async def _hand_in(self, desk: Desk, *, patient: bool) -> None:
        """Sends what waits; where a vendor takes nothing at present, it is tried again with the next poll."""
        try:
            await desk.submit(self.run_id)
            self._problem = None
        except CallError as error:
            if not (patient and MEANING[error.error_class].retried):
                raise LLMDagError(f"a batch could not be handed in: {error}; what waits is in the store") from error
            self._problem = str(error)

    def _entered(self, documents: Documents) -> set[str]:
        """Custom ids of the calls of the run that wait for an answer."""
        known = ((key, PendingCall.read(text)) for key, text in documents.all("pending"))
        entered = {key for key, entry in known if entry is not None and entry.run_id == self.run_id}
        return entered - documents.keys("replies")

    async def _end(self, desk: Desk, documents: Documents) -> None:
        store = open_store(self._place)
        try:
            await desk.forget(self.run_id, store, self._prices)
        finally:
            await store.aclose()
        if self._name:
            documents.remove("runs", [self._name])

    def _named_run(self) -> str:
        """The id of the run that goes on under our name, or of a new one."""
        if not self._name:
            return uuid.uuid4().hex
        with open_documents(self._place) as documents:
            documents.add("runs", {self._name: json.dumps({"run_id": uuid.uuid4().hex})})
            known = documents.get("runs", self._name)
        run_id: str = json.loads(known or "{}")["run_id"]
        return run_id

    async def _with_desk(self, steps: Callable[[Desk, Documents], Coroutine[Any, Any, T]]) -> T:
        with open_documents(self._place) as documents:
            desk = Desk(documents, self._providers, self._clock)
            try:
                return await steps(desk, documents)
            except (LLMDagError, CallError):
                raise
            except Exception as error:
                raise LLMDagError(f"a batch API raised {told(error)}") from error
            finally:
                await desk.aclose()


class _Work:
    """Work on an event loop of its own, in a thread: who waits for it may have a loop that runs."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[Any] | None = None

    def cancel(self) -> None:
        """Ends it. Does nothing after its end."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._cancel)

    def result(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Waits for what comes of it; a Ctrl-C meanwhile cancels it."""
        ended: Future[T] = Future()
        thread = threading.Thread(target=self._serve, args=(coroutine, ended), name="llmdag-rounds", daemon=True)
        thread.start()
        try:
            while True:
                with suppress(TimeoutError):
                    return ended.result(_DEAF_SECONDS)
        except BaseException:
            self.cancel()
            raise
        finally:
            thread.join()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _serve(self, coroutine: Coroutine[Any, Any, T], ended: Future[T]) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:

            async def work() -> T:
                self._task = asyncio.current_task()
                return await coroutine

            try:
                ended.set_result(runner.run(work()))
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                ended.set_exception(error)
