"""`dag.run` as in a user's script, which imports no SDK itself. For `benchmarks.whole_process`."""

from __future__ import annotations

from beam_llmdag import Item
from benchmarks.dags import make_dag
from benchmarks.graphs import items_of
from benchmarks.task import Outcome, Task, Watch

__all__ = ["run"]


def run(task: Task, watch: Watch) -> Outcome:
    """Runs the task."""
    report = make_dag(task).run([Item(item_id, content) for item_id, content in items_of(task)], store=False)
    complete = sum(all(result.status == "ok" for result in row.results.values()) for row in report.items)
    if complete:
        watch.item()
    return Outcome(complete)
