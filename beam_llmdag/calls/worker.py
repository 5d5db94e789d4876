"""What one process has once: an event loop, limits, stores, and a caller per run. Nothing of it survives a fork."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
from dataclasses import dataclass

from beam_llmdag.calls.call_thread import CallThread, is_call_thread
from beam_llmdag.calls.caller import Caller
from beam_llmdag.calls.collector import SparedCollector, uncollected
from beam_llmdag.calls.limits import Limits
from beam_llmdag.calls.limits.budget import Budget, Budgets, ProcessBudget, RunBudget
from beam_llmdag.calls.limits.shared import SharedLimits
from beam_llmdag.calls.options import CallOptions, Declared
from beam_llmdag.calls.progress import Progress
from beam_llmdag.calls.store.answers import AnswerStore
from beam_llmdag.calls.store.place import open_store
from beam_llmdag.calls.watch import NO_WATCH, Watch
from beam_llmdag.errors import LLMDagError
from beam_llmdag.providers.base import find_provider

__all__ = ["Worker", "this_worker"]

_log = logging.getLogger(__name__)

_CLOSE_SECONDS = 30.0
_PATIENCE_SECONDS = 2.0  # with a loop that another run blocks


class Worker:
    """The shared parts of a process. All DoFns of it make their calls on the thread `calls`."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.calls = CallThread()
        self._limits = Limits()
        self._reported_seconds = 0.0
        self._lock = threading.Lock()
        self._stores: dict[str, AnswerStore] = {}
        self._shared: dict[str, SharedLimits] = {}
        self._runs: dict[str, _Run] = {}
        self._collector = SparedCollector()

    def enter(self, options: CallOptions, declared: Declared, watch: Watch = NO_WATCH) -> Caller:
        """The caller of a run, made for the first who asks. Who is done with it calls `leave`.

        Args:
            watch: is told how the calls of the run go on, if it is the first.
        """
        _import_providers(declared)
        with self._lock:
            run = self._runs.get(options.run_id)
            if run is None:
                if not self._runs:
                    self._collector.spare()
                store = None if options.store is None else self._store(options.store)
                caller = Caller(
                    providers=declared.providers,
                    prices=declared.prices,
                    budget=_budget(options, declared, store),
                    store=store,
                    limits=self._limits,
                    retry=options.retry,
                    clock=options.clock,
                    rng=random.Random(),
                    run_id=options.run_id,
                    dimensions=tuple(declared.dimensions),
                    workers=options.workers,
                    shared=None if options.shared_limits is None else self._shared_limits(options.shared_limits),
                    keep_prompts=options.keep_prompts,
                    lane=options.lane,
                    batch_retries=options.batch_retries,
                    deadline=options.deadline,
                    in_rounds=options.goes_on or options.may_wait(declared.models),
                    watch=watch,
                )
                run = self._runs[options.run_id] = _Run(caller, options.store)
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
                self._collector.restore()
            shared = any(other.store == run.store for other in self._runs.values())
            store = None if run.store is None or shared else self._stores.pop(run.store)
        if not self.calls.finish(_close(run.caller, store), _CLOSE_SECONDS):
            _log.warning("clients of a run were not closed: the thread that makes the calls has ended, or stands still")

    def throttled_seconds(self) -> int:
        """Whole seconds in which limits held calls back and that nobody has been told of yet."""
        with self._lock:
            seconds = int(self._limits.throttled_seconds - self._reported_seconds + 1e-6)  # sums of floats
            self._reported_seconds += seconds
            return seconds

    def progress(self, run_id: str) -> Progress:
        """How far the part of a run that is in this process has come: a `Watch` for `enter`."""
        return _progress.setdefault(run_id, Progress())

    def forget(self, run_id: str) -> None:
        """Drops the progress of a run that has ended."""
        _progress.pop(run_id, None)

    def _shared_limits(self, url: str) -> SharedLimits:
        from beam_llmdag.calls.limits.redis import RedisLimits  # its client is an extra

        found = self._shared.get(url)
        if found is None:
            found = self._shared[url] = RedisLimits(url)
        return found

    def _store(self, place: str) -> AnswerStore:
        return self._stores.setdefault(place, open_store(place))


@dataclass(slots=True)
class _Run:
    """What one run has in a process for itself, the place of its store, and how many use it."""

    caller: Caller
    store: str | None
    users: int = 0


def _import_providers(declared: Declared) -> None:
    """Imports what the models need on the thread of who enters: an SDK takes a second, in which no call would go on."""
    with uncollected():
        for name in {model.provider for model in declared.models}:
            # whatever is wrong is told for the calls of that model
            with contextlib.suppress(Exception):
                find_provider(name, declared.providers)


def _budget(options: CallOptions, declared: Declared, store: AnswerStore | None) -> Budget | None:
    """Where processes share a store, a budget is of all of them; else each has one."""

    def made(usd: float, whose: str) -> Budget:
        if store is None:
            return ProcessBudget(usd, f"{whose} in this process")
        return RunBudget(usd, f"{options.run_id} {whose}", store.draw, whose)

    usd = options.budget_usd
    run: Budget | None = None
    if usd is not None:
        run = ProcessBudget(usd) if store is None else RunBudget(usd, options.run_id, store.draw)
    if not declared.dimension_budgets and all(model.budget_usd is None for model in declared.models):
        return run
    return Budgets(run, declared.dimension_budgets, made)


async def _close(caller: Caller, store: AnswerStore | None) -> None:
    await caller.aclose()
    if store is not None:
        await store.aclose()


_worker: Worker | None = None
_worker_lock = threading.Lock()
_progress: dict[str, Progress] = {}
"""Of the process, whichever `Worker` a run began with."""


def this_worker() -> Worker:
    """The process' own `Worker`; a forked process gets a new one, and so does who comes when its thread is lost.

    Raises:
        LLMDagError: it is the thread of the calls that asks, and would wait for itself.
    """
    global _worker
    if is_call_thread():
        raise LLMDagError(
            "dag.run, or a pipeline with LLMDag, was called inside a function of a dimension, and would wait for the "
            "thread it stands on: ask in a dimension of its own, and name that as a parameter"
        )
    with _worker_lock:
        worker = _worker
        if worker is None or worker.pid != os.getpid():
            worker = _worker = Worker()
        elif not worker.calls.turns_within(_PATIENCE_SECONDS):
            if worker.calls.lives:
                _log.warning(
                    "a new thread makes the calls of this run: the one there is stands %s", worker.calls.place()
                )
            worker = _worker = Worker()
        return worker
