"""A dag run in this process, its outputs collected in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from beam_llmdag.item import Item
from beam_llmdag.transforms.llm_dag import LLMDag, Results

__all__ = ["Outputs", "run_in_process"]

Outputs = dict[str, list[Any]]
"""Name of an output -> its elements, in no order; the rows of a regroup are under `REGROUPED` and its name."""

REGROUPED = "regrouped "


def run_in_process(items: Sequence[Item], transform: LLMDag) -> Outputs:
    """Runs a dag on Beam's in-process runner and returns all that came out.

    Args:
        items: what goes in.
        transform: the dag.

    Raises:
        Exception: whatever the runner raises. Most of it is a `RuntimeError` with the original error as text.
    """
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([]))
    elements = pipeline | "Create" >> beam.Create(items, reshuffle=False).with_output_types(Item)
    _collect(elements | transform, transform.run_id)
    try:
        pipeline.run().wait_until_finish()
        return _collected.get(transform.run_id, {})
    finally:
        _collected.pop(transform.run_id, None)


_collected: dict[str, Outputs] = {}
"""Run -> outputs: the DoFns of the in-process runner run in this process, so they can fill it."""

_lock = threading.Lock()


class _Collect(beam.DoFn):
    def __init__(self, run_id: str, output: str) -> None:
        self._run_id = run_id
        self._output = output

    def process(self, element: Any) -> None:
        with _lock:
            _collected.setdefault(self._run_id, {}).setdefault(self._output, []).append(element)


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
