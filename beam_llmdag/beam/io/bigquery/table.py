"""Records to one table of BigQuery, through Beam's own connector."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, PCollection
from apache_beam.transforms.combiners import Count

from beam_llmdag.beam.io.bigquery.client import Rerun, clear_rows, ensure_table
from beam_llmdag.beam.io.bigquery.names import Table
from beam_llmdag.beam.io.bigquery.rows import WriteMethod, table_row
from beam_llmdag.beam.io.bigquery.run import Run
from beam_llmdag.beam.io.bigquery.schema import table_fields
from beam_llmdag.beam.io.bigquery.size import LARGE, REFUSED, SMALL_ROWS_PER_INSERT, BySize, refused_row
from beam_llmdag.errors import InputError
from beam_llmdag.records.result import Failure

__all__ = ["WriteTableRows"]


class WriteTableRows(beam.PTransform[Any, Any]):
    """Writes records to one table, and returns the `Failure`s of those that are not in it.

    Only a streaming insert leaves rows out: those that are too large for it, and those that BigQuery refuses. Otherwise
    it returns None: a load job that BigQuery refuses fails. See `WriteBigQueryResults` for `run`, `method`, `rerun` and
    the errors.

    Args:
        table: the table; made when the transform is applied.
        schema: what the records fit, see `beam_llmdag.records.arrow_schemas`.
        run: the run that the rows belong to.
        dimension: whose answers these are; None where a record has several dimensions, or is none of their answers.
        method: how it is written.
        rerun: which rows give way.
    """

    def __init__(
        self,
        table: Table,
        schema: pa.Schema,
        *,
        run: Run,
        dimension: str | None = None,
        method: WriteMethod = "FILE_LOADS",
        rerun: Rerun = "append",
    ) -> None:
        super().__init__()
        self._table = table
        self._schema = schema
        self._dimension = dimension
        self._run = run
        self._method: WriteMethod = method
        self._rerun: Rerun = rerun

    def expand(self, records: PCollection[Any]) -> Any:
        """See the class."""
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
        return self._write(rows, fields)

    def _check_bounded(self, records: PCollection[Any]) -> None:
        if records.is_bounded:
            return
        if self._method == "FILE_LOADS":
            raise InputError(f'{self._table}: an unbounded input is written with method="STREAMING_INSERTS"')
        if self._rerun == "replace":
            raise InputError(
                f'{self._table}: an unbounded input never ends; it can append, not replace (rerun="append")'
            )

    def _write(self, rows: PCollection[Any], fields: list[dict[str, Any]]) -> Any:
        if self._method == "FILE_LOADS":
            rows | "Write" >> self._connector(fields)
            return None
        sized = rows | "By size" >> beam.ParDo(BySize(str(self._table))).with_outputs(LARGE, REFUSED, main="small")
        small = sized.small | "Write" >> self._connector(fields, batch_size=SMALL_ROWS_PER_INSERT)
        large = sized[LARGE] | "Write large rows" >> self._connector(fields, batch_size=1)
        failed = (small.failed_rows_with_errors, large.failed_rows_with_errors) | "Failed" >> beam.Flatten()
        refused = failed | "Refused" >> beam.Map(refused_row).with_output_types(Failure)
        return (sized[REFUSED], refused) | "All refused" >> beam.Flatten()

    def _connector(self, fields: list[dict[str, Any]], **options: Any) -> Any:
        from apache_beam.io.gcp.bigquery_tools import RetryStrategy  # there only with beam-llmdag[gcp]

        return beam.io.WriteToBigQuery(
            self._table.beam_name,
            schema={"fields": fields},
            method=self._method,
            create_disposition=beam.io.BigQueryDisposition.CREATE_NEVER,
            write_disposition=beam.io.BigQueryDisposition.WRITE_APPEND,
            # Beam's default tries a row that does not fit again and again, forever.
            insert_retry_strategy=RetryStrategy.RETRY_ON_TRANSIENT_ERROR,
            **options,
        )


def _clear(_count: int, table: Table, run: Run, rerun: Rerun) -> int:
    return clear_rows(table, run, rerun)


def _when(row: dict[str, Any], _cleared: int) -> dict[str, Any]:
    return row
