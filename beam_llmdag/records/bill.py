"""Failures and costs, read off finished results."""

from __future__ import annotations

from collections.abc import Iterator

from beam_llmdag.records.result import CostRow, Failure, Result

__all__ = ["cost_rows", "failure_of"]


def failure_of(result: Result) -> Failure | None:
    """The failure that a result is, None if it is none."""
    if result.status != "failed" or result.error_class is None:
        return None
    return Failure(
        dimension=result.dimension,
        item_id=result.item_id,
        error_class=result.error_class,
        message=result.message or "",
        traceback=result.traceback,
        attempts=result.attempts,
    )


def cost_rows(result: Result) -> Iterator[CostRow]:
    """A line of the bill for every attempt that was sent."""
    sent = [attempt for attempt in result.attempts if attempt.sent]
    for number, attempt in enumerate(sent, start=1):
        yield CostRow(dimension=result.dimension, item_id=result.item_id, number=number, attempt=attempt)
