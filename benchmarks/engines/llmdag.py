"""The library itself: `LLMDag` on Beam's in-process runner, or on two worker processes of this machine."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import apache_beam as beam
import genai_prices  # noqa: F401 - all imports before the clock starts
from apache_beam.metrics.metric import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

import beam_llmdag.providers.anthropic  # noqa: F401
from beam_llmdag import Dag, Item, LLMDag, Model
from beam_llmdag.model import Answer, Request, WireSchema
from beam_llmdag.providers.prices import Price
from beam_llmdag.records.result import Row
from beam_llmdag.usage import Usage
from benchmarks.graphs import GRAPHS, canned_answer, items_of
from benchmarks.measure import resident_mb, worker_file
from benchmarks.task import KEY_VARIABLE, MODEL, Outcome, Task, Watch
from pipelines.category_analysis import category_dag
from pipelines.models import Models
from pipelines.review_analysis import review_dag

__all__ = ["Canned", "run"]


class Canned:
    """A provider in this process: a known answer after some time, and a count of all calls."""

    calls = 0
    default_in_flight = 100

    def __init__(self, _model: Model, *, latency_seconds: float) -> None:
        self._latency_seconds = latency_seconds

    def wire_schema(self, schema: Mapping[str, Any]) -> WireSchema:
        """The schema as it is."""
        return WireSchema(schema=schema)

    def key(self) -> str | None:
        """None: there is no secret."""
        return None

    async def answer(self, request: Request) -> Answer:
        """The answer of the step that asks."""
        Canned.calls += 1
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        text, _ = canned_answer(str(request.messages[-1].content))
        return Answer(text=text, usage=Usage(input_tokens=60, output_tokens=15), model_name="canned")

    async def aclose(self) -> None:
        """There is nothing to close."""


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


def make_dag(task: Task) -> Dag:
    """The task's graph."""
    model = _model(task)
    if task.graph == "reviews":
        return review_dag(Models(first=model, main=model))
    if task.graph == "categories":
        return category_dag(Models(first=model, main=model))
    factory = partial(Canned, latency_seconds=task.latency_seconds)
    dag = Dag("bench", model=model, providers={"canned": factory}, prices={"canned:x": Price(input=1, output=5)})
    functions = {"single": _SINGLE, "branches": _BRANCHES, "chain": _CHAIN}[task.graph]
    for step, function in zip(GRAPHS[task.graph], functions, strict=True):
        dag.dimension(function, name=step.name, output=step.output)
    return dag


def _model(task: Task) -> Model:
    limits: dict[str, Any] = {"max_in_flight": task.in_flight, "requests_per_minute": task.requests_per_minute}
    if task.base_url is None:
        return Model("canned:x", **limits)
    return Model(f"anthropic:{MODEL}", base_url=task.base_url, api_key_env=KEY_VARIABLE, **limits)


def _sentiment(item: Item) -> str:
    return GRAPHS["single"][0].template.format(content=item.content)


def _topics(item: Item) -> str:
    return GRAPHS["branches"][1].template.format(content=item.content)


def _summary(item: Item, sentiment: Any, topics: Any) -> str:
    known = {"sentiment": sentiment.model_dump(), "topics": topics.model_dump()}
    return GRAPHS["branches"][2].template.format(content=item.content, **known)


def _chain_topics(item: Item, sentiment: Any) -> str:
    return GRAPHS["chain"][1].template.format(content=item.content, sentiment=sentiment.model_dump())


def _chain_summary(item: Item, topics: Any) -> str:
    return GRAPHS["chain"][2].template.format(content=item.content, topics=topics.model_dump())


_SINGLE = (_sentiment,)
_BRANCHES = (_sentiment, _topics, _summary)
_CHAIN = (_sentiment, _chain_topics, _chain_summary)


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
