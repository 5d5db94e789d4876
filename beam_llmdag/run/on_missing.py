"""What `on_missing` means: what becomes of a dimension when an answer that it needs is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from beam_llmdag.errors import CallError
from beam_llmdag.graph.dimension import Dimension
from beam_llmdag.records.result import Result, Row
from beam_llmdag.run.missing import missing_reason
from beam_llmdag.run.user_code import Failed, Pending, Skipped
from beam_llmdag.telling import listed

__all__ = ["check_dependencies", "check_left_out", "check_pending", "complete_rows", "rows_to_see"]


def check_pending(names: Sequence[str], *results: Mapping[str, Result]) -> None:
    """Ends what needs an answer that is not known yet: it is not missing, and so `on_missing` has no say.

    Args:
        names: what is needed.
        results: of one row each.

    Raises:
        Pending: one of them waits.
    """
    for known in results:
        for name in names:
            result = known.get(name)
            if result is not None and result.status == "pending":
                raise Pending(f"needs {name!r}, which waits for a batch")


def check_dependencies(dimension: Dimension, results: Mapping[str, Result | None], names: Sequence[str]) -> None:
    """Applies the `on_missing` of a dimension to the results of the dependencies called `names`.

    Raises:
        Skipped, Failed: one of them has no value, and the dimension does not run without it.
    """
    if dimension.on_missing == "run":
        return
    for name in names:
        result = results.get(name)
        if result is not None and result.has_data:
            continue
        told = missing_reason(name, result)
        if dimension.on_missing == "fail":
            raise Failed(CallError("dependency", f"it needs {told}", sent=False))
        raise Skipped(f"needs {told}")


def rows_to_see(
    dimension: Dimension, needed: Sequence[str], rows: Sequence[Row]
) -> tuple[Sequence[Row], tuple[str, ...]]:
    """The rows that a global sees, and the ids of the others: they lack one of the answers `needed`."""
    return (rows, ()) if dimension.on_missing == "run" else complete_rows(needed, rows)


def check_left_out(dimension: Dimension, left_out: Sequence[str]) -> None:
    """Ends a global that does not go on without some of its rows.

    Args:
        left_out: ids of the rows that lack an answer.

    Raises:
        Failed: there are some, and the dimension fails then.
    """
    if left_out and dimension.on_missing == "fail":
        told = f"{len(left_out)} items have no answer of what it needs: {listed(left_out)}"
        raise Failed(CallError("dependency", told, sent=False))


def complete_rows(needed: Sequence[str], rows: Sequence[Row]) -> tuple[list[Row], tuple[str, ...]]:
    """The rows that have answers of all `needed` item dimensions, and the ids of the others."""
    complete: list[Row] = []
    left_out: list[str] = []
    for row in rows:
        if all(name in row.results and row.results[name].has_data for name in needed):
            complete.append(row)
        else:
            left_out.append(row.item.id)
    return complete, tuple(left_out)
