"""The local engine: a graph over items in this process, without Beam.

The calls are made on the process' own loop, whoever asks: a script, a notebook with a running loop, a thread. So
clients, limits and stores are shared by all runs of a process.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from typing import Any

from beam_llmdag.calls.caller import Caller
from beam_llmdag.calls.in_flight import InFlight
from beam_llmdag.calls.options import CallOptions
from beam_llmdag.calls.progress import Progress
from beam_llmdag.calls.worker import Worker, this_worker
from beam_llmdag.errors import GraphError
from beam_llmdag.graph.dimension import Regroup
from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.admission import admitted
from beam_llmdag.records.bill import cost_rows, failure_of
from beam_llmdag.records.in_memory import frame_kind, items_from, records_of
from beam_llmdag.records.item import Item
from beam_llmdag.records.result import CostRow, Failure, Result, Row
from beam_llmdag.run.collected import Collected
from beam_llmdag.run.engine import Engine, Sink
from beam_llmdag.run.feed import Feed, Outbox
from beam_llmdag.run.given import Given
from beam_llmdag.run.manifest import RunFacts
from beam_llmdag.run.options import RunOptions, call_options, check_settings
from beam_llmdag.run.progress_line import ProgressLine
from beam_llmdag.run.report import Report

__all__ = ["LocalRun", "Streamed"]

Streamed = Row | Result | Failure
"""What a stream gives: a finished row, the answer of a global or the report of a regroup, a record that is no item."""

_DEAF_SECONDS = 0.5  # Python hears a Ctrl-C that comes at the very start of a wait only at its end
_BUFFERED = 256
"""Finished rows that wait for whoever reads a stream, and records that are read ahead."""


class LocalRun:
    """One run of a graph.

    Args:
        graph: what is run.
        options: what the user says.
        calls: how calls are made, where that is not what comes of the options.

    Raises:
        GraphError: the graph cannot run, or not as the user says.
    """

    def __init__(self, graph: Graph, options: RunOptions, *, calls: CallOptions | None = None) -> None:
        graph.validate()
        self._most_in_flight = options.get("most_in_flight", 1000)
        if self._most_in_flight < 1:
            raise GraphError(f"most_in_flight must be at least 1, not {self._most_in_flight}")
        check_settings(graph, options)
        self._graph = copy(graph)  # what is declared while it runs is no part of it
        self._options = calls or call_options(options, local=True)
        self._strict = options.get("strict", False)
        self._given = Given(None, options.get("id_field", "id"), options.get("content_field", "content"))
        self._progress = Progress()
        self._collected = Collected()
        self._order: dict[str, int] = {}
        self._started_at = time.time()

    def report(self) -> Report:
        """What is finished so far, items in the order given."""
        steps = {name: index for index, name in enumerate(self._graph.steps)}
        order = self._order

        def place(entry: Result | Failure | CostRow) -> tuple[int, int, str]:
            return steps.get(entry.dimension, -1), order.get(entry.item_id, len(order)), entry.item_id

        found = self._collected
        items = sorted(found.items, key=lambda row: order.get(row.item.id, len(order)))
        regroups = [name for name, step in self._graph.steps.items() if isinstance(step, Regroup)]
        regrouped = {name: sorted(found.regrouped.get(name, ()), key=_row_id) for name in regroups}
        rows = [*items, *(row for rows in regrouped.values() for row in rows)]
        results = [*(result for row in rows for result in row.results.values()), *found.globals]
        failures = [failure for result in results if (failure := failure_of(result)) is not None]
        costs = [cost for result in results for cost in cost_rows(result)]
        return Report(
            self._graph,
            items=items,
            globals_=sorted(found.globals, key=place),
            failures=sorted([*failures, *found.failures], key=place),
            costs=sorted(costs, key=lambda cost: (*place(cost), cost.number)),
            regrouped=regrouped,
            given=self._given,
            facts=RunFacts(
                calls=self._options,
                id_field=self._given.id_field,
                content_field=self._given.content_field,
                started_at=self._started_at,
            ),
        )

    def run(self, items: Any, *, progress: bool | None = None) -> None:
        """Runs over items that are at hand and waits for the end; `report` has what came of it.

        Args:
            items: see `items_from`.
            progress: whether to show a line while it works; by default on a terminal.

        Raises:
            InputError: the items are wrong, before any call.
        """
        known = self._known(items)
        with ProgressLine(self._progress.line, progress), self._entered() as (worker, caller):
            flight: InFlight[None, None] = InFlight(worker.calls)
            try:
                flight.submit(None, self._engine(caller, self._collected).run(_at_hand(known)))
                flight.wait()
                list(flight.ended())  # raises what ended it
            except BaseException:
                flight.cancel()
                raise

    async def arun(self, items: Any, *, progress: bool | None = None) -> None:
        """`run` for a program with a loop, which goes on meanwhile. Cancelled, it cancels its calls."""
        known = self._known(items)
        with ProgressLine(self._progress.line, progress):
            async with self._aentered() as (worker, caller):
                work = self._engine(caller, self._collected).run(_at_hand(known))
                ended = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, worker.calls.loop))
                try:
                    while not (await asyncio.wait([ended], timeout=_DEAF_SECONDS))[0]:
                        worker.calls.check()
                    ended.result()  # raises what ended it
                finally:
                    ended.cancel()

    def stream(self, items: Any) -> Iterator[Streamed]:
        """Rows as they are finished, then what globals answer. Closed, it cancels its calls.

        Args:
            items: as for `run`, or an iterator that need not end. It is read in a thread of its own.
        """
        some, records = threading.Event(), records_of(items, self._given.id_field)
        with self._entered() as (worker, caller):
            feed, box = Feed(worker.calls.loop, _BUFFERED), _Stream(worker.calls.loop, some.set)
            flight: InFlight[None, None] = InFlight(worker.calls)
            try:
                flight.submit(None, box.filled(self._engine(caller, box).run(self._items(feed))))
                feed.read(records)
                while not box.outbox.ended:
                    if not some.wait(_DEAF_SECONDS):
                        worker.calls.check()
                    some.clear()
                    yield from box.outbox.take()
            finally:
                feed.stop()
                flight.cancel()

    async def astream(self, items: Any) -> AsyncIterator[Streamed]:
        """`stream` for a program with a loop.

        Args:
            items: as for `stream`, or an asynchronous iterator.
        """
        some, here = asyncio.Event(), asyncio.get_running_loop()
        records = None if isinstance(items, AsyncIterable) else records_of(items, self._given.id_field)
        async with self._aentered() as (worker, caller):
            feed = Feed(worker.calls.loop, _BUFFERED)
            box = _Stream(worker.calls.loop, lambda: here.call_soon_threadsafe(some.set))
            work = box.filled(self._engine(caller, box).run(self._items(feed)))
            running = asyncio.run_coroutine_threadsafe(work, worker.calls.loop)
            pump = asyncio.create_task(feed.pump(aiter(items))) if records is None else None
            if records is not None:
                feed.read(records)
            try:
                while not box.outbox.ended:
                    try:
                        async with asyncio.timeout(_DEAF_SECONDS):
                            await some.wait()
                    except TimeoutError:
                        worker.calls.check()
                    some.clear()
                    for made in box.outbox.take():
                        yield made
            finally:
                feed.stop()
                running.cancel()
                if pump is not None:
                    pump.cancel()

    async def _items(self, feed: Feed) -> AsyncIterator[Item | Failure]:
        """The records of a feed as items, those that are none as failures."""
        async for record in feed.records():
            yield admitted(record, id_field=self._given.id_field, content_field=self._given.content_field)

    def _known(self, items: Any) -> list[Item | Failure]:
        given, refused = self._given, list[Failure]()
        is_frame = frame_kind(items) is not None
        self._given = given._replace(frame=items if is_frame else None)
        records = items if is_frame else _without_failures(records_of(items, given.id_field), refused)
        known = items_from(records, id_field=given.id_field, content_field=given.content_field)
        self._order = {item.id: index for index, item in enumerate(known)}
        return [*known, *refused]

    @contextmanager
    def _entered(self) -> Iterator[tuple[Worker, Caller]]:
        worker = this_worker()
        caller = worker.enter(self._options, self._graph, self._progress)
        try:
            yield worker, caller
        finally:
            worker.leave(self._options.run_id)

    @asynccontextmanager
    async def _aentered(self) -> AsyncIterator[tuple[Worker, Caller]]:
        worker = this_worker()
        caller = await asyncio.to_thread(worker.enter, self._options, self._graph, self._progress)
        try:
            yield worker, caller
        finally:  # returns when the last call has ended
            await asyncio.shield(asyncio.to_thread(worker.leave, self._options.run_id))

    def _engine(self, caller: Caller, sink: Sink) -> Engine:
        plan = self._graph.plan("pipelined")
        return Engine(self._graph, plan, caller, sink, most_in_flight=self._most_in_flight, strict=self._strict)


def _row_id(row: Row) -> str:
    return row.item.id


def _without_failures(records: Iterable[Any], refused: list[Failure]) -> Iterator[Any]:
    """The records but for those of which `read_items` says that they are none: they are added to `refused`."""
    for record in records:
        if isinstance(record, Failure):
            refused.append(record)
        else:
            yield record


async def _at_hand(items: Sequence[Item | Failure]) -> AsyncIterator[Item | Failure]:
    for item in items:
        yield item


class _Stream:
    """A `Sink` for whoever reads a stream elsewhere."""

    def __init__(self, loop: asyncio.AbstractEventLoop, notify: Callable[[], object]) -> None:
        self.outbox: Outbox[Streamed] = Outbox(loop, _BUFFERED, notify)

    async def filled(self, work: Coroutine[Any, Any, None]) -> None:
        """Does the work whose results go here, and says when no more will come."""
        try:
            await work
        except GeneratorExit:  # the loop is gone, and nobody reads
            raise
        except BaseException as error:  # raised where the stream is read
            self.outbox.close(error)
            if not isinstance(error, Exception):
                raise
        else:
            self.outbox.close()

    async def row(self, _: str | None, row: Row) -> None:
        await self.outbox.put(row)

    async def answer(self, result: Result) -> None:
        await self.outbox.put(result)

    async def failure(self, failure: Failure) -> None:
        await self.outbox.put(failure)
