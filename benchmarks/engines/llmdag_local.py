"""The library in this process, without Beam: rows as they are finished."""

from __future__ import annotations

import genai_prices  # noqa: F401 - all imports before the clock starts

import beam_llmdag.providers.anthropic  # noqa: F401
from beam_llmdag import Item
from beam_llmdag.records.result import Row
from benchmarks.dags import Canned, make_dag
from benchmarks.graphs import items_of
from benchmarks.task import Outcome, Task, Watch

__all__ = ["run"]


def run(task: Task, watch: Watch) -> Outcome:
    """Runs the task as a stream."""
    items = [Item(item_id, content) for item_id, content in items_of(task)]
    complete = 0
    for made in make_dag(task).stream(items, store=task.store or False):
        if isinstance(made, Row) and all(result.status in ("ok", "skipped") for result in made.results.values()):
            complete += 1
            watch.item()
    return Outcome(complete, None if task.base_url else Canned.calls)
