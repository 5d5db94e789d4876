"""The graphs of the benchmark as the library declares them. Without Beam, which a run in this process does not load."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from beam_llmdag import Dag, Item, Model, Price
from beam_llmdag.model import Answer, Request, WireSchema
from beam_llmdag.usage import Usage
from benchmarks.graphs import GRAPHS, canned_answer
from benchmarks.task import KEY_VARIABLE, MODEL, Task

__all__ = ["Canned", "make_dag"]


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


def make_dag(task: Task) -> Dag:
    """The task's graph."""
    model = _model(task)
    if task.graph in ("reviews", "categories"):
        return _of_the_pipelines(task, model)
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


def _of_the_pipelines(task: Task, model: Model) -> Dag:
    from pipelines.category_analysis import category_dag  # these load Beam
    from pipelines.models import Models
    from pipelines.review_analysis import review_dag

    models = Models(first=model, main=model)
    return review_dag(models) if task.graph == "reviews" else category_dag(models)
