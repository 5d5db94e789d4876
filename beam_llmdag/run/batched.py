"""A run in this process that goes in rounds, because some of its calls wait for batches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from beam_llmdag.calls.batch.rounds import Rounds
from beam_llmdag.calls.options import CallOptions
from beam_llmdag.errors import GraphError
from beam_llmdag.graph.graph import Graph
from beam_llmdag.run.local import LocalRun
from beam_llmdag.run.options import RunOptions, call_options, check_settings
from beam_llmdag.run.progress_line import ProgressLine
from beam_llmdag.run.report import Report

__all__ = ["BatchedRun"]


class BatchedRun:
    """`LocalRun`, round by round, with the same items.

    Args:
        graph: what is run.
        options: what the user says.
        calls: how calls are made, where that is not what comes of the options.

    Raises:
        GraphError: the graph cannot run, or not as the user says.
        StoreError: the answer store does not work.
    """

    def __init__(self, graph: Graph, options: RunOptions, *, calls: CallOptions | None = None) -> None:
        check_settings(graph, options)
        calls = calls or call_options(options, local=True)
        if calls.store is None:
            raise GraphError("lane='batch' needs an answer store, where calls wait for their batch: name one in store=")
        self._round = LocalRun(graph, options, calls=calls)  # checks what there is to check before anything is written
        self._rounds = Rounds(
            calls.store,
            name=graph.name,
            run_id=options.get("run_id"),
            providers=graph.providers,
            prices=graph.prices,
            clock=calls.clock,
        )
        self._calls = replace(calls, run_id=self._rounds.run_id)
        self._graph = graph
        self._options = options
        self._wait = options.get("wait", True)

    def report(self) -> Report:
        """What the last round brought."""
        return self._round.report()

    def run(self, items: Any, *, progress: bool | None = None) -> None:
        """See `LocalRun.run`."""
        items = list(items) if isinstance(items, Iterator) else items
        self._rounds.start()
        while True:
            self._round = self._new_round()
            self._round.run(items, progress=progress)
            if not self._goes_on(progress):
                return

    async def arun(self, items: Any, *, progress: bool | None = None) -> None:
        """See `LocalRun.arun`."""
        items = list(items) if isinstance(items, Iterator) else items
        await asyncio.to_thread(self._rounds.start)
        while True:
            self._round = self._new_round()
            await self._round.arun(items, progress=progress)
            try:
                if not await asyncio.to_thread(self._goes_on, progress):
                    return
            except asyncio.CancelledError:
                self._rounds.stop()
                raise

    def _new_round(self) -> LocalRun:
        return LocalRun(self._graph, self._options, calls=self._calls)

    def _goes_on(self, progress: bool | None) -> bool:
        with ProgressLine(self._rounds.line, progress):
            return self._rounds.next(wait=self._wait) == "again"
