"""Failures and costs, read off finished results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from beam_llmdag.result import CostRow, Failure, Result, Row

__all__ = ["CostsOf", "FailuresOf", "ResultsOf", "cost_rows", "failure_of"]


def failure_of(result: Result) -> Failure | None:
    """The failure that a result is, None if it is none."""
    if result.status != "failed" or result.error_class is None:
        return None
    return Failure(
        dimension=result.dimension,
        item_id=result.item_id,
        error_class=result.error_class,
        message=result.message or "",
        attempts=result.attempts,
    )


def cost_rows(result: Result) -> Iterator[CostRow]:
    """A line of the bill for every attempt that was sent."""
    sent = [attempt for attempt in result.attempts if attempt.sent]
    for number, attempt in enumerate(sent, start=1):
        yield CostRow(dimension=result.dimension, item_id=result.item_id, attempt=number, what=attempt)


class ResultsOf(beam.PTransform[Any, Any]):
    """Rows → their results."""

    def expand(self, rows: PCollection[Any]) -> Any:
        return rows | beam.FlatMap(_results).with_output_types(Result)


class FailuresOf(beam.PTransform[Any, Any]):
    """Results → `Failure`s."""

    def expand(self, results: PCollection[Any]) -> Any:
        return results | beam.FlatMap(_failures).with_output_types(Failure)


class CostsOf(beam.PTransform[Any, Any]):
    """Results → `CostRow`s."""

    def expand(self, results: PCollection[Any]) -> Any:
        return results | beam.FlatMap(cost_rows).with_output_types(CostRow)


def _results(row: Row) -> Iterator[Result]:
    yield from row.results.values()


def _failures(result: Result) -> Iterator[Failure]:
    failure = failure_of(result)
    if failure is not None:
        yield failure
