"""All results of an `LLMDag` to files in one folder."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from beam_llmdag.dag import Dag
from beam_llmdag.dimension import Dimension
from beam_llmdag.io.records import cost_record, failure_record, global_record, row_record
from beam_llmdag.io.schemas import COSTS_SCHEMA, FAILURES_SCHEMA, globals_schema, rows_schema
from beam_llmdag.io.write import OutputFormat, WriteRecords
from beam_llmdag.regroup import REGROUP_SCHEMA
from beam_llmdag.result import Result
from beam_llmdag.transforms.llm_dag import Results
from beam_llmdag.validation import item_spaces

__all__ = ["WriteResults"]


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
    """

    def __init__(
        self,
        dag: Dag,
        folder: str,
        *,
        unreadable: PCollection[Any] | None = None,
        file_format: OutputFormat = "parquet",
        num_shards: int = 1,
    ) -> None:
        super().__init__()
        self._dag = dag
        self._folder = folder.rstrip("/")
        self._unreadable = unreadable
        self._file_format: OutputFormat = file_format
        self._num_shards = num_shards

    def expand(self, results: Results) -> None:
        """See the class."""
        self._write_rows(results.items, "items", None)
        for name, rows in results.regrouped.items():
            self._write_rows(rows, f"regrouped/{name}", name)
        for name, step in self._dag.steps.items():
            if not isinstance(step, Dimension):
                self._write_global(results.globals, name, REGROUP_SCHEMA)
            elif step.scope == "global":
                self._write_global(results.globals, name, step.output.data_schema)
        failures = results.failures
        if self._unreadable is not None:
            failures = (failures, self._unreadable) | "All failures" >> beam.Flatten()
        self._write(
            failures | "Failure records" >> beam.Map(failure_record), "failures", FAILURES_SCHEMA, self._num_shards
        )
        self._write(results.costs | "Cost records" >> beam.Map(cost_record), "costs", COSTS_SCHEMA, self._num_shards)

    def _write_rows(self, rows: PCollection[Any], name: str, space: str | None) -> None:
        spaces = item_spaces(self._dag.steps)
        dimensions = {
            step.name: step.output.data_schema
            for step in self._dag.dimensions.values()
            if step.scope == "item" and spaces[step.name] == space
        }
        schema = rows_schema(dimensions)
        self._write(rows | f"Records of {name}" >> beam.Map(row_record, schema), name, schema, self._num_shards)

    def _write_global(self, results: PCollection[Any], name: str, data_schema: Any) -> None:
        schema = globals_schema(data_schema)
        mine = results | f"Answers of {name}" >> beam.Filter(_is_of, name)
        self._write(mine | f"Records of {name}" >> beam.Map(global_record, schema), f"globals/{name}", schema, 1)

    def _write(self, records: PCollection[Any], name: str, schema: Any, num_shards: int) -> None:
        records | f"Write {name}" >> WriteRecords(
            f"{self._folder}/{name}", schema, file_format=self._file_format, num_shards=num_shards
        )


def _is_of(result: Result, name: str) -> bool:
    return result.dimension == name
