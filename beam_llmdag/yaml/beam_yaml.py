"""`LLMDag` as a transform of Beam YAML: a dag file over the rows of a pipeline that nobody programmed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput

from beam_llmdag.beam.io.beam_rows import BeamRows, FailureRows, ToBeamRows
from beam_llmdag.beam.io.read import ReadItems
from beam_llmdag.beam.llm_dag import LLMDag
from beam_llmdag.dag import Dag
from beam_llmdag.errors import GraphError, InputError, StrictModeError
from beam_llmdag.model import LaneName
from beam_llmdag.records.item import Item, item_from
from beam_llmdag.records.result import Failure
from beam_llmdag.yaml.load import load_dag

__all__ = ["LLMDagFile", "ReadItemsFile"]

_UNREADABLE = "unreadable"
_SHOWN = 200


class LLMDagFile(beam.PTransform[Any, Any]):
    """Runs a dag file over rows, and returns rows with schemas.

    The outputs are named:

    * `good`: a row per item, with a nested row per dimension. An item of which one dimension failed is here as well:
      the `status` of each dimension tells.
    * `failures`, or the name that `error_handling` gives: failed results and rows that are no items.
    * `costs`: the bill, a row per item, dimension and attempt.
    * one for each global dimension, with its answers; for each regroup, with the new items; and `<regroup>_report`.

    Args:
        dag: Path of the dag file, on any file system of Beam.
        id_field: Name of the field with the id. Rows without that field get an id made of their content.
        content_field: Name of the field with the content. All other fields are metadata.
        plan: `staged`, `pipelined` or `auto`, see `LLMDag`.
        store: File of the answer store; false for none, true for the default place.
        budget_usd: Dollars that the calls of one worker process may cost.
        strict: Whether the first failure fails the pipeline.
        run_id: Name of the run, see `LLMDag`.
        keep_prompts: Whether failures say what was asked, see `LLMDag`.
        lane: `batch`: the pipeline is one round of a run in vendors' batch APIs, see `LLMDag`; `direct`: nothing is.
        error_handling: Beam YAML's `{output: name}`: another name for `failures`, which some transform must read then.

    Raises:
        GraphError: The dag file is wrong, or an output has the name of another.
    """

    def __init__(
        self,
        dag: str,
        id_field: str = "id",
        content_field: str = "content",
        plan: str = "auto",
        store: Any = None,
        budget_usd: float | None = None,
        strict: bool = False,
        run_id: str | None = None,
        keep_prompts: bool = False,
        lane: LaneName | None = None,
        error_handling: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._dag = load_dag(dag)
        self._items = _ItemOf(id_field, content_field, strict)
        options: dict[str, Any] = {"plan": plan, "store": store, "budget_usd": budget_usd, "run_id": run_id}
        self._llm_dag = LLMDag(self._dag, strict=strict, keep_prompts=keep_prompts, lane=lane, **options)
        self._failures = _failures_name(error_handling)
        _check_names(self._dag, self._failures)

    def expand(self, rows: PCollection[Any]) -> dict[str, PCollection[Any]]:
        """See the class."""
        parsed = rows | "Items" >> beam.ParDo(self._items).with_output_types(
            Item, **{_UNREADABLE: Failure}
        ).with_outputs(_UNREADABLE, main="items")
        results = parsed.items | "Analyse" >> self._llm_dag
        failures = (results.failures, parsed[_UNREADABLE]) | "All failures" >> beam.Flatten()
        made: BeamRows = results._replace(failures=failures) | "To rows" >> ToBeamRows(self._dag)
        outputs = {"good": made.items, self._failures: made.failures, "costs": made.costs, **made.regrouped}
        reports = {_report(name) if name in made.regrouped else name: rows for name, rows in made.globals.items()}
        return {**outputs, **reports}


class ReadItemsFile(beam.PTransform[Any, Any]):
    """Reads items for `LLMDag` from JSON Lines, JSON, CSV, Parquet or Arrow files, with every text as it is there.

    Beam YAML's own readers of CSV and JSON guess types: the id `007` is the number 7 to them, `NA` is missing, and a
    text that looks like a date is one. Two outputs are named: `good`, the items, which have no schema, and `failures`,
    or the name that `error_handling` gives, rows that tell of records that are no items.

    Args:
        path: Path or glob pattern of the files, or a folder of them.
        id_field: Name of the field with the id.
        content_field: Name of the field with the content. All other fields are metadata.
        format: `jsonl`, `json`, `csv`, `parquet` or `arrow`; what the ending of `path` says if left out.
        encoding: Of JSON and CSV files, as Python calls it (`cp1252`, `utf-16`); UTF-8 if left out.
        strict: Whether the first bad record fails the pipeline.
        error_handling: Beam YAML's `{output: name}`.

    Raises:
        GraphError: `error_handling` is wrong.
        InputError: The format is unknown, or no file matches.
    """

    _yaml_requires_inputs = False

    def __init__(
        self,
        path: str,
        id_field: str = "id",
        content_field: str = "content",
        format: str | None = None,
        encoding: str | None = None,
        strict: bool = False,
        error_handling: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"file_format": format, "encoding": encoding, "strict": strict}
        self._read = ReadItems(path, id_field=id_field, content_field=content_field, **options)
        self._failures = _failures_name(error_handling)

    def expand(self, begin: PBegin) -> dict[str, PCollection[Any]]:
        """See the class."""
        read = begin | "Read" >> self._read
        return {"good": read.items, self._failures: read.failures | "To rows" >> FailureRows()}


class _ItemOf(beam.DoFn):
    """Row → `Item`, or under a tag the `Failure` of a row that is none."""

    def __init__(self, id_field: str, content_field: str, strict: bool) -> None:
        self._fields = {"id_field": id_field, "content_field": content_field}
        self._strict = strict

    def process(self, row: Any) -> Iterator[Any]:
        given = getattr(row, self._fields["id_field"], None)
        where = "a row" if given is None else f"the row with id {given!r:.{_SHOWN}}"
        try:
            yield item_from(row, where=where, **self._fields)
        except InputError as error:
            if self._strict:
                raise StrictModeError(str(error)) from None
            item_id = f"{row!r:.{_SHOWN}}" if given is None else str(given)[:_SHOWN]
            yield TaggedOutput(
                _UNREADABLE, Failure(dimension="input", item_id=item_id, error_class="bad_input", message=str(error))
            )


def _failures_name(error_handling: Mapping[str, str] | None) -> str:
    if error_handling is None:
        return "failures"
    if set(error_handling) != {"output"}:
        raise GraphError(f"error_handling has one key, 'output', not {', '.join(error_handling) or 'none'}")
    return error_handling["output"]


def _check_names(dag: Dag, failures: str) -> None:
    """Whether every output has a name of its own."""
    steps = [(name, step.scope) for name, step in dag.steps.items() if step.scope != "item"]
    reports = [_report(name) for name, scope in steps if scope == "regroup"]
    taken = ["good", "costs", failures, *(name for name, _ in steps), *reports]
    twice = next((name for name in taken if taken.count(name) > 1), None)
    if twice is not None:
        raise GraphError(f"dag {dag.name!r}: two outputs of the transform are called {twice!r}; rename one")


def _report(regroup: str) -> str:
    return f"{regroup}_report"
