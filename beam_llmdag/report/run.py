"""`dag.run`: a pipeline on Beam's in-process runner, its outputs collected in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_llmdag.clock import Clock
from beam_llmdag.dag import Dag
from beam_llmdag.errors import StrictModeError
from beam_llmdag.io.local import items_from
from beam_llmdag.item import Item
from beam_llmdag.plan import PlanKind
from beam_llmdag.report.progress_line import ProgressLine
from beam_llmdag.report.report import Report
from beam_llmdag.result import Row
from beam_llmdag.retry import RetryPolicy
from beam_llmdag.transforms.llm_dag import LLMDag, Results
from beam_llmdag.worker import this_worker

__all__ = ["run_dag"]


def run_dag(
    dag: Dag,
    items: Any,
    *,
    plan: PlanKind = "pipelined",
    strict: bool = False,
    store: str | Path | bool | None = None,
    retry: RetryPolicy | None = None,
    most_in_flight: int = 1000,
    progress: bool | None = None,
    clock: Clock | None = None,
    id_field: str = "id",
    content_field: str = "content",
) -> Report:
    """Runs a dag over items in this process.

    Args:
        dag: the graph.
        items: texts, dicts, `Item`s, an iterator of them, or a pandas, polars or pyarrow table.
        plan, strict, store, retry, most_in_flight, clock: see `LLMDag`.
        progress: whether to show a line while it works; by default on a terminal.
        id_field, content_field: names of these fields in dicts and tables.

    Returns:
        The results, items in the order given.

    Raises:
        GraphError: the graph is wrong.
        InputError: the items are, before any call.
        StrictModeError: with `strict=True`, on the first failure.
    """
    found = items_from(items, id_field=id_field, content_field=content_field)
    transform = LLMDag(
        dag, plan=plan, strict=strict, store=store, retry=retry, most_in_flight=most_in_flight, clock=clock
    )
    state = this_worker().progress(transform.run_id)
    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([]))
    results = pipeline | "Create" >> beam.Create(found, reshuffle=False).with_output_types(Item) | transform
    try:
        _collect(results, transform.run_id)
        with ProgressLine(state.line, progress):
            pipeline.run().wait_until_finish()
        return _report(dag, found, _COLLECTED.get(transform.run_id, {}))
    except Exception as error:
        if state.stopped_by is not None:
            raise StrictModeError(state.stopped_by) from error
        raise
    finally:
        _COLLECTED.pop(transform.run_id, None)
        this_worker().end_run(transform.run_id)


_COLLECTED: dict[str, dict[str, list[Any]]] = {}
"""Run -> output -> elements: the in-process runner's DoFns run in this process, so they can fill it."""

_lock = threading.Lock()


class _Collect(beam.DoFn):
    def __init__(self, run_id: str, output: str) -> None:
        self._run_id = run_id
        self._output = output

    def process(self, element: Any) -> Iterator[Any]:
        with _lock:
            _COLLECTED.setdefault(self._run_id, {}).setdefault(self._output, []).append(element)
        return iter(())


def _collect(results: Results, run_id: str) -> None:
    outputs = {
        "items": results.items,
        "globals": results.globals,
        "failures": results.failures,
        "costs": results.costs,
        **{f"regrouped {name}": rows for name, rows in results.regrouped.items()},
    }
    for name, elements in outputs.items():
        elements | f"Collect {name}" >> beam.ParDo(_Collect(run_id, name))


def _report(dag: Dag, items: list[Item], collected: dict[str, list[Any]]) -> Report:
    position = {item.id: index for index, item in enumerate(items)}
    steps = {name: index for index, name in enumerate(dag.steps)}

    def place(entry: Any) -> tuple[int, int, str]:
        return steps.get(entry.dimension, -1), position.get(entry.item_id, len(position)), entry.item_id

    regrouped = {
        name.removeprefix("regrouped "): sorted(rows, key=_row_id) for name, rows in collected.items() if name.startswith("regrouped ")
    }
    return Report(
        dag,
        items=sorted(collected.get("items", ()), key=lambda row: position[row.item.id]),
        globals_=sorted(collected.get("globals", ()), key=place),
        failures=sorted(collected.get("failures", ()), key=place),
        costs=sorted(collected.get("costs", ()), key=lambda cost: (*place(cost), cost.attempt)),
        regrouped=regrouped,
    )


def _row_id(row: Row) -> str:
    return row.item.id
