"""Files to items: JSON Lines, JSON, CSV, Parquet and Arrow, on any file system of Beam."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.fileio import EmptyMatchTreatment, MatchFiles
from apache_beam.io.filesystem import FileMetadata
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput

from beam_llmdag.beam.io.file_system import BEAM
from beam_llmdag.records.encoding import check_encoding
from beam_llmdag.records.files import ItemFields, parsed, part_records, text_records
from beam_llmdag.records.folder import Files, InputFormat, files_of, format_of
from beam_llmdag.records.item import Item, numbered
from beam_llmdag.records.raw import RawRecord
from beam_llmdag.records.result import Failure
from beam_llmdag.records.tables import TableFormat, parts_of_table

__all__ = ["InputFormat", "ReadItems", "ReadResult", "parsed_items"]


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
            files_of(self._pattern, None, BEAM)

    def expand(self, begin: PBegin) -> ReadResult:
        """See the class."""
        files = files_of(self._pattern, self._format, BEAM)
        matches = begin | "Match" >> MatchFiles(files.pattern, EmptyMatchTreatment.DISALLOW)
        paths = (
            matches | "Paths" >> beam.FlatMap(_paths, files).with_output_types(str) | "SpreadFiles" >> beam.Reshuffle()
        )
        return parsed_items(self._records(paths, files), self._fields)

    def _records(self, paths: PCollection[str], files: Files) -> Any:
        if files.file_format == "parquet" or files.file_format == "arrow":
            named = beam.FlatMap(_table_parts, files, files.file_format, self._content_field)
            parts = paths | "Parts" >> named.with_output_types(tuple[str, int]) | "SpreadParts" >> beam.Reshuffle()
            return parts | "Rows" >> beam.FlatMap(_part_records, files)
        read = beam.FlatMap(text_records, files, BEAM, self._encoding, self._content_field)
        return paths | "Records" >> read.with_output_types(RawRecord)


def parsed_items(raw: PCollection[RawRecord], fields: ItemFields) -> ReadResult:
    """The items that raw records are, and the failures of those that are none."""
    found = raw | "Items" >> beam.ParDo(_ToItem(fields)).with_outputs("derived", "failures", main="given")
    # Equal ids are equal records, so their numbers do not depend on the order in which they come.
    derived = found.derived | "EqualRecords" >> beam.GroupByKey() | "Number" >> beam.FlatMap(_numbered)
    # Behind the Reshuffle the items are spread, and a slow step does not run fused with the reading of one file.
    items = (found.given, derived) | "Flatten" >> beam.Flatten() | "Spread" >> beam.Reshuffle()
    return ReadResult(items, found.failures)


class _ToItem(beam.DoFn):
    def __init__(self, fields: ItemFields) -> None:
        super().__init__()
        self._fields = fields

    def process(self, raw: RawRecord) -> Iterator[Any]:
        found = parsed(raw, self._fields)
        if isinstance(found, Failure):
            yield TaggedOutput("failures", found)
            return
        item, is_derived = found
        yield TaggedOutput("derived", (item.id, item)) if is_derived else item


def _paths(file: FileMetadata, files: Files) -> Iterator[str]:
    if files.has(file.path):
        yield file.path


def _table_parts(path: str, files: Files, file_format: TableFormat, content_field: str) -> Iterator[tuple[str, int]]:
    for part in range(parts_of_table(path, files.name(path), BEAM, file_format, content_field)):
        yield path, part


def _part_records(named: tuple[str, int], files: Files) -> Iterator[RawRecord]:
    path, part = named
    return part_records(path, part, files, BEAM)


def _numbered(group: tuple[str, Iterable[Item]]) -> Iterator[Item]:
    for occurrence, item in enumerate(group[1], start=1):
        yield numbered(item, occurrence)
