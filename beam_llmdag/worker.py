"""What one process has once: an event loop, limits, stores, and a caller per run. Nothing of it survives a fork."""

from __future__ import annotations

import asyncio
import os
import random
import threading

from beam_llmdag.call import Caller
from beam_llmdag.limits import Limits
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
        self._lock = threading.Lock()
        self._stores: dict[str, SqliteStore] = {}
        self._callers: dict[str, Caller] = {}
        self._progress: dict[str, Progress] = {}
        threading.Thread(target=self.loop.run_forever, name="llmdag-calls", daemon=True).start()

    def caller(self, config: RunConfig) -> Caller:
        """The caller of a run, made on first use."""
        with self._lock:
            known = self._callers.get(config.run_id)
            if known is None:
                known = self._callers[config.run_id] = Caller(
                    providers=config.dag.providers,
                    prices=config.dag.prices,
                    store=None if config.store is None else self._store(config.store),
                    limits=self._limits,
                    retry=config.retry,
                    clock=config.clock,
                    rng=random.Random(),
                )
            return known

    def progress(self, run_id: str) -> Progress:
        """How far the part of a run that is in this process has come."""
        with self._lock:
            return self._progress.setdefault(run_id, Progress())

    def end_run(self, run_id: str) -> None:
        """Closes what a run had here for itself. For runs that end before their process does."""
        with self._lock:
            caller = self._callers.pop(run_id, None)
            self._progress.pop(run_id, None)
        if caller is not None:
            asyncio.run_coroutine_threadsafe(caller.aclose(), self.loop).result(_CLOSE_SECONDS)

    def _store(self, path: str) -> SqliteStore:
        return self._stores.setdefault(path, SqliteStore(path))


_worker: Worker | None = None
_worker_lock = threading.Lock()


def this_worker() -> Worker:
    """The process' own `Worker`; a forked process gets a new one."""
    global _worker
    with _worker_lock:
        if _worker is None or _worker.pid != os.getpid():
            _worker = Worker()
        return _worker
