"""A dag run in this process, its outputs collected in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from beam_llmdag.item import Item
from beam_llmdag.transforms.interrupt import short_interrupt
from beam_llmdag.transforms.llm_dag import LLMDag, Results

__all__ = ["Outputs", "run_in_process"]

Outputs = dict[str, list[Any]]
"""Name of an output -> its elements, in no order; the rows of a regroup are under `REGROUPED` and its name."""

REGROUPED = "regrouped "


def run_in_process(items: Sequence[Item], transform: LLMDag, run_id: str) -> Outputs:
    """Runs a dag on Beam's in-process runner and returns all that came out.

    Args:
        items: what goes in.
        transform: the dag.
        run_id: name of the run, of which there is one at a time.

    Raises:
        KeyboardInterrupt: somebody pressed Ctrl-C; calls in flight are cancelled.
        Exception: whatever the runner raises. Most of it is a `RuntimeError` with the original error as text.
    """
    run = _runs[run_id] = _Run(items)
    try:
        with short_interrupt():
            pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([]))
            elements = pipeline | "Start" >> beam.Create([run_id], reshuffle=False) | "Items" >> beam.ParDo(_Give())
            _collect(elements | transform, run_id)
            pipeline.run().wait_until_finish()
    finally:
        del _runs[run_id]
    return run.outputs


@dataclass(slots=True)
class _Run:
    """What goes in and what came out."""

    items: Sequence[Item]
    outputs: Outputs = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


_runs: dict[str, _Run] = {}
"""The DoFns of the in-process runner run in this process, so they can reach it. `beam.Create` would pickle and compress
all items again and again."""


class _Give(beam.DoFn):
    """Run → its items."""

    def process(self, run_id: str) -> Iterable[Item]:
        return _runs[run_id].items


class _Collect(beam.DoFn):
    def __init__(self, run_id: str, output: str) -> None:
        self._run_id = run_id
        self._output = output

    def process(self, element: Any) -> None:
        run = _runs[self._run_id]
        with run.lock:
            run.outputs.setdefault(self._output, []).append(element)


def _collect(results: Results, run_id: str) -> None:
    outputs = {
        "items": results.items,
        "globals": results.globals,
        "failures": results.failures,
        "costs": results.costs,
        **{f"{REGROUPED}{name}": rows for name, rows in results.regrouped.items()},
    }
    for name, elements in outputs.items():
        elements | f"Collect {name}" >> beam.ParDo(_Collect(run_id, name))
