"""Files to items: JSON Lines, JSON, CSV, Parquet and Arrow, on any file system of Beam."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.fileio import EmptyMatchTreatment, MatchFiles
from apache_beam.io.filesystem import FileMetadata
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput

from beam_llmdag.beam.io.folder import Files, InputFormat, files_of, format_of
from beam_llmdag.beam.io.tables import TableFormat, part_of_table, parts_of_table
from beam_llmdag.beam.io.unpacked import chunks_of
from beam_llmdag.errors import InputError, StrictModeError
from beam_llmdag.records.arrow import table_rows
from beam_llmdag.records.csv import csv_records
from beam_llmdag.records.encoding import check_encoding, utf8_chunks
from beam_llmdag.records.item import Item, item_and_origin, numbered
from beam_llmdag.records.jsonl import json_line_records, json_records
from beam_llmdag.records.raw import RawRecord, byte_lines
from beam_llmdag.records.result import Failure
from beam_llmdag.telling import quoted

__all__ = ["InputFormat", "ItemFields", "ReadItems", "ReadResult", "parsed_items"]


class ReadResult(NamedTuple):
    """What `ReadItems` found.

    Attributes:
        items: the items.
        failures: records that cannot be items, with `dimension="input"` and the place as `item_id`.
    """

    items: PCollection[Item]
    failures: PCollection[Failure]


class ReadItems(beam.PTransform[Any, Any]):
    """Reads files and returns a `ReadResult`; one bad record is a failure and does not stop the others.

    Every text stays as it is in the file: the id `007` is `007`, `NA` is `NA`, a content like a date is text. Numbers
    keep their exact value. See `item_from` for what becomes of the fields, and `csv_records`, `json_line_records`,
    `json_records` and `table_rows` for each format. Files are read in parallel, Parquet row groups as well; a text
    file is read by one worker. The items are spread over all workers afterwards.

    Records without an id field get the id `derived_id`; the second, third, ... of equal records gets `-2`, `-3`, ....

    A folder is read with all that is in it, at any depth: the parts that Spark, Dask or Polars wrote. Files and folders
    whose names begin with `_` or `.` are left out, as are checksums (`.crc`). A folder called `year=2025` gives the
    records in it the field `year`, here and under a pattern: an integer where all values of that name are, else a text.

    Args:
        pattern: path of a file or folder, or glob pattern. Files that end in `.gz`, `.bz2`, `.xz`, `.zst` and the like
            are unpacked.
        id_field: name of the field with the id.
        content_field: name of the field with the content.
        file_format: `"jsonl"`, `"json"`, `"csv"`, `"parquet"` or `"arrow"`; by default, what the ending of `pattern`
            says, or of the files in the folder.
        encoding: of JSON and CSV files, as Python calls it (`"cp1252"`, `"utf-16"`); UTF-8 by default.
        strict: whether the first bad record fails the pipeline, with a `StrictModeError` that names it.

    Raises:
        InputError: the format or the encoding is unknown; or, when applied, no file matches. While the pipeline runs:
            a whole file cannot be read (it is cut or damaged, it is of another encoding, it has no content column or
            two columns with one name).
    """

    def __init__(
        self,
        pattern: str | os.PathLike[str],
        *,
        id_field: str = "id",
        content_field: str = "content",
        file_format: InputFormat | None = None,
        encoding: str | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__()
        self._pattern = os.fspath(pattern)
        self._format = file_format
        self._content_field = content_field
        self._encoding = check_encoding(encoding)
        self._fields = ItemFields(id_field, content_field, strict)
        if format_of(self._pattern, file_format) is None:
            files_of(self._pattern, None)

    def expand(self, begin: PBegin) -> ReadResult:
        """See the class."""
        files = files_of(self._pattern, self._format)
        matches = begin | "Match" >> MatchFiles(files.pattern, EmptyMatchTreatment.DISALLOW)
        paths = (
            matches | "Paths" >> beam.FlatMap(_paths, files).with_output_types(str) | "SpreadFiles" >> beam.Reshuffle()
        )
        return parsed_items(self._records(paths, files), self._fields)

    def _records(self, paths: PCollection[str], files: Files) -> Any:
        if files.file_format == "parquet" or files.file_format == "arrow":
            named = beam.FlatMap(_table_parts, files, files.file_format, self._content_field)
            parts = paths | "Parts" >> named.with_output_types(tuple[str, int]) | "SpreadParts" >> beam.Reshuffle()
            return parts | "Rows" >> beam.FlatMap(_table_records, files, files.file_format)
        read = beam.FlatMap(_text_records, files, self._encoding, self._content_field)
        return paths | "Records" >> read.with_output_types(RawRecord)


class ItemFields(NamedTuple):
    """How records become items: see `ReadItems`."""

    id_field: str = "id"
    content_field: str = "content"
    strict: bool = False


def parsed_items(raw: PCollection[RawRecord], fields: ItemFields) -> ReadResult:
    """The items that raw records are, and the failures of those that are none."""
    parsed = raw | "Items" >> beam.ParDo(_ToItem(*fields)).with_outputs("derived", "failures", main="given")
    # Equal ids are equal records, so their numbers do not depend on the order in which they come.
    derived = parsed.derived | "EqualRecords" >> beam.GroupByKey() | "Number" >> beam.FlatMap(_numbered)
    # Behind the Reshuffle the items are spread, and a slow step does not run fused with the reading of one file.
    items = (parsed.given, derived) | "Flatten" >> beam.Flatten() | "Spread" >> beam.Reshuffle()
    return ReadResult(items, parsed.failures)


class _ToItem(beam.DoFn):
    def __init__(self, id_field: str, content_field: str, strict: bool) -> None:
        super().__init__()
        self._fields = {"id_field": id_field, "content_field": content_field}
        self._strict = strict

    def process(self, raw: RawRecord) -> Iterator[Any]:
        if raw.problem is not None:
            yield self._failed(raw.where, f"{raw.where}: {raw.problem}")
            return
        try:
            item, is_derived = item_and_origin(raw.record, where=raw.where, **self._fields)
        except InputError as error:
            yield self._failed(raw.where, str(error))
            return
        yield TaggedOutput("derived", (item.id, item)) if is_derived else item

    def _failed(self, where: str, message: str) -> TaggedOutput[str, Failure]:
        if self._strict:
            raise StrictModeError(message)
        failure = Failure(dimension="input", item_id=where, error_class="bad_input", message=message)
        return TaggedOutput("failures", failure)


def _paths(file: FileMetadata, files: Files) -> Iterator[str]:
    if files.has(file.path):
        yield file.path


def _text_records(path: str, files: Files, encoding: str | None, content_field: str) -> Iterator[RawRecord]:
    name = files.name(path)
    lines = byte_lines(utf8_chunks(chunks_of(path, name), name, encoding))
    if files.file_format == "csv":
        records = csv_records(lines, name, content_field)
    elif files.file_format == "json":
        records = json_records(lines, name)
    else:
        records = json_line_records(lines, name)
    partition = files.partition(path)
    for record in records:
        yield _with_partition(record, partition, content_field)


def _table_parts(path: str, files: Files, file_format: TableFormat, content_field: str) -> Iterator[tuple[str, int]]:
    for part in range(parts_of_table(path, files.name(path), file_format, content_field)):
        yield path, part


def _table_records(named: tuple[str, int], files: Files, file_format: TableFormat) -> Iterator[RawRecord]:
    path, part = named
    name, partition = files.name(path), files.partition(path)
    for number, row in enumerate(table_rows(part_of_table(path, name, file_format, part))):
        where = f"{name}:row {number} (counted from 0 in its row group)"
        if isinstance(row, InputError):
            yield RawRecord(where=where, problem=str(row))
        else:
            yield _with_partition(RawRecord(where=where, record=row), partition, "")


def _with_partition(raw: RawRecord, partition: Mapping[str, Any], content_field: str) -> RawRecord:
    """A record with the fields that its folders stand for."""
    if not partition or raw.problem is not None:
        return raw
    record = {content_field: raw.record} if isinstance(raw.record, str) else raw.record
    if not isinstance(record, Mapping):
        return raw
    for name, value in partition.items():
        if name in record and record[name] not in (value, str(value)):
            problem = (
                f"the field {quoted(name)} is {quoted(record[name])}, and its folder says {quoted(value)}; drop one"
            )
            return replace(raw, problem=problem)
    return replace(raw, record={**record, **partition})


def _numbered(group: tuple[str, Iterable[Item]]) -> Iterator[Item]:
    for occurrence, item in enumerate(group[1], start=1):
        yield numbered(item, occurrence)
