"""All results of an `LLMDag` as records, and to files in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from beam_llmdag.beam.io.write import OutputFormat, WriteRecords
from beam_llmdag.beam.llm_dag import Results
from beam_llmdag.graph.dimension import Dimension
from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.arrow_schemas import (
    COSTS_SCHEMA,
    FAILURES_SCHEMA,
    TIMED_COSTS_SCHEMA,
    globals_schema,
    rows_schema,
)
from beam_llmdag.records.records import (
    Record,
    cost_record,
    failure_record,
    global_record,
    row_record,
    timed_cost_record,
    typed_row_record,
)
from beam_llmdag.records.result import Result, Row
from beam_llmdag.run.regroup import REGROUP_SCHEMA

__all__ = ["FAILURES_OUTPUT", "ResultOutput", "WriteResults", "result_outputs"]

FAILURES_OUTPUT = "failures"
"""Name of the output with the failures."""


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
        to_record = typed_row_record if typed else row_record
        for output in result_outputs(self._dag, results, self._unreadable, to_record, timings=self._timings):
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
    to_record: Callable[[Row, pa.Schema], Record] = row_record,
    *,
    timings: bool = False,
) -> Iterator[ResultOutput]:
    """What is written about a run, wherever it is written to.

    Args:
        dag: the dag whose results these are.
        results: what `LLMDag` made.
        unreadable: more failures, those of the inputs; None for none.
        to_record: makes a record of a row.
        timings: see `WriteResults`.
    """
    yield _rows(dag, results.items, "items", None, to_record)
    for name, rows in results.regrouped.items():
        yield _rows(dag, rows, f"regrouped/{name}", name, to_record)
    for name, step in dag.steps.items():
        if not isinstance(step, Dimension):
            yield _global(results.globals, name, REGROUP_SCHEMA)
        elif step.scope == "global":
            yield _global(results.globals, name, step.output.data_schema)
    failures = results.failures
    if unreadable is not None:
        failures = (failures, unreadable) | "All failures" >> beam.Flatten()
    records = failures | "Failure records" >> beam.Map(failure_record)
    yield ResultOutput(FAILURES_OUTPUT, records, FAILURES_SCHEMA)
    bill = results.costs | "Cost records" >> beam.Map(timed_cost_record if timings else cost_record)
    yield ResultOutput("costs", bill, TIMED_COSTS_SCHEMA if timings else COSTS_SCHEMA)


def _rows(
    dag: Graph,
    rows: PCollection[Any],
    name: str,
    space: str | None,
    to_record: Callable[[Row, pa.Schema], Record],
) -> ResultOutput:
    dimensions = dag.item_dimensions(space)
    schema = rows_schema({name: dimension.output.data_schema for name, dimension in dimensions.items()})
    return ResultOutput(name, rows | f"Records of {name}" >> beam.Map(to_record, schema), schema)


def _global(results: PCollection[Any], name: str, data_schema: Any) -> ResultOutput:
    schema = globals_schema(data_schema)
    mine = results | f"Answers of {name}" >> beam.Filter(_is_of, name)
    records = mine | f"Records of {name}" >> beam.Map(global_record, schema)
    return ResultOutput(f"globals/{name}", records, schema, name)


def _is_of(result: Result, name: str) -> bool:
    return result.dimension == name
