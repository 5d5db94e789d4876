"""A run over a sample, for an estimate."""

from __future__ import annotations

import random
from typing import Any

from beam_llmdag.errors import GraphError
from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.in_memory import frame_kind, items_from, records_of
from beam_llmdag.records.result import Failure
from beam_llmdag.run.estimate import Estimate, bounds, estimate_from
from beam_llmdag.run.first_prompts import FirstPrompts
from beam_llmdag.run.local import LocalRun
from beam_llmdag.run.options import RunOptions, call_options

__all__ = ["estimated"]

_RUN_ID = "estimate"
"""Of the run over the sample, always: so that an estimate that is made again knows what its answers have cost."""


def estimated(graph: Graph, items: Any, *, sample: int, seed: int, options: RunOptions) -> Estimate:
    """See `Dag.estimate`."""
    graph.validate()
    if sample < 0:
        raise GraphError(f"sample must be 0 or more, not {sample}")
    names = options.get("id_field", "id"), options.get("content_field", "content")
    records = items
    if frame_kind(items) is None:  # `read_items` gives failures as well
        records = [record for record in records_of(items, names[0]) if not isinstance(record, Failure)]
    known = items_from(records, id_field=names[0], content_field=names[1])
    keeps = call_options(options, local=True).store is not None
    prompts = FirstPrompts.of(graph, known, apart=not keeps)
    if not sample or not prompts.items:
        return bounds(graph, prompts, len(known))
    drawn = sorted(random.Random(seed).sample(range(len(prompts.items)), min(sample, len(prompts.items))))
    run = LocalRun(graph, {"run_id": _RUN_ID, **options, "lane": "direct", "deadline": None})
    run.run([prompts.items[index] for index in drawn])
    return estimate_from(graph, prompts, len(known), drawn, run.report())
