"""`Summarise`: the results of a dag added up to one element."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows

from beam_llmdag.beam.llm_dag import Results
from beam_llmdag.errors import GraphError
from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.result import Failure, Result, Row
from beam_llmdag.records.summary import Summary

__all__ = ["Summarise"]


class Summarise(beam.PTransform[Any, Any]):
    """`Results` → a PCollection with one dict, as `Summary.to_json` makes it; also where there were no items.

    Windows are added up together: it is for the end of a batch pipeline. Counted are results that were delivered, so a
    repeated bundle counts once where the runner commits its output once.

    Args:
        dag: the dag whose results these are; all its dimensions are listed.
        unreadable: failures of the reading, such as those of `ReadItems`.

    Raises:
        GraphError: when applied to unbounded results, which never end.
    """

    def __init__(self, dag: Graph, *, unreadable: PCollection[Failure] | None = None) -> None:
        super().__init__()
        self._dag = dag
        self._unreadable = unreadable

    def expand(self, results: Results) -> Any:
        """See the class."""
        if not results.items.is_bounded:
            raise GraphError(
                f"dag {self._dag.name!r}: unbounded results never end, so they cannot be summarised as a whole"
            )
        failures = [results.failures] if self._unreadable is None else [results.failures, self._unreadable]
        parts = [
            results.items | "Items" >> beam.Map(_of_item).with_output_types(Summary),
            results.globals | "Globals" >> beam.Map(_of_results).with_output_types(Summary),
            *(
                rows | f"Items of {name}" >> beam.Map(_of_new_item).with_output_types(Summary)
                for name, rows in results.regrouped.items()
            ),
            *(
                part | f"Unreadable {index}" >> beam.Map(_of_failure).with_output_types(Summary)
                for index, part in enumerate(failures)
            ),
        ]
        windowed = [part | f"Window {index}" >> beam.WindowInto(GlobalWindows()) for index, part in enumerate(parts)]
        every = windowed | "All" >> beam.Flatten()
        return every | "Sum" >> beam.CombineGlobally(_Sum(tuple(self._dag.dimensions)))


class _Sum(beam.CombineFn):
    """Summaries → the JSON-like data of their sum."""

    def __init__(self, dimensions: Sequence[str]) -> None:
        self._dimensions = dimensions

    def create_accumulator(self) -> Summary:
        return Summary()

    def add_input(self, mutable_accumulator: Summary, element: Summary) -> Summary:
        mutable_accumulator.add(element)
        return mutable_accumulator

    def merge_accumulators(self, accumulators: Iterable[Summary]) -> Summary:
        total = Summary()
        for accumulator in accumulators:
            total.add(accumulator)
        return total

    def extract_output(self, accumulator: Summary) -> dict[str, Any]:
        return accumulator.to_json(self._dimensions)


def _of_results(*results: Result) -> Summary:
    summary = Summary()
    for result in results:
        summary.add_result(result)
    return summary


def _of_new_item(row: Row) -> Summary:
    return _of_results(*row.results.values())


def _of_item(row: Row) -> Summary:
    summary = _of_new_item(row)
    summary.add_items(1)
    return summary


def _of_failure(failure: Failure) -> Summary:
    summary = Summary()
    summary.add_failure(failure)
    return summary
