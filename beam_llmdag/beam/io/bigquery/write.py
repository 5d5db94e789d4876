"""All results of an `LLMDag` to tables of BigQuery."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, get_args

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from beam_llmdag.beam.io.bigquery.client import Rerun
from beam_llmdag.beam.io.bigquery.names import parse_destination
from beam_llmdag.beam.io.bigquery.rows import WriteMethod
from beam_llmdag.beam.io.bigquery.run import Run
from beam_llmdag.beam.io.bigquery.table import WriteTableRows
from beam_llmdag.beam.io.results import ResultOutput, result_outputs
from beam_llmdag.beam.llm_dag import Results
from beam_llmdag.errors import InputError
from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.arrow_schemas import arrow_field
from beam_llmdag.records.records import failure_record, json_text, short_failure
from beam_llmdag.records.result import Failure
from beam_llmdag.run.run_outputs import FAILURES_OUTPUT

__all__ = ["RUNS_TABLE", "WriteBigQueryResults"]

RUNS_TABLE = "runs"
"""The table with a row per run: its totals."""


class WriteBigQueryResults(beam.PTransform[Any, Any]):
    """Writes what `LLMDag` made to tables of a dataset: what `WriteResults` writes to files, with `_` for `/`.

    Where a summary is given, the table `runs` gets a row with it. The tables are made when the transform is applied,
    partitioned by `run_date` and clustered by `run_id`, also those that will stay empty. See docs/bigquery.md for the
    columns and for what each method guarantees. A row that its table does not take is left out, and the table
    `failures` says so; the others are written.

    Args:
        dag: the dag whose results these are.
        destination: `project.dataset`, or `project.dataset.prefix` to begin the names of all tables with `prefix_`.
        run: the run that the rows belong to.
        unreadable: more failures, those of the inputs.
        summary: the totals of the run, as `Summarise` gives them.
        method: `"FILE_LOADS"` (load jobs, with files in Beam's `--temp_location`) or `"STREAMING_INSERTS"`.
        timings: see `WriteResults`; a table that is there must have these columns.
        rerun: what gives way to the rows of a bounded input. `"append"`: those of the same `run_id`, so that a run
            that is started again is not in the tables twice. `"replace"`: also all others of the same `run_date`.

    Raises:
        InputError: a wrong destination, method or rerun; or, when applied: there is no such dataset, a table that is
            there does not fit the dag, Beam's parts for Google Cloud are not installed, or an unbounded input is to
            replace rows or to be written by load jobs.
        GraphError: when applied: a name in the dag that BigQuery does not take.
    """

    def __init__(
        self,
        dag: Graph,
        destination: str,
        *,
        run: Run,
        unreadable: PCollection[Any] | None = None,
        summary: PCollection[Any] | None = None,
        method: WriteMethod = "FILE_LOADS",
        rerun: Rerun = "append",
        timings: bool = False,
    ) -> None:
        super().__init__()
        for name, value, known in (("method", method, WriteMethod), ("rerun", rerun, Rerun)):
            if value not in get_args(known):
                raise InputError(f"{name} {value!r}: known ones are {', '.join(get_args(known))}")
        self._dag = dag
        self._destination = parse_destination(destination)
        self._run = run
        self._unreadable = unreadable
        self._summary = summary
        self._method: WriteMethod = method
        self._rerun: Rerun = rerun
        self._timings = timings

    def expand(self, results: Results) -> None:
        """See the class."""
        outputs = {output.name: output for output in self._outputs(results)}
        failures = outputs.pop(FAILURES_OUTPUT)
        refused = [self._written(output) for output in outputs.values()]
        if self._method == "FILE_LOADS":
            self._written(failures)
            return
        records = refused | "All refused" >> beam.Flatten() | "Refusals" >> beam.Map(failure_record)
        known = (failures.records, records) | "All failed" >> beam.Flatten()
        self._written(failures._replace(records=known | "Short" >> beam.Map(short_failure))) | "Told" >> beam.Map(_tell)

    def _written(self, output: ResultOutput) -> Any:
        """The `Failure`s of rows that their table does not take, where the method knows of any."""
        return output.records | f"Write {output.name}" >> WriteTableRows(
            self._destination.table(output.name.replace("/", "_")),
            output.schema,
            run=self._run,
            dimension=output.dimension,
            method=self._method,
            rerun=self._rerun,
        )

    def _outputs(self, results: Results) -> Iterator[ResultOutput]:
        yield from result_outputs(self._dag, results, self._unreadable, timings=self._timings)
        if self._summary is not None:
            records = self._summary | "Summary record" >> beam.Map(_summary_record)
            yield ResultOutput(RUNS_TABLE, records, pa.schema([arrow_field("summary", {})]))


def _tell(failure: Failure) -> None:
    """Says what no table can: a failure that is itself refused."""
    logging.getLogger(__name__).error("%s", failure.message)


def _summary_record(summary: Any) -> dict[str, str]:
    return {"summary": json_text(summary)}
