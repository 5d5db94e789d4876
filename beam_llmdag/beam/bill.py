"""Failures and costs as outputs of a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam import pvalue
from apache_beam.pvalue import PCollection

from beam_llmdag.records.bill import cost_rows, failure_of
from beam_llmdag.records.result import CostRow, Failure, Result, Row

__all__ = ["COSTS", "FAILURES", "Bill"]

COSTS = "costs"
FAILURES = "failures"


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
