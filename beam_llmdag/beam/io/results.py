"""All results of an `LLMDag` as records, and to files in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from beam_llmdag.beam.io.write import WriteRecords
from beam_llmdag.beam.llm_dag import Results
from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.files_of_records import OutputFormat
from beam_llmdag.records.records import Record
from beam_llmdag.records.result import Result
from beam_llmdag.run.run_outputs import RunOutput, outputs_of

__all__ = ["ResultOutput", "WriteResults", "result_outputs"]

_LABELS = {"failures": "Failure records", "costs": "Cost records"}  # of steps, where they are not those of an output


class WriteResults(beam.PTransform[Any, Any]):
    """Writes what `LLMDag` made to files in a folder:

    * `items`: a row per item, a nested column per dimension;
    * `regrouped/<regroup>`: the same for the new items of a regroup;
    * `globals/<dimension>`: answers of a global dimension, and reports of a regroup;
    * `failures`: failed results and unreadable inputs, with all attempts;
    * `costs`: the bill, a row per item, dimension and attempt.

    The schemas come from the dag, not from the answers: they are the same when every answer failed.

    Args:
        dag: the dag whose results these are.
        folder: where, on any file system of Beam.
        unreadable: more failures, those of `ReadItems`.
        file_format: `"parquet"` or `"jsonl"`.
        num_shards: files per item output, see `WriteRecords`; failures and costs follow it, globals are one file each.
        timings: whether `costs` says how long each call took and waited for its permit. Then no two runs write the
            same bytes.
    """

    def __init__(
        self,
        dag: Graph,
        folder: str,
        *,
        unreadable: PCollection[Any] | None = None,
        file_format: OutputFormat = "parquet",
        num_shards: int = 1,
        timings: bool = False,
    ) -> None:
        super().__init__()
        self._dag = dag
        self._folder = folder.rstrip("/")
        self._unreadable = unreadable
        self._file_format: OutputFormat = file_format
        self._num_shards = num_shards
        self._timings = timings

    def expand(self, results: Results) -> None:
        """See the class."""
        # one worker has all rows of a single file, and so knows the type of each name in their metadata
        typed = self._num_shards == 1 or self._file_format == "jsonl"
        for output in result_outputs(self._dag, results, self._unreadable, typed_rows=typed, timings=self._timings):
            num_shards = 1 if output.name.startswith("globals/") else self._num_shards
            output.records | f"Write {output.name}" >> WriteRecords(
                f"{self._folder}/{output.name}",
                output.schema,
                file_format=self._file_format,
                num_shards=num_shards,
                typed_metadata=typed and "metadata" in output.schema.names,
            )


class ResultOutput(NamedTuple):
    """One of the outputs of `LLMDag`, as records.

    Attributes:
        name: `items`, `regrouped/<regroup>`, `globals/<name>`, `failures` or `costs`.
        records: dicts that fit `schema`.
        schema: its columns.
        dimension: whose answers these are; None where a record has several dimensions, or is none of their answers.
    """

    name: str
    records: PCollection[Record]
    schema: pa.Schema
    dimension: str | None = None


def result_outputs(
    dag: Graph,
    results: Results,
    unreadable: PCollection[Any] | None,
    *,
    typed_rows: bool = True,
    timings: bool = False,
) -> Iterator[ResultOutput]:
    """What is written about a run, wherever it is written to.

    Args:
        dag: the dag whose results these are.
        results: what `LLMDag` made.
        unreadable: more failures, those of the inputs; None for none.
        typed_rows: see `outputs_of`.
        timings: see `WriteResults`.
    """
    for output in outputs_of(dag, typed_rows=typed_rows, timings=timings):
        label = _LABELS.get(output.source, f"Records of {output.name.removeprefix('globals/')}")
        made = _made(output, results, unreadable) | label >> beam.Map(output.record)
        yield ResultOutput(output.name, made, output.schema, output.step if output.source == "globals" else None)


def _made(output: RunOutput, results: Results, unreadable: PCollection[Any] | None) -> Any:
    if output.source == "regrouped":
        assert output.step is not None
        return results.regrouped[output.step]
    if output.source == "globals":
        return results.globals | f"Answers of {output.step}" >> beam.Filter(_is_of, output.step)
    if output.source == "failures" and unreadable is not None:
        return (results.failures, unreadable) | "All failures" >> beam.Flatten()
    return getattr(results, output.source)


def _is_of(result: Result, name: str) -> bool:
    return result.dimension == name
