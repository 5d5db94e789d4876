"""What a run would ask, and what it would find in the answer store: after a prompt, a model or a schema has changed."""

from __future__ import annotations

import html
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from beam_llmdag.calls.store.contents import open_contents
from beam_llmdag.errors import GraphError
from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.result import Result
from beam_llmdag.run.local import LocalRun
from beam_llmdag.run.options import RunOptions, call_options
from beam_llmdag.run.report import Report
from beam_llmdag.run.table import aligned

__all__ = ["Diff", "DiffLine", "diff"]

_NANO = 1e9
_NOT_ASKED = "over_budget"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLine:
    """What a run would do for one dimension.

    Attributes:
        dimension: its name.
        in_store: items (or groups) whose answers are in the store: they cost nothing.
        to_ask: those that would be asked now.
        waiting: those that need an answer that would have to be asked first, so that nobody knows their prompt yet.
        skipped: those that are not asked, or have failed for another reason.
        nano_usd: nano-dollars that `to_ask` will cost, if they cost as much each as the dimension's calls in the store
            did on average; None if it has none with a price.
    """

    dimension: str
    in_store: int = 0
    to_ask: int = 0
    waiting: int = 0
    skipped: int = 0
    nano_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """What a run would ask, by dimension in the order of the dag.

    Attributes:
        lines: the dimensions that ask models.
        report: what the run would find in the store: rows with the answers that are there.
    """

    lines: tuple[DiffLine, ...]
    report: Report

    @property
    def to_ask(self) -> int:
        """Items and groups that would be asked now, over all dimensions; those that wait for them come later."""
        return sum(line.to_ask for line in self.lines)

    def __repr__(self) -> str:
        rows = [("", "in store", "to ask", "waiting", "skipped", "cost $"), *map(_cells, self.lines)]
        return "\n".join([*aligned(rows), *self._notes()])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    def _notes(self) -> Iterator[str]:
        if not self.to_ask:
            yield "nothing would be asked"
        if any(line.waiting for line in self.lines):
            yield "what waits needs an answer that is not there; whether it is asked depends on that"
        if any(line.to_ask and line.nano_usd is None for line in self.lines):
            yield "unknown: the store has no priced call of that dimension; dag.estimate measures it"


def diff(graph: Graph, items: Any, options: RunOptions) -> Diff:
    """See `Dag.diff`."""
    known = call_options(options, local=True)
    if known.store is None:
        raise GraphError("there is no answer store to look into: name one with store=")
    run = LocalRun(graph, {**options, "strict": False}, calls=replace(known, budget_usd=0.0, lane="direct"))
    run.run(items, progress=False)
    report = run.report()
    paid = _paid(known.store)
    results = [*(result for row in _rows(report) for result in row.results.values()), *report.globals]
    lines = [_line(name, [r for r in results if r.dimension == name], paid) for name in _asking(graph)]
    return Diff(lines=tuple(lines), report=report)


def _rows(report: Report) -> Iterator[Any]:
    yield from report.items
    for rows in report.regrouped.values():
        yield from rows


def _asking(graph: Graph) -> list[str]:
    return [name for name, dimension in graph.dimensions.items() if not dimension.is_computed]


def _line(name: str, results: list[Result], paid: dict[str, float]) -> DiffLine:
    counts = Counter(map(_kind, results))
    cost = paid.get(name)
    return DiffLine(
        dimension=name,
        in_store=counts["in_store"],
        to_ask=counts["to_ask"],
        waiting=counts["waiting"],
        skipped=counts["skipped"],
        nano_usd=0.0 if not counts["to_ask"] else None if cost is None else cost * counts["to_ask"],
    )


def _kind(result: Result) -> str:
    if result.error_class == _NOT_ASKED:
        return "to_ask"
    if result.store_hit:
        return "in_store"
    waits = _NOT_ASKED in (result.reason or result.message or "")
    return "waiting" if waits else "skipped"


def _paid(place: str) -> dict[str, float]:
    """Dimension -> what an answer of it has cost on average, with the calls that were no good."""
    costs: defaultdict[str, list[int]] = defaultdict(list)
    answers: Counter[str] = Counter()
    with open_contents(place, make=True) as contents:
        for call in contents.calls():
            known = call.columns
            answers[known["dimension"]] += known["answer"] is not None
            if isinstance(known["cost_nano_usd"], int):
                costs[known["dimension"]].append(known["cost_nano_usd"])
    return {name: fmean(some) * len(some) / answers[name] for name, some in costs.items() if answers[name]}


def _cells(line: DiffLine) -> tuple[str, ...]:
    counts = (line.in_store, line.to_ask, line.waiting, line.skipped)
    cost = "unknown" if line.nano_usd is None else f"{line.nano_usd / _NANO:.6f}"
    return (line.dimension, *(f"{count:,}" for count in counts), cost)
