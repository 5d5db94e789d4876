"""`Dag`: a graph that runs in this process."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from beam_llmdag.calls.options import CallOptions, lane_may_wait
from beam_llmdag.errors import GraphError
from beam_llmdag.graph.graph import Graph
from beam_llmdag.run.batched import BatchedRun
from beam_llmdag.run.diff import Diff, diff
from beam_llmdag.run.estimate import Estimate
from beam_llmdag.run.local import LocalRun, Streamed
from beam_llmdag.run.options import RunOptions, call_options, lane_of
from beam_llmdag.run.redrive import redrive_options, written_as
from beam_llmdag.run.report import Report
from beam_llmdag.run.sampled_run import estimated

__all__ = ["Dag"]


class Dag(Graph):
    """A graph of dimensions that runs: here with `run` and its like, in a Beam pipeline with `LLMDag(dag)`.

    Args:
        name, model, prices, providers: see `Graph`.

    Attributes:
        last_report: what the last run brought until it ended, also when it was interrupted; None before the first.
    """

    last_report: Report | None = None

    def run(self, items: Any, *, progress: bool | None = None, **options: Unpack[RunOptions]) -> Report:
        """Runs over items here and now, and waits for the end.

        With `lane="batch"`, of the run, a model or a dimension, requests go in vendors' batch APIs: for half the price,
        with an answer within a day. The run goes in rounds then: it goes as far as it can, hands in what waits, and
        goes on when answers have come, until all is answered. It may be stopped at any moment, and with `wait=False` it
        ends after one round: run again, also elsewhere with the same store, it goes on where it was.

        Args:
            items: texts, dicts with `content` (and `id`), `Item`s, an iterator of them, what `read_items` reads
                from files, or a pandas, polars or pyarrow table.
            progress: whether to show a line while it works; by default on a terminal.
            options: see `RunOptions`.

        Returns:
            A `Report` with `.items`, `.globals`, `.failures`, `.costs`.

        Raises:
            GraphError: the graph is wrong.
            InputError: the items are, before any call.
            StrictModeError: with `strict=True`, on the first failure.
            StoreError: the answer store does not work.
            LLMDagError: it was called inside a function of a dimension, or the thread that makes the calls was lost.
            KeyboardInterrupt: somebody pressed Ctrl-C. Calls are cancelled; what was paid is in the store, and what is
                finished in `last_report`.
        """
        run = self._run_of(options)
        try:
            run.run(items, progress=progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None  # without the lines of what waited for the calls
        finally:
            self.last_report = report = run.report()
        return report

    async def arun(self, items: Any, *, progress: bool | None = None, **options: Unpack[RunOptions]) -> Report:
        """`run` for a program whose event loop runs, a notebook for example. Cancelled, it cancels its calls."""
        run = self._run_of(options)
        try:
            await run.arun(items, progress=progress)
        finally:
            self.last_report = report = run.report()
        return report

    def stream(self, items: Any, **options: Unpack[RunOptions]) -> Iterator[Streamed]:
        """Each row as soon as it is finished, then the answers of globals; in bounded memory without globals.

        Args:
            items: as for `run`, or an iterator that need not end; it is read in a thread of its own. Ids are not
                looked at: two items with one id are two rows.
            options: see `RunOptions`.

        Yields:
            `Row`s of items (and of the new items of a regroup, which have `source_ids`), `Result`s of globals and
            regroups, `Failure`s of records that are no items.

        Raises:
            As `run`, but for `InputError`. Who stops reading early closes the iterator, and so cancels its calls.
        """
        return self._stream_of(options).stream(items)

    def astream(self, items: Any, **options: Unpack[RunOptions]) -> AsyncIterator[Streamed]:
        """`stream` for a program whose event loop runs; `items` may be an asynchronous iterator."""
        return self._stream_of(options).astream(items)

    def redrive(
        self,
        folder: str | os.PathLike[str],
        items: Any,
        *,
        progress: bool | None = None,
        **options: Unpack[RunOptions],
    ) -> Report:
        """Asks again what failed in the run that wrote a folder (see `Report.write`), and writes the folder anew.

        The run goes on under its own id: what it was answered is in the answer store, and only what failed is asked.
        What needs that, globals and new items among it, is made again; all other rows stay as they are, byte for byte.
        Earlier attempts stay on the bill.

        Args:
            folder: what `Report.write` or `llmdag run` wrote.
            items: the same as then.
            progress: see `run`.
            options: over those of the run, which its manifest says.

        Returns:
            The new report.

        Raises:
            InputError: the folder has no manifest.
            GraphError: it is of another dag, or of a run without an answer store.
            As `run`.
        """
        told = redrive_options(self, Path(folder), options)
        written = written_as(Path(folder))  # before anything is paid for
        calls = replace(call_options(told, local=True), goes_on=True)
        run = self._run_of(told, calls)
        try:
            run.run(items, progress=progress)
        finally:
            self.last_report = report = run.report()
        report.write(folder, **written)
        return report

    def estimate(self, items: Any, *, sample: int = 20, seed: int = 0, **options: Unpack[RunOptions]) -> Estimate:
        """What a run over `items` will cost: some of them, drawn by chance, are analysed for real, the rest is counted.

        The answers of the sample are kept in the store, so that the run itself does not pay for them again. What is
        asked again, falls back, is skipped or was in the store before counts as it does in the sample; items that ask
        what another asks cost nothing, where answers are kept.

        Args:
            items: as for `run`; all of them are looked at, and their first prompts built.
            sample: how many of them are analysed. With 0 nothing is asked: then only the prompts that need no answer
                are known, and the rest lies within bounds, which the estimate says.
            seed: of the draw.
            options: see `RunOptions`. A budget is of all estimates together that have a store in common.

        Returns:
            An `Estimate`; its text is a table by dimension and model, with dollars, their 95 % interval, and the time.

        Raises:
            As `run`.
        """
        return estimated(self, items, sample=sample, seed=seed, options=options)

    def diff(self, items: Any, **options: Unpack[RunOptions]) -> Diff:
        """What a run over `items` would ask, and what it would find in the answer store: no call is made.

        After a prompt, a model or a schema has changed it tells which dimensions of which items are asked again, and
        for how much; `llmdag store why` tells what differs.

        Args:
            items: as for `run`.
            options: see `RunOptions`.

        Returns:
            A `Diff`; its text is a table by dimension.

        Raises:
            As `run`, and GraphError if there is no store.
        """
        return diff(self, items, options)

    def _run_of(self, options: RunOptions, calls: CallOptions | None = None) -> LocalRun | BatchedRun:
        kind = BatchedRun if lane_may_wait(lane_of(options), self.models) else LocalRun
        return kind(self, options, calls=calls)

    def _stream_of(self, options: RunOptions) -> LocalRun:
        if lane_may_wait(lane_of(options), self.models):
            raise GraphError("a stream delivers each row once and cannot wait for batches: use run, or lane='direct'")
        return LocalRun(self, options)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "last_report"}
