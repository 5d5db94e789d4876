"""Beam's own `RunInference` with `AnthropicModelHandler`, a step after the other, joined by `CoGroupByKey`.

With `with_exception_handling()`, so that a failed batch does not end the pipeline.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.ml.inference.anthropic_inference import AnthropicModelHandler, message_from_string
from apache_beam.ml.inference.base import KeyedModelHandler, PredictionResult, RunInference
from pydantic import ValidationError

from benchmarks.graphs import GRAPHS, Step, is_complete, items_of
from benchmarks.task import KEY_VARIABLE, MODEL, Outcome, Task, Watch

__all__ = ["run"]


def run(task: Task, watch: Watch) -> Outcome:
    """Runs the task."""
    os.environ["ANTHROPIC_BASE_URL"] = task.base_url or ""
    pipeline = beam.Pipeline(runner="FnApiRunner")
    items = pipeline | beam.Create(list(items_of(task)))
    found: dict[str, Any] = {}
    for step in GRAPHS[task.graph]:
        known = {"content": items, **{name: found[name] for name in (*step.needs, *_gate(step))}}
        joined = known | f"Join {step.name}" >> beam.CoGroupByKey()
        prompts = joined | f"Prompt {step.name}" >> beam.ParDo(_Prompt(step))
        answers, _failed = prompts | f"Ask {step.name}" >> RunInference(_handler(step)).with_exception_handling()
        found[step.name] = answers | f"Read {step.name}" >> beam.ParDo(_Read(step))
    rows = {"content": items, **found} | "Join" >> beam.CoGroupByKey()
    rows | "Count" >> beam.ParDo(_Count(GRAPHS[task.graph]))
    ended = pipeline.run()
    ended.wait_until_finish()
    counters = ended.metrics().query(MetricsFilter().with_namespace("benchmark"))["counters"]
    if counters:
        watch.item()
    return Outcome(sum(counter.committed for counter in counters))


def _gate(step: Step) -> tuple[str, ...]:
    gate = () if step.skipped_for is None else (step.skipped_for[0],)
    return tuple(name for name in gate if name not in step.needs)


def _handler(step: Step) -> Any:
    schema = {**step.output.model_json_schema(), "additionalProperties": False}
    handler = AnthropicModelHandler(
        model_name=MODEL,
        request_fn=message_from_string,
        api_key=os.environ[KEY_VARIABLE],
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    return KeyedModelHandler(handler)


def _answers(row: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: values[0] for name, values in row.items() if values and name != "content"}


class _Prompt(beam.DoFn):
    def __init__(self, step: Step) -> None:
        self._step = step

    def process(self, element: tuple[str, dict[str, list[Any]]]) -> Iterator[tuple[str, str]]:
        item_id, row = element
        if not self._step.is_skipped(_answers(row)):
            yield item_id, self._step.prompt(row["content"][0], _answers(row))


class _Read(beam.DoFn):
    def __init__(self, step: Step) -> None:
        self._step = step

    def process(self, element: tuple[str, PredictionResult]) -> Iterator[tuple[str, Any]]:
        item_id, result = element
        text = result.inference.content[0].text
        try:
            self._step.output.model_validate_json(text)
        except ValidationError:
            return
        yield item_id, json.loads(text)


class _Count(beam.DoFn):
    """Counts the items that have an answer for every step that was not skipped."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self._steps = steps

    def process(self, element: tuple[str, dict[str, list[Any]]]) -> None:
        if is_complete(self._steps, _answers(element[1])):
            Metrics.counter("benchmark", "complete").inc()
