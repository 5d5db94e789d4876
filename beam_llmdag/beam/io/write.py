"""Records to Parquet and JSON Lines files, through Beam's own sinks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.coders import BytesCoder
from apache_beam.io.filebasedsink import FileBasedSink
from apache_beam.io.iobase import Write
from apache_beam.pvalue import AsIter, PCollection
from apache_beam.transforms.window import GlobalWindows

from beam_llmdag.errors import InputError
from beam_llmdag.records.files_of_records import (
    OutputFormat,
    check_output_format,
    json_line,
    ordered_lines,
    parquet_file,
)

__all__ = ["WriteRecords"]


class WriteRecords(beam.PTransform[Any, Any]):
    """Writes a PCollection of dicts to files and returns the PCollection of their names.

    In Parquet, lists are written in the standard three levels, as BigQuery and Spark read them. In JSON Lines, one
    object per line has its keys in the order of the schema; text is UTF-8, a map is an object, NaN and infinities are
    null. Without any record there is still a file: a Parquet file has the full schema and no rows.

    With one shard, the default, the records are gathered in the memory of one worker, ordered by id (or item),
    dimension and attempt, and written to `<prefix>.parquet` or `<prefix>.jsonl`: the same records give the same bytes
    on every runner.

    With more, or with 0 (the runner decides), records are written in parallel and in no order to
    `<prefix>-00000-of-00004.parquet`, ....

    Args:
        path_prefix: path without the ending, on any file system of Beam.
        schema: columns of the file, see `records.arrow_schemas`; the dicts must fit it, see `records.records`.
        file_format: `"parquet"` or `"jsonl"`.
        num_shards: how many files.
        typed_metadata: whether the records are those of `typed_row_record`. In one Parquet file, their column
            `metadata` is a struct with the types of the values, see `metadata_field`: one worker has seen all of them.

    Raises:
        InputError: another format, a negative number of shards, or one shard for an unbounded PCollection.
    """

    def __init__(
        self,
        path_prefix: str | os.PathLike[str],
        schema: pa.Schema,
        *,
        file_format: OutputFormat = "parquet",
        num_shards: int = 1,
        typed_metadata: bool = False,
    ) -> None:
        super().__init__()
        check_output_format(file_format)
        if num_shards < 0:
            raise InputError(f"num_shards must be 0 (the runner decides) or more, not {num_shards}")
        self._path_prefix = os.fspath(path_prefix)
        self._schema = schema
        self._file_format = file_format
        self._num_shards = num_shards
        self._typed_metadata = typed_metadata

    def expand(self, records: PCollection[dict[str, Any]]) -> Any:
        """See the class."""
        if self._num_shards == 1:
            return self._one_ordered_file(records)
        if self._file_format == "parquet":
            return records | "Write" >> beam.io.WriteToParquet(
                self._path_prefix,
                self._schema,
                codec="snappy",
                use_compliant_nested_type=True,
                file_name_suffix=".parquet",
                num_shards=self._num_shards,
            )
        lines = records | "Lines" >> beam.Map(json_line, self._schema).with_output_types(str)
        return lines | "Write" >> beam.io.WriteToText(
            self._path_prefix, file_name_suffix=".jsonl", num_shards=self._num_shards
        )

    def _one_ordered_file(self, records: PCollection[dict[str, Any]]) -> Any:
        if not records.is_bounded:
            raise InputError(
                f"{self._path_prefix}: an unbounded PCollection never ends, so it cannot become one ordered file; "
                "pass num_shards=0 or more than 1"
            )
        # A side input, not a Combine or GroupByKey: it fires once also when there are no records.
        everything = AsIter(records | "OneWindow" >> beam.WindowInto(GlobalWindows()))
        once = records.pipeline | "Once" >> beam.Create([None])
        if self._file_format == "parquet":
            files = once | "Table" >> beam.Map(
                _parquet, everything, self._schema, self._typed_metadata
            ).with_output_types(bytes)
            return files | "Write" >> Write(_WholeFile(self._path_prefix, ".parquet"))
        texts = once | "Text" >> beam.FlatMap(_text, everything, self._schema).with_output_types(str)
        return texts | "Write" >> beam.io.WriteToText(
            self._path_prefix, file_name_suffix=".jsonl", shard_name_template=""
        )


class _WholeFile(FileBasedSink):
    """Writes one element, the bytes of a file."""

    def __init__(self, path_prefix: str, ending: str) -> None:
        super().__init__(path_prefix, BytesCoder(), file_name_suffix=ending, shard_name_template="")

    def write_record(self, file_handle: Any, value: bytes) -> None:
        file_handle.write(value)


def _parquet(_once: None, records: Iterable[Mapping[str, Any]], schema: pa.Schema, typed_metadata: bool) -> bytes:
    return parquet_file(records, schema, typed_metadata=typed_metadata)


def _text(_once: None, records: Iterable[Mapping[str, Any]], schema: pa.Schema) -> Iterator[str]:
    lines = ordered_lines(records, schema)
    if lines:  # one element: a sink does not promise to keep the order of several
        yield "\n".join(lines)
