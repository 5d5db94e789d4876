"""The outputs of a run as records, wherever they are written: to files, with Beam or without, or to tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from beam_llmdag.graph.dimension import Dimension, Regroup
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
from beam_llmdag.run.regroup import REGROUP_SCHEMA

__all__ = ["FAILURES_OUTPUT", "RunOutput", "outputs_of"]

FAILURES_OUTPUT = "failures"
"""Name of the output with the failures."""


class RunOutput(NamedTuple):
    """One of the outputs of a run.

    Attributes:
        name: `items`, `regrouped/<regroup>`, `globals/<name>`, `failures` or `costs`.
        source: what it is made of: the rows of items, of the new items of a regroup, results of globals, …
        schema: columns of its records.
        record: makes a record of a row, result, failure or line of the bill.
        step: whose rows or results these are; None where they are not those of one step.
    """

    name: str
    source: Literal["items", "regrouped", "globals", "failures", "costs"]
    schema: pa.Schema
    record: Callable[[Any], Record]
    step: str | None = None

    @property
    def has_metadata(self) -> bool:
        """Whether its records have a column with the items' metadata."""
        return "metadata" in self.schema.names


def outputs_of(graph: Graph, *, typed_rows: bool, timings: bool = False) -> Iterator[RunOutput]:
    """What is written about a run. The schemas come from the graph: they are the same when every answer failed.

    Args:
        graph: the dag whose results these are.
        typed_rows: whether metadata is kept as it was, for who sees all rows; else each value is a text.
        timings: whether the bill says how long each call took and waited for its permit.
    """
    yield _rows(graph, "items", None, typed=typed_rows)
    for name, step in graph.steps.items():
        if isinstance(step, Regroup):
            yield _rows(graph, f"regrouped/{name}", name, typed=typed_rows)
    for name, step in graph.steps.items():
        if not isinstance(step, Dimension):
            yield _answers(name, REGROUP_SCHEMA)
        elif step.scope == "global":
            yield _answers(name, step.output.data_schema)
    yield RunOutput(FAILURES_OUTPUT, "failures", FAILURES_SCHEMA, failure_record)
    bill, schema = (timed_cost_record, TIMED_COSTS_SCHEMA) if timings else (cost_record, COSTS_SCHEMA)
    yield RunOutput("costs", "costs", schema, bill)


def _rows(graph: Graph, name: str, space: str | None, *, typed: bool) -> RunOutput:
    dimensions = graph.item_dimensions(space)
    schema = rows_schema({name: dimension.output.data_schema for name, dimension in dimensions.items()})
    record = partial(typed_row_record if typed else row_record, schema=schema)
    return RunOutput(name, "items" if space is None else "regrouped", schema, record, space)


def _answers(name: str, data_schema: Any) -> RunOutput:
    schema = globals_schema(data_schema)
    return RunOutput(f"globals/{name}", "globals", schema, partial(global_record, schema=schema), name)
