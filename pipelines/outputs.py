"""Files that the example pipelines write: results, and the counters of the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.runners.runner import PipelineResult

from beam_llmdag.dag import Dag
from beam_llmdag.dimension import Regroup
from beam_llmdag.io.records import cost_record, failure_record, global_record, row_record
from beam_llmdag.io.schemas import COSTS_SCHEMA, FAILURES_SCHEMA, globals_schema, rows_schema
from beam_llmdag.io.write import WriteRecords
from beam_llmdag.regroup import REGROUP_SCHEMA
from beam_llmdag.result import Result

__all__ = ["write_counters", "write_results", "write_rows"]


def write_rows(rows: Any, dag: Dag, dimensions: list[str], path_prefix: str, shards: int) -> None:
    """Writes finished rows to Parquet, with a column for each of `dimensions`."""
    schema = rows_schema({name: dag.dimensions[name].output.schema for name in dimensions})
    name = path_prefix.rpartition("/")[2]
    records = rows | f"Record {name}" >> beam.Map(row_record, schema)
    records | f"Write {name}" >> WriteRecords(path_prefix, schema, num_shards=shards)


def write_results(results: Any, unreadable: Any, dag: Dag, folder: str) -> None:
    """Writes a file for each global dimension and each regroup's report, one for failures, one for costs.

    Args:
        results: what `LLMDag` made.
        unreadable: failures of the reading, which go to the same file as those of the dimensions.
        dag: the graph.
        folder: where the files go.
    """
    for name, step in dag.steps.items():
        if isinstance(step, Regroup) or step.scope == "global":
            schema = globals_schema(REGROUP_SCHEMA if isinstance(step, Regroup) else step.output.schema)
            answers = results.globals | f"Only {name}" >> beam.Filter(_is_of, name)
            records = answers | f"Record {name}" >> beam.Map(global_record, schema)
            records | f"Write {name}" >> WriteRecords(f"{folder}/{name}", schema)
    every = (results.failures, unreadable) | "All failures" >> beam.Flatten()
    failures = every | "Record failures" >> beam.Map(failure_record)
    failures | "Write failures" >> WriteRecords(f"{folder}/failures", FAILURES_SCHEMA)
    costs = results.costs | "Record costs" >> beam.Map(cost_record)
    costs | "Write costs" >> WriteRecords(f"{folder}/costs", COSTS_SCHEMA)


def write_counters(result: PipelineResult, path: str) -> None:
    """Writes the counters of a finished run as JSON: dimension -> counter -> number.

    Counters show progress; where a runner repeats work they count it twice, or not at all. The bill is the costs file.
    """
    counted: dict[str, dict[str, int]] = {}
    for counter in result.metrics().query()["counters"]:
        namespace, _, dimension = counter.key.metric.namespace.partition("/")
        if namespace == "llmdag":
            counted.setdefault(dimension, {})[counter.key.metric.name] = counter.result
    Path(path).write_text(json.dumps(counted, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _is_of(result: Result, dimension: str) -> bool:
    return result.dimension == dimension
