"""Rows of BigQuery to items, through Beam's own connector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions
from apache_beam.pvalue import PBegin

from beam_llmdag.beam.io.bigquery.client import source_fields
from beam_llmdag.beam.io.bigquery.names import Dataset, Query, Table, parse_dataset, parse_source
from beam_llmdag.beam.io.bigquery.rows import read_row
from beam_llmdag.beam.io.read import ReadResult, parsed_items
from beam_llmdag.errors import InputError
from beam_llmdag.records.files import ItemFields
from beam_llmdag.records.raw import RawRecord
from beam_llmdag.telling import listed

__all__ = ["ReadBigQueryItems", "ReadMethod"]

ReadMethod = Literal["DIRECT_READ", "EXPORT"]

_SHOWN_ROW = 100


class ReadBigQueryItems(beam.PTransform[Any, Any]):
    """Reads the rows of a table or of a query and returns a `ReadResult`, as `ReadItems` does for files.

    Columns other than id and content become metadata: a RECORD an object, a REPEATED column a list, a NUMERIC its exact
    text, a TIMESTAMP ISO 8601 in UTC, JSON what stands in it. Rows without an id column get derived ids. A row that is
    no item (its id is null, say) is a failure.

    Args:
        source: `project.dataset.table`, or a query in GoogleSQL (`SELECT …`).
        id_field: name of the column with the id.
        content_field: name of the column with the content.
        method: `"DIRECT_READ"` (Storage Read API) or `"EXPORT"` (to files in Beam's `--temp_location`, then read).
        temp_dataset: `project.dataset` in which the result of a query is kept until it has been read. By default Beam
            makes a dataset for it, and for that needs a permission.
        strict: whether the first bad row fails the pipeline.

    Raises:
        InputError: no table and no query, or another method; or, when applied: there is no such table, the query is
            wrong, there is no content column, or Beam's parts for Google Cloud are not installed.
    """

    def __init__(
        self,
        source: str,
        *,
        id_field: str = "id",
        content_field: str = "content",
        method: ReadMethod = "DIRECT_READ",
        temp_dataset: str | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__()
        if method not in get_args(ReadMethod):
            raise InputError(f"method {method!r}: known ones are {', '.join(get_args(ReadMethod))}")
        self._source = parse_source(source)
        self._method = method
        self._temp_dataset = None if temp_dataset is None else parse_dataset(temp_dataset)
        self._fields = ItemFields(id_field, content_field, strict)

    def expand(self, begin: PBegin) -> ReadResult:
        """See the class."""
        columns = source_fields(self._source, begin.pipeline.options.view_as(GoogleCloudOptions).project)
        names = [column.name for column in columns]
        if self._fields.content_field not in names:
            raise InputError(
                f"{self._source}: no column {self._fields.content_field!r}; its columns are "
                f"{listed(names)}. Rename one in a query (SELECT text AS content …), or name it with "
                "content_field="
            )
        rows = begin | "Read" >> beam.io.ReadFromBigQuery(**self._options())
        raw = rows | "Rows" >> beam.Map(_raw_record, str(self._source), columns).with_output_types(RawRecord)
        return parsed_items(raw, self._fields)

    def _options(self) -> dict[str, Any]:
        # Where Beam is not told of a dataset, it ends a DIRECT_READ by deleting every dataset that a server lists for
        # its label. Reading a table needs none, so its own is named, in which nothing is made.
        temp_dataset = self._temp_dataset
        if isinstance(self._source, Query):
            options: dict[str, Any] = {"query": self._source.sql, "use_standard_sql": True}
        else:
            options = {"table": self._source.beam_name}
            temp_dataset = temp_dataset or _dataset_of(self._source)
        if temp_dataset is not None:
            options["temp_dataset"] = _beam_dataset(temp_dataset)
        return {**options, "method": self._method}


def _dataset_of(table: Table) -> Dataset:
    return Dataset(project=table.project, name=table.dataset)


def _beam_dataset(dataset: Dataset) -> Any:
    from apache_beam.io.gcp.internal.clients.bigquery import DatasetReference  # there only with beam-llmdag[gcp]

    return DatasetReference(projectId=dataset.project, datasetId=dataset.name)


def _raw_record(row: Mapping[str, Any], source: str, columns: list[Any]) -> RawRecord:
    record = read_row(row, columns)
    return RawRecord(where=f"{source}: the row that begins {str(record)[:_SHOWN_ROW]}", record=record)
