"""Records of files, and the items that they are: JSON Lines, JSON, CSV, Parquet and Arrow."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from beam_llmdag.errors import InputError, StrictModeError
from beam_llmdag.records.arrow import table_rows
from beam_llmdag.records.csv import csv_records
from beam_llmdag.records.encoding import check_encoding, utf8_chunks
from beam_llmdag.records.file_system import LOCAL, FileSystem
from beam_llmdag.records.folder import Files, InputFormat, files_of, format_of
from beam_llmdag.records.item import Item, item_and_origin, numbered
from beam_llmdag.records.jsonl import json_line_records, json_records
from beam_llmdag.records.raw import RawRecord, byte_lines
from beam_llmdag.records.result import Failure
from beam_llmdag.records.tables import TableFormat, part_of_table, parts_of_table
from beam_llmdag.records.unpacked import chunks_of
from beam_llmdag.telling import quoted

__all__ = ["ItemFields", "parsed", "part_records", "read_items", "text_records"]


class ItemFields(NamedTuple):
    """How records become items: see `read_items`."""

    id_field: str = "id"
    content_field: str = "content"
    strict: bool = False


def read_items(
    pattern: str | os.PathLike[str],
    *,
    id_field: str = "id",
    content_field: str = "content",
    file_format: InputFormat | None = None,
    encoding: str | None = None,
    strict: bool = False,
) -> Iterator[Item | Failure]:
    """Reads files of this machine without Beam, for `dag.run(read_items(…))` and `dag.stream(read_items(…))`.

    What a record becomes is what `ReadItems` makes of it, and a record that is no item is the same `Failure`. One row
    group of a Parquet file is in memory at a time, of a text file a record; and, where records have no ids, the ids
    that were derived so far. Files are read in the order of their names.

    Args:
        pattern: path of a file or folder, or glob pattern, on this machine; see `ReadItems`.
        id_field: name of the field with the id.
        content_field: name of the field with the content.
        file_format: `"jsonl"`, `"json"`, `"csv"`, `"parquet"` or `"arrow"`; by default, what the ending says.
        encoding: of JSON and CSV files, as Python calls it; UTF-8 by default.
        strict: whether the first bad record raises a `StrictModeError` that names it.

    Raises:
        InputError: at once: no file matches, or the format or the encoding is unknown. While it is read: a whole file
            cannot be read, see `ReadItems`.
    """
    name = os.fspath(pattern)
    known = check_encoding(encoding)
    files = files_of(name, format_of(name, file_format), LOCAL)
    return _items(files, known, ItemFields(id_field, content_field, strict))


def parsed(raw: RawRecord, fields: ItemFields) -> tuple[Item, bool] | Failure:
    """The item that a raw record is, and whether its id was derived; or its failure.

    Raises:
        StrictModeError: it is none, and `fields` are strict.
    """
    try:
        if raw.problem is not None:
            raise InputError(f"{raw.where}: {raw.problem}")
        return item_and_origin(
            raw.record, where=raw.where, id_field=fields.id_field, content_field=fields.content_field
        )
    except InputError as error:
        if fields.strict:
            raise StrictModeError(str(error)) from None
        return Failure(dimension="input", item_id=raw.where, error_class="bad_input", message=str(error))


def text_records(
    path: str, files: Files, place: FileSystem, encoding: str | None, content_field: str
) -> Iterator[RawRecord]:
    """The records of a JSON or CSV file.

    Raises:
        InputError: the whole file cannot be read.
    """
    name = files.name(path)
    lines = byte_lines(utf8_chunks(chunks_of(path, name, place), name, encoding))
    if files.file_format == "csv":
        records = csv_records(lines, name, content_field)
    elif files.file_format == "json":
        records = json_records(lines, name)
    else:
        records = json_line_records(lines, name)
    partition = files.partition(path)
    for record in records:
        yield _with_partition(record, partition, content_field)


def part_records(path: str, part: int, files: Files, place: FileSystem) -> Iterator[RawRecord]:
    """The records of one part of a Parquet or Arrow file, counted from 0.

    Raises:
        InputError: the file is damaged.
    """
    name, partition = files.name(path), files.partition(path)
    file_format: TableFormat = "parquet" if files.file_format == "parquet" else "arrow"
    for number, row in enumerate(table_rows(part_of_table(path, name, place, file_format, part))):
        where = f"{name}:row {number} (counted from 0 in its row group)"
        if isinstance(row, InputError):
            yield RawRecord(where=where, problem=str(row))
        else:
            yield _with_partition(RawRecord(where=where, record=row), partition, "")


def _items(files: Files, encoding: str | None, fields: ItemFields) -> Iterator[Item | Failure]:
    seen: Counter[str] = Counter()
    for raw in _records(files, encoding, fields.content_field):
        found = parsed(raw, fields)
        if isinstance(found, Failure):
            yield found
            continue
        item, is_derived = found
        if is_derived:
            seen[item.id] += 1
            item = numbered(item, seen[item.id])
        yield item


def _records(files: Files, encoding: str | None, content_field: str) -> Iterator[RawRecord]:
    for path in LOCAL.paths(files.pattern):
        if not files.has(path):
            continue
        if files.file_format == "parquet" or files.file_format == "arrow":
            for part in range(parts_of_table(path, files.name(path), LOCAL, files.file_format, content_field)):
                yield from part_records(path, part, files, LOCAL)
        else:
            yield from text_records(path, files, LOCAL, encoding, content_field)


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
