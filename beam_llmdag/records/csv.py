"""CSV as raw records: every cell is text, as it stands in the file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence

from beam_llmdag.errors import InputError
from beam_llmdag.records.encoding import not_utf8
from beam_llmdag.records.raw import RawRecord
from beam_llmdag.telling import listed

__all__ = ["csv_records"]

_LONGEST_CELL = 2**31 - 1  # the largest limit that the csv module takes on every platform


def csv_records(lines: Iterable[bytes], name: str, content_field: str) -> Iterator[RawRecord]:
    """The rows of a CSV file with a header, as dicts of texts.

    Separator is the comma, quote the double quote, doubled inside quotes (RFC 4180). Blank lines, and rows in which
    all cells are empty, are no records. A row with more or fewer cells than the header, with bytes that are not
    UTF-8, or with a broken quote is a record with a problem.

    Args:
        lines: lines of the file, see `byte_lines`.
        name: name of the file, for `RawRecord.where`.
        content_field: column that the file must have.

    Raises:
        InputError: two columns have one name, the header is not UTF-8, or there is no column `content_field`.
    """
    csv.field_size_limit(_LONGEST_CELL)
    # Bytes that are no UTF-8 pass as lone surrogates, so that one of them costs its own row and not those behind it.
    texts = (line.decode("utf-8", "surrogateescape") for line in lines)
    reader = csv.reader(texts, strict=True)
    header: list[str] | None = None
    last_line = 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            where = f"{name}:line {last_line + 1}"
            if header is None:
                raise InputError(f"{where}: the header is no CSV: {error}") from error
            yield RawRecord(where=where, problem=_broken(error, last_line + 1, reader.line_num))
            last_line = reader.line_num
            continue
        where, last_line = f"{name}:line {last_line + 1}", reader.line_num
        if header is None:
            header = _checked_header(row, where, content_field) if any(row) else None
        elif any(row):
            yield _record(row, header, where)


def _broken(error: csv.Error, first: int, last: int) -> str:
    lines = f"; a quoted cell reached to line {last}, and nothing up to there was read" if last > first else ""
    return f"no CSV: {error}{lines}"


def _checked_header(header: Sequence[str], where: str, content_field: str) -> list[str]:
    if not _is_utf8(header):
        raise InputError(f"{where}: the header is {not_utf8(','.join(header).encode('utf-8', 'surrogateescape'))}")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise InputError(f"{where}: more than one column is called {listed(repeated)}; rename them")
    if content_field not in header:
        hint = " (cells are separated by commas)" if len(header) == 1 else ""
        raise InputError(
            f"{where}: no column {content_field!r}; its columns are {listed(header)}{hint}. "
            "Rename one, or name it with content_field="
        )
    return list(header)


def _record(row: Sequence[str], header: Sequence[str], where: str) -> RawRecord:
    if not _is_utf8(row):
        return RawRecord(where=where, problem=not_utf8(",".join(row).encode("utf-8", "surrogateescape")))
    if len(row) != len(header):
        return RawRecord(where=where, problem=f"{len(row)} cells where the header has {len(header)}")
    return RawRecord(where=where, record=dict(zip(header, row, strict=True)))


def _is_utf8(cells: Iterable[str]) -> bool:
    try:
        "".join(cells).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
