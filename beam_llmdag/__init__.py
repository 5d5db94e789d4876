"""Graphs of LLM analyses over batches of any size, on Apache Beam.

Names that need Beam or Arrow are loaded when they are first used, so that `import beam_llmdag` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from beam_llmdag.calls.batch.rounds import Rounds
from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.dag import Dag
from beam_llmdag.errors import (
    CallError,
    FetchError,
    GraphError,
    InputError,
    LLMDagError,
    SharedLimitsError,
    StoreError,
    StrictModeError,
)
from beam_llmdag.graph.dimension import Dimension, Regroup
from beam_llmdag.model import Image, Message, Model
from beam_llmdag.providers.prices import Price
from beam_llmdag.records.item import Item
from beam_llmdag.records.result import Attempt, CostRow, Failure, Result, Row
from beam_llmdag.run.diff import Diff, DiffLine
from beam_llmdag.run.estimate import Estimate, EstimateLine
from beam_llmdag.run.missing import Missing
from beam_llmdag.run.report import Report
from beam_llmdag.usage import Usage

if TYPE_CHECKING:
    from beam_llmdag.beam.io.bigquery.write import WriteBigQueryResults
    from beam_llmdag.beam.io.read import ReadItems
    from beam_llmdag.beam.io.results import WriteResults
    from beam_llmdag.beam.llm_dag import LLMDag, Results
    from beam_llmdag.beam.summarise import Summarise
    from beam_llmdag.enrichment import enrich
    from beam_llmdag.records.files import read_items
    from beam_llmdag.yaml.load import load_dag

__all__ = [
    "Attempt",
    "CallError",
    "CostRow",
    "Dag",
    "Diff",
    "DiffLine",
    "Dimension",
    "Estimate",
    "EstimateLine",
    "Failure",
    "FetchError",
    "GraphError",
    "Image",
    "InputError",
    "Item",
    "LLMDag",
    "LLMDagError",
    "Message",
    "Missing",
    "Model",
    "Price",
    "ReadItems",
    "Regroup",
    "Report",
    "Result",
    "Results",
    "RetryPolicy",
    "Rounds",
    "Row",
    "SharedLimitsError",
    "StoreError",
    "StrictModeError",
    "Summarise",
    "Usage",
    "WriteBigQueryResults",
    "WriteResults",
    "enrich",
    "load_dag",
    "read_items",
]

_LAZY = {
    "LLMDag": "beam_llmdag.beam.llm_dag",
    "Results": "beam_llmdag.beam.llm_dag",
    "ReadItems": "beam_llmdag.beam.io.read",
    "Summarise": "beam_llmdag.beam.summarise",
    "WriteBigQueryResults": "beam_llmdag.beam.io.bigquery.write",
    "WriteResults": "beam_llmdag.beam.io.results",
    "enrich": "beam_llmdag.enrichment",
    "load_dag": "beam_llmdag.yaml.load",
    "read_items": "beam_llmdag.records.files",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
