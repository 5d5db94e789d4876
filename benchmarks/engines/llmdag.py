"""The library itself: `LLMDag` on Beam's in-process runner, or on two worker processes of this machine."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import apache_beam as beam
import genai_prices  # noqa: F401 - all imports before the clock starts
from apache_beam.metrics.metric import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

import beam_llmdag.providers.anthropic  # noqa: F401
from beam_llmdag import Item, LLMDag
from beam_llmdag.records.result import Row
from benchmarks.dags import Canned, make_dag
from benchmarks.graphs import items_of
from benchmarks.measure import resident_mb, worker_file
from benchmarks.task import Outcome, Task, Watch

__all__ = ["run"]


def run(task: Task, watch: Watch) -> Outcome:
    """Runs the task as a pipeline."""
    pipeline = beam.Pipeline(runner="FnApiRunner", options=PipelineOptions(_options(task)))
    items = pipeline | beam.Create([task]) | "Items" >> beam.ParDo(_Give(task.folder))
    results = items | LLMDag(make_dag(task), plan=task.plan or "auto", store=task.store or False)
    results.items | "Count" >> beam.ParDo(_Count(task.folder, task.workers))
    ended = pipeline.run()
    ended.wait_until_finish()
    found = ended.metrics().query(MetricsFilter().with_namespace("benchmark"))
    firsts = [found["distributions"][0].committed.min] if found["distributions"] else []
    if firsts:
        watch.item(firsts[0] / 1000)
    complete = sum(counter.committed for counter in found["counters"])
    return Outcome(complete, None if task.base_url else Canned.calls)


def _options(task: Task) -> list[str]:
    if task.workers == 1:
        return []
    return [f"--direct_num_workers={task.workers}", "--direct_running_mode=multi_processing"]


class _Give(beam.DoFn):
    """Task → its items. Notes the CPU time with which a worker process begins."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def setup(self) -> None:
        _cpu_at_start.setdefault(os.getpid(), time.process_time())

    def process(self, task: Task) -> Iterator[Item]:
        for item_id, content in items_of(task):
            yield Item(item_id, content)


_cpu_at_start: dict[int, float] = {}


class _Count(beam.DoFn):
    """Counts complete rows, and notes when the first of a bundle came and what a worker process has used."""

    def __init__(self, folder: str, workers: int) -> None:
        self._folder = folder
        self._workers = workers

    def setup(self) -> None:
        _cpu_at_start.setdefault(os.getpid(), time.process_time())

    def start_bundle(self) -> None:
        self._complete = 0
        self._first = 0.0

    def process(self, row: Row) -> None:
        if all(result.status in ("ok", "skipped") for result in row.results.values()):
            self._complete += 1
            self._first = self._first or time.time()

    def finish_bundle(self) -> None:
        if self._complete:
            Metrics.counter("benchmark", "complete").inc(self._complete)
            Metrics.distribution("benchmark", "first_ms").update(int(self._first * 1000))
        if self._workers > 1:
            used = time.process_time() - _cpu_at_start[os.getpid()]
            left = {"cpu_s": used, "peak_rss_mb": resident_mb("VmHWM")}
            worker_file(self._folder, os.getpid()).write_text(json.dumps(left))
