"""Failures and costs, read off finished results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.pvalue import PCollection

from beam_llmdag.result import CostRow, Failure, Result, Row

__all__ = ["COSTS", "FAILURES", "Bill", "cost_rows", "failure_of"]

COSTS = "costs"
FAILURES = "failures"


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
        yield CostRow(dimension=result.dimension, item_id=result.item_id, attempt=number, what=attempt)


class Bill(beam.PTransform[Any, Any]):
    """Rows or results → under `FAILURES` the `Failure`s among them, and under `COSTS` the `CostRow`s of their calls."""

    def expand(self, answered: PCollection[Any]) -> Any:
        bill = beam.ParDo(_Bill()).with_output_types(Any, **{FAILURES: Failure, COSTS: CostRow})
        return answered | bill.with_outputs(FAILURES, COSTS)


class _Bill(beam.DoFn):
    def process(self, answered: Row | Result) -> Iterator[pvalue.TaggedOutput[Any, Any]]:
        for result in answered.results.values() if isinstance(answered, Row) else (answered,):
            failure = failure_of(result)
            if failure is not None:
                yield pvalue.TaggedOutput(FAILURES, failure)
            for cost in cost_rows(result):
                yield pvalue.TaggedOutput(COSTS, cost)
