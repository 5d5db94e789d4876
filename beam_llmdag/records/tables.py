"""Files that are tables, Parquet and Arrow, in parts that are read by themselves."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from beam_llmdag.errors import InputError
from beam_llmdag.records.file_system import FileSystem
from beam_llmdag.records.unpacked import chunks_of, is_packed
from beam_llmdag.telling import listed

__all__ = ["TableFormat", "part_of_table", "parts_of_table"]

TableFormat = Literal["parquet", "arrow"]

_DAMAGED = (pa.ArrowException, OSError, ValueError, EOFError)
"""What pyarrow raises about bytes that are no table."""


def parts_of_table(path: str, name: str, place: FileSystem, file_format: TableFormat, content_field: str) -> int:
    """How many parts a file has: row groups of Parquet, record batches of Arrow.

    Args:
        path: where the file is.
        name: what the file is called in messages.
        place: the file system that has it.
        file_format: what it is.
        content_field: column that the file must have.

    Raises:
        InputError: the file is cut or damaged, is of another format, or has no column `content_field`.
    """
    with _opened(path, name, place, file_format) as file:
        columns = file.schema_arrow.names if file_format == "parquet" else file.schema.names
        if content_field not in columns:
            raise InputError(
                f"{name}: no column {content_field!r}; its columns are {listed(columns)}. "
                "Rename one, or name it with content_field="
            )
        return int(file.num_row_groups if file_format == "parquet" else file.num_record_batches)


def part_of_table(path: str, name: str, place: FileSystem, file_format: TableFormat, part: int) -> pa.Table:
    """One part of a file, counted from 0; see `parts_of_table`."""
    with _opened(path, name, place, file_format) as file:
        if file_format == "parquet":
            table: pa.Table = file.read_row_group(part)
            return table
        batch = file.get_batch(part)
        batch.validate(
            full=True
        )  # Arrow takes the bytes as they are, and offsets that lead out of them end the process
        return pa.Table.from_batches([batch])


@contextmanager
def _opened(path: str, name: str, place: FileSystem, file_format: TableFormat) -> Iterator[Any]:
    try:
        with _handle(path, name, place) as handle:
            yield pq.ParquetFile(handle) if file_format == "parquet" else pa.ipc.open_file(handle)
    except InputError:
        raise
    except _DAMAGED as error:
        what = "Parquet" if file_format == "parquet" else "Arrow"
        told = " ".join(str(error).split())
        raise InputError(
            f"{name}: the file is damaged or incomplete, or is no {what} file: {told}. Get the whole file"
        ) from error


def _handle(path: str, name: str, place: FileSystem) -> Any:
    """The file, unpacked in memory if it is packed: its directory stands at its end."""
    return io.BytesIO(b"".join(chunks_of(path, name, place))) if is_packed(path) else place.open(path)
