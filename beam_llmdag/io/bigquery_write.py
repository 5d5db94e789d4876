"""All results of an `LLMDag` to tables of BigQuery, through Beam's own connector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, PCollection
from apache_beam.transforms.combiners import Count

from beam_llmdag.dag import Dag
from beam_llmdag.errors import InputError
from beam_llmdag.io.bigquery_client import Rerun, clear_rows, ensure_table
from beam_llmdag.io.bigquery_names import Dataset, Table, parse_destination
from beam_llmdag.io.bigquery_rows import WriteMethod, table_row, typed_row_record
from beam_llmdag.io.bigquery_run import Run
from beam_llmdag.io.bigquery_schema import table_fields
from beam_llmdag.io.records import json_text
from beam_llmdag.io.results import ResultOutput, result_outputs
from beam_llmdag.io.schemas import arrow_field
from beam_llmdag.transforms.llm_dag import Results

__all__ = ["RUNS_TABLE", "WriteBigQueryResults", "table_name"]

RUNS_TABLE = "runs"
"""The table with a row per run: its totals."""


class WriteBigQueryResults(beam.PTransform[Any, Any]):
    """Writes what `LLMDag` made to tables of a dataset: what `WriteResults` writes to files, with `_` for `/`.

    Where a summary is given, the table `runs` gets a row with it. The tables are made when the transform is applied,
    partitioned by `run_date` and clustered by `run_id`, also those that will stay empty. See docs/bigquery.md for the
    columns and for what each method guarantees.

    Args:
        dag: the dag whose results these are.
        destination: `project.dataset`, or `project.dataset.prefix` to begin the names of all tables with `prefix_`.
        run: the run that the rows belong to.
        unreadable: more failures, those of the inputs.
        summary: the totals of the run, as `Summarise` gives them.
        method: `"FILE_LOADS"` (load jobs, with files in Beam's `--temp_location`) or `"STREAMING_INSERTS"`.
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
        dag: Dag,
        destination: str,
        *,
        run: Run,
        unreadable: PCollection[Any] | None = None,
        summary: PCollection[Any] | None = None,
        method: WriteMethod = "FILE_LOADS",
        rerun: Rerun = "append",
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

    def expand(self, results: Results) -> None:
        """See the class."""
        for output in list(self._outputs(results)):
            write = _WriteTable(self._destination, output, self._run, self._method, self._rerun)
            output.records | f"Write {output.name}" >> write

    def _outputs(self, results: Results) -> Iterator[ResultOutput]:
        yield from result_outputs(self._dag, results, self._unreadable, typed_row_record)
        if self._summary is not None:
            records = self._summary | "Summary record" >> beam.Map(_summary_record)
            yield ResultOutput(RUNS_TABLE, records, pa.schema([arrow_field("summary", {})]))


def table_name(destination: Dataset, output: str) -> Table:
    """The table for an output of `WriteResults`: `globals/x` is `globals_x`."""
    return destination.table(output.replace("/", "_"))


class _WriteTable(beam.PTransform[Any, Any]):
    def __init__(self, destination: Dataset, output: ResultOutput, run: Run, method: WriteMethod, rerun: Rerun) -> None:
        super().__init__()
        self._table = table_name(destination, output.name)
        self._schema = output.schema
        self._dimension = output.dimension
        self._run = run
        self._method: WriteMethod = method
        self._rerun: Rerun = rerun

    def expand(self, records: PCollection[Any]) -> None:
        self._check_bounded(records)
        fields = table_fields(self._schema, self._dimension)
        ensure_table(self._table, fields)
        rows = records | "Rows" >> beam.Map(
            table_row, self._schema, self._run.columns(), self._method, answer=self._dimension is not None
        )
        if records.is_bounded:
            # An earlier run's rows go when all of this one are known, and none of these is written before.
            known = rows | "Count" >> Count.Globally()
            cleared = known | "Clear" >> beam.Map(_clear, self._table, self._run, self._rerun)
            rows = rows | "When cleared" >> beam.Map(_when, AsSingleton(cleared))
        self._write(rows, fields)

    def _check_bounded(self, records: PCollection[Any]) -> None:
        if records.is_bounded:
            return
        if self._method == "FILE_LOADS":
            raise InputError(f'{self._table}: an unbounded input is written with method="STREAMING_INSERTS"')
        if self._rerun == "replace":
            raise InputError(
                f'{self._table}: an unbounded input never ends; it can append, not replace (rerun="append")'
            )

    def _write(self, rows: PCollection[Any], fields: list[dict[str, Any]]) -> None:
        from apache_beam.io.gcp.bigquery_tools import RetryStrategy  # there only with beam-llmdag[gcp]

        written = rows | "Write" >> beam.io.WriteToBigQuery(
            self._table.beam_name,
            schema={"fields": fields},
            method=self._method,
            create_disposition=beam.io.BigQueryDisposition.CREATE_NEVER,
            write_disposition=beam.io.BigQueryDisposition.WRITE_APPEND,
            # Beam's default tries a row that does not fit again and again, forever.
            insert_retry_strategy=RetryStrategy.RETRY_ON_TRANSIENT_ERROR,
        )
        if self._method == "STREAMING_INSERTS":
            written.failed_rows_with_errors | "Refused" >> beam.Map(_refused)


def _summary_record(summary: Any) -> dict[str, str]:
    return {"summary": json_text(summary)}


def _clear(_count: int, table: Table, run: Run, rerun: Rerun) -> int:
    return clear_rows(table, run, rerun)


def _when(row: dict[str, Any], _cleared: int) -> dict[str, Any]:
    return row


def _refused(failed: tuple[str, dict[str, Any], Any]) -> None:
    table, row, errors = failed
    name = row.get("id") or row.get("item_id")
    raise InputError(f'{table}: BigQuery refused the row {name!r}: {errors}. method="FILE_LOADS" takes longer rows')
