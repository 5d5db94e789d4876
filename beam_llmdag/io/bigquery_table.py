"""Records to one table of BigQuery, through Beam's own connector."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsSingleton, PCollection
from apache_beam.transforms.combiners import Count

from beam_llmdag.errors import InputError
from beam_llmdag.io.bigquery_client import Rerun, clear_rows, ensure_table
from beam_llmdag.io.bigquery_names import Table
from beam_llmdag.io.bigquery_rows import WriteMethod, table_row
from beam_llmdag.io.bigquery_run import Run
from beam_llmdag.io.bigquery_schema import table_fields

__all__ = ["WriteTableRows"]


class WriteTableRows(beam.PTransform[Any, Any]):
    """Writes records to one table; see `WriteBigQueryResults` for `run`, `method`, `rerun` and the errors.

    Args:
        table: the table; made when the transform is applied.
        schema: what the records fit, see `beam_llmdag.io.schemas`.
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

    def expand(self, records: PCollection[Any]) -> None:
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


def _clear(_count: int, table: Table, run: Run, rerun: Rerun) -> int:
    return clear_rows(table, run, rerun)


def _when(row: dict[str, Any], _cleared: int) -> dict[str, Any]:
    return row


def _refused(failed: tuple[str, dict[str, Any], Any]) -> None:
    table, row, errors = failed
    name = row.get("id") or row.get("item_id")
    raise InputError(f'{table}: BigQuery refused the row {name!r}: {errors}. method="FILE_LOADS" takes longer rows')
