"""What one process has once: an event loop, limits, stores, and a caller per run. Nothing of it survives a fork."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
from dataclasses import dataclass

from beam_llmdag.budget import Budget
from beam_llmdag.call import Caller
from beam_llmdag.limits import Limits
from beam_llmdag.limits.shared import SharedLimits
from beam_llmdag.progress import Progress
from beam_llmdag.run_config import RunConfig
from beam_llmdag.sqlite_store import SqliteStore

__all__ = ["Worker", "this_worker"]

_CLOSE_SECONDS = 30.0


class Worker:
    """The shared parts of a process. All DoFns of it make their calls on `loop`."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._limits = Limits()
        self._reported_seconds = 0.0
        self._lock = threading.Lock()
        self._stores: dict[str, SqliteStore] = {}
        self._shared: dict[str, SharedLimits] = {}
        self._runs: dict[str, _Run] = {}
        self._progress: dict[str, Progress] = {}
        self._froze = False
        threading.Thread(target=self.loop.run_forever, name="llmdag-calls", daemon=True).start()

    def enter(self, config: RunConfig) -> Caller:
        """The caller of a run, made for the first who asks. Who is done with it calls `leave`."""
        with self._lock:
            run = self._runs.get(config.run_id)
            if run is None:
                if not self._runs:
                    self._spare_collector()
                caller = Caller(
                    providers=config.dag.providers,
                    prices=config.dag.prices,
                    budget=Budget(config.budget_usd),
                    store=None if config.store is None else self._store(config.store),
                    limits=self._limits,
                    retry=config.retry,
                    clock=config.clock,
                    rng=random.Random(),
                    run_id=config.run_id,
                    dimensions=config.dag.dimensions,
                    workers=config.workers,
                    shared=None if config.shared_limits is None else self._shared_limits(config.shared_limits),
                    keep_prompts=config.keep_prompts,
                )
                run = self._runs[config.run_id] = _Run(caller, config.store)
            run.users += 1
            return run.caller

    def leave(self, run_id: str) -> None:
        """Closes what a run has here for itself when the last who entered has left."""
        with self._lock:
            run = self._runs.get(run_id)
            if run is None:
                return
            run.users -= 1
            if run.users > 0:
                return
            del self._runs[run_id]
            if not self._runs:  # the next run may have other limits
                self._limits, self._reported_seconds = Limits(), 0.0
                if self._froze:
                    gc.unfreeze()
            shared = any(other.store == run.store for other in self._runs.values())
            store = None if run.store is None or shared else self._stores.pop(run.store)
        asyncio.run_coroutine_threadsafe(_close(run.caller, store), self.loop).result(_CLOSE_SECONDS)

    def throttled_seconds(self) -> int:
        """Whole seconds in which limits held calls back and that nobody has been told of yet."""
        with self._lock:
            seconds = int(self._limits.throttled_seconds - self._reported_seconds + 1e-6)  # sums of floats
            self._reported_seconds += seconds
            return seconds

    def progress(self, run_id: str) -> Progress:
        """How far the part of a run that is in this process has come."""
        with self._lock:
            return self._progress.setdefault(run_id, Progress())

    def forget(self, run_id: str) -> None:
        """Drops the progress of a run that has ended."""
        with self._lock:
            self._progress.pop(run_id, None)

    def _spare_collector(self) -> None:
        """Until the last run has ended, Python does not search again and again for garbage in what was there before.

        That took a tenth of the time of calls that are answered at once.
        """
        self._froze = gc.get_freeze_count() == 0  # else the user has done so, and knows until when
        if self._froze:
            gc.freeze()

    def _shared_limits(self, url: str) -> SharedLimits:
        from beam_llmdag.limits.redis import RedisLimits  # its client is an extra

        found = self._shared.get(url)
        if found is None:
            found = self._shared[url] = RedisLimits(url)
        return found

    def _store(self, path: str) -> SqliteStore:
        return self._stores.setdefault(path, SqliteStore(path))


@dataclass(slots=True)
class _Run:
    """What one run has in a process for itself, the file of its store, and how many use it."""

    caller: Caller
    store: str | None
    users: int = 0


async def _close(caller: Caller, store: SqliteStore | None) -> None:
    await caller.aclose()
    if store is not None:
        await store.aclose()


_worker: Worker | None = None
_worker_lock = threading.Lock()


def this_worker() -> Worker:
    """The process' own `Worker`; a forked process gets a new one."""
    global _worker
    with _worker_lock:
        if _worker is None or _worker.pid != os.getpid():
            _worker = Worker()
        return _worker
