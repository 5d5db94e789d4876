"""Files to items: JSON Lines, CSV and Parquet, on any file system of Beam."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, get_args

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.fileio import EmptyMatchTreatment, MatchFiles
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput

from beam_llmdag.errors import InputError, StrictModeError
from beam_llmdag.io.arrow import table_rows
from beam_llmdag.io.csv import csv_records
from beam_llmdag.io.jsonl import json_line_records, json_records
from beam_llmdag.io.raw import RawRecord, byte_lines
from beam_llmdag.item import Item, item_and_origin, numbered
from beam_llmdag.result import Failure

__all__ = ["InputFormat", "ItemFields", "ReadItems", "ReadResult", "parsed_items"]

InputFormat = Literal["jsonl", "json", "csv", "parquet"]

_SUFFIXES: dict[str, InputFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
}
_COMPRESSED = (".gz", ".bz2", ".deflate", ".zst", ".zstd", ".xz", ".lzma")
_WILDCARDS = "*?[{"


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

    Args:
        pattern: path or glob pattern. Files that end in `.gz`, `.bz2` and the like are unpacked.
        id_field: name of the field with the id.
        content_field: name of the field with the content.
        file_format: `"jsonl"`, `"json"` (one array), `"csv"` or `"parquet"`; by default, what the ending of `pattern`
            says.
        strict: whether the first bad record fails the pipeline, with a `StrictModeError` that names it.

    Raises:
        InputError: the format is unknown; or, when applied, no file matches. While the pipeline runs: a whole file
            cannot be read (no content column, two columns with one name).
    """

    def __init__(
        self,
        pattern: str | os.PathLike[str],
        *,
        id_field: str = "id",
        content_field: str = "content",
        file_format: InputFormat | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__()
        self._pattern = os.fspath(pattern)
        self._format = _format(self._pattern, file_format)
        self._content_field = content_field
        self._fields = ItemFields(id_field, content_field, strict)

    def expand(self, begin: PBegin) -> ReadResult:
        """See the class."""
        _check_match(self._pattern)
        matches = begin | "Match" >> MatchFiles(self._pattern, EmptyMatchTreatment.DISALLOW)
        files = matches | "Paths" >> beam.Map(_path).with_output_types(str) | "SpreadFiles" >> beam.Reshuffle()
        base = _base(self._pattern)
        if self._format == "parquet":
            tables = files | "Tables" >> beam.io.ReadAllFromParquetBatched(with_filename=True)
            raw = tables | "Rows" >> beam.FlatMap(_parquet_records, base, self._content_field)
        else:
            raw = files | "Records" >> beam.FlatMap(_text_records, base, self._format, self._content_field)
        return parsed_items(raw, self._fields)


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


def _format(pattern: str, given: str | None) -> InputFormat:
    name = pattern.lower()
    for suffix in _COMPRESSED:
        name = name.removesuffix(suffix)
    wanted = given or _SUFFIXES.get(os.path.splitext(name)[1])
    for known in get_args(InputFormat):
        if wanted == known:
            found: InputFormat = known
            return found
    formats = ", ".join(map(repr, get_args(InputFormat)))
    raise InputError(f"{pattern}: {given or 'its ending'} says no known format; pass file_format= as one of {formats}")


def _check_match(pattern: str) -> None:
    """Looks for one file where the pipeline is built: a wrong path fails there, not an hour later."""
    [match] = FileSystems.match([pattern], limits=[1])
    if not match.metadata_list:
        raise InputError(f"{pattern}: no file matches")


def _path(file: FileMetadata) -> str:
    path: str = file.path
    return path


def _base(pattern: str) -> str:
    """The folder of a pattern, which names of files in messages leave out."""
    literal = pattern[: min((pattern.index(sign) for sign in _WILDCARDS if sign in pattern), default=len(pattern))]
    return literal[: max(literal.rfind("/"), literal.rfind(os.sep)) + 1]


def _text_records(path: str, base: str, file_format: InputFormat, content_field: str) -> Iterator[RawRecord]:
    name = path.removeprefix(base)
    with FileSystems.open(path) as handle:
        lines = byte_lines(handle, name)
        if file_format == "csv":
            yield from csv_records(lines, name, content_field)
        elif file_format == "json":
            yield from json_records(lines, name)
        else:
            yield from json_line_records(lines, name)


def _parquet_records(named: tuple[str, pa.Table], base: str, content_field: str) -> Iterator[RawRecord]:
    path, table = named
    name = path.removeprefix(base)
    if content_field not in table.schema.names:
        columns = ", ".join(map(repr, table.schema.names))
        raise InputError(
            f"{name}: no column {content_field!r}; its columns are {columns}. "
            "Rename one, or name it with content_field="
        )
    for number, row in enumerate(table_rows(table)):
        where = f"{name}:row {number} (counted from 0 in its row group)"
        if isinstance(row, InputError):
            yield RawRecord(where=where, problem=str(row))
        else:
            yield RawRecord(where=where, record=row)


def _numbered(group: tuple[str, Iterable[Item]]) -> Iterator[Item]:
    for occurrence, item in enumerate(group[1], start=1):
        yield numbered(item, occurrence)
