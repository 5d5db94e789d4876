"""`dag.run`: items that a program has at hand in, a `Report` out."""

from __future__ import annotations

import uuid
from copy import copy
from pathlib import Path
from typing import Any

from beam_llmdag.clock import Clock
from beam_llmdag.dag import Dag
from beam_llmdag.dimension import Regroup
from beam_llmdag.errors import StrictModeError
from beam_llmdag.io.local import frame_kind, items_from
from beam_llmdag.item import Item
from beam_llmdag.plan import PlanKind
from beam_llmdag.report.frames import Given
from beam_llmdag.report.progress_line import ProgressLine
from beam_llmdag.report.report import Report
from beam_llmdag.result import Row
from beam_llmdag.retry import RetryPolicy
from beam_llmdag.transforms.in_process import REGROUPED, Outputs, run_in_process
from beam_llmdag.transforms.llm_dag import LLMDagHere
from beam_llmdag.worker import this_worker

__all__ = ["run_dag"]


def run_dag(
    dag: Dag,
    items: Any,
    *,
    plan: PlanKind = "pipelined",
    strict: bool = False,
    store: str | Path | bool | None = None,
    budget_usd: float | None = None,
    retry: RetryPolicy | None = None,
    most_in_flight: int = 1000,
    progress: bool | None = None,
    keep_prompts: bool = False,
    clock: Clock | None = None,
    id_field: str = "id",
    content_field: str = "content",
) -> Report:
    """Runs a dag over items in this process.

    Args:
        dag: the graph.
        items: texts, dicts, `Item`s, an iterator of them, or a pandas, polars or pyarrow table.
        plan, strict, store, budget_usd, retry, most_in_flight, keep_prompts, clock: see `LLMDag`.
        progress: whether to show a line while it works; by default on a terminal.
        id_field, content_field: names of these fields in dicts and tables.

    Returns:
        The results, items in the order given.

    Raises:
        GraphError: the graph is wrong.
        InputError: the items are, before any call.
        StrictModeError: with `strict=True`, on the first failure.
        LLMDagError: it was called inside a function of a dimension, or the thread that makes the calls was lost.
        KeyboardInterrupt: somebody pressed Ctrl-C.
    """
    dag = copy(dag)
    frame = items if frame_kind(items) else None
    found = items_from(items, id_field=id_field, content_field=content_field)
    run_id = uuid.uuid4().hex
    transform = LLMDagHere(
        dag,
        plan=plan,
        strict=strict,
        store=store,
        budget_usd=budget_usd,
        retry=retry,
        most_in_flight=most_in_flight,
        keep_prompts=keep_prompts,
        clock=clock,
        run_id=run_id,
    )
    worker = this_worker()
    state = worker.progress(run_id)
    try:
        with ProgressLine(state.line, progress):
            outputs = run_in_process(found, transform, run_id)
            return _report(dag, found, outputs, Given(frame, id_field, content_field))
    except RuntimeError:
        if state.stopped_by is not None:
            raise StrictModeError(state.stopped_by) from None
        worker.calls.check()
        raise
    finally:
        worker.forget(run_id)


def _report(dag: Dag, items: list[Item], outputs: Outputs, given: Given) -> Report:
    position = {item.id: index for index, item in enumerate(items)}
    steps = {name: index for index, name in enumerate(dag.steps)}

    def place(entry: Any) -> tuple[int, int, str]:
        return steps.get(entry.dimension, -1), position.get(entry.item_id, len(position)), entry.item_id

    return Report(
        dag,
        items=sorted(outputs.get("items", ()), key=lambda row: position[row.item.id]),
        globals_=sorted(outputs.get("globals", ()), key=place),
        failures=sorted(outputs.get("failures", ()), key=place),
        costs=sorted(outputs.get("costs", ()), key=lambda cost: (*place(cost), cost.attempt)),
        regrouped={
            name: sorted(outputs.get(f"{REGROUPED}{name}", ()), key=_row_id)
            for name, step in dag.steps.items()
            if isinstance(step, Regroup)
        },
        given=given,
    )


def _row_id(row: Row) -> str:
    return row.item.id
