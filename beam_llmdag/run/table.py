"""A summary as a short table of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["aligned", "summary_table"]

_HEAD = ("", "items", "calls", "skipped", "failed", "tokens in", "tokens out", "cost $")


def summary_table(summary: Mapping[str, Any]) -> str:
    """The table of what `Summary.to_json` says."""
    dimensions = [_cells(name, total) for name, total in summary["by_dimension"].items()]
    models = [_cells(name, total) for name, total in summary["by_model"].items()]
    lines = aligned([_HEAD, *dimensions, *models, _cells("total", summary)])
    rule = "─" * max(map(len, lines))
    ended = 1 + len(dimensions)
    table = [lines[0], rule, *lines[1:ended], rule, *lines[ended:-1], *([rule] if models else []), lines[-1]]
    for name, total in summary["by_dimension"].items():
        if total["left_out"]:
            table.append(f"{name} did not see {total['left_out']:,} of its rows: they lack answers that it needs")
    if summary["pending"]:
        table.append(f"{summary['pending']:,} results are pending: they wait for a batch, or for another that does")
    if summary["store_hits"]:
        table.append(f"{summary['store_hits']} answers came from the store and cost nothing")
    if not summary["cost_is_complete"]:
        unknown = ", ".join(summary["unpriced_models"])
        table.append(f"the cost is a lower bound: {summary['unpriced_calls']} calls of {unknown} have no known cost")
    return "\n".join(table)


def _cells(name: str, total: Mapping[str, Any]) -> tuple[str, ...]:
    tokens = total["tokens"]
    counts = (total["items"], total["calls"], total["skipped"], total["failed"], tokens["input"], tokens["output"])
    bound = "≥ " if total["unpriced_calls"] else ""
    return (name, *(f"{count:,}" for count in counts), f"{bound}{total['cost_usd']:.6f}")


def aligned(rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Rows of cells as lines of text, the first `left` columns to the left and the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
