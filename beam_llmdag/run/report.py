"""What `dag.run` returns."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.result import CostRow, Failure, Result, Row
from beam_llmdag.records.summary import Summary
from beam_llmdag.run.given import Given
from beam_llmdag.run.manifest import Origin, RunFacts, about_files, about_items, manifest_of, write_manifest
from beam_llmdag.run.table import summary_table

if TYPE_CHECKING:  # Arrow takes a third of the time to import this library, and small runs do without
    import pyarrow as pa

    from beam_llmdag.records.files_of_records import OutputFormat

__all__ = ["Report"]

_SHOWN_FAILURES = 5


class Report:
    """The results of a run, as plain Python objects.

    Attributes:
        items: a `Row` per item, in the order in which the items were given.
        globals: results of global dimensions and reports of regroups.
        failures: failed results with their attempts.
        costs: the bill: a row per item, dimension and attempt.
        regrouped: regroup -> a `Row` per new item.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        items: Sequence[Row],
        globals_: Sequence[Result],
        failures: Sequence[Failure],
        costs: Sequence[CostRow],
        regrouped: dict[str, list[Row]],
        given: Given | None = None,
        facts: RunFacts | None = None,
    ) -> None:
        self._graph = graph
        self.items = list(items)
        self.globals = list(globals_)
        self.failures = list(failures)
        self.costs = list(costs)
        self.regrouped = regrouped
        self._given = given or Given()
        self._facts = facts

    @cached_property
    def summary(self) -> Summary:
        """All of it added up."""
        summary = Summary()
        summary.add_items(len(self.items))
        for result in self.results():
            summary.add_result(result)
        for failure in self.failures:
            summary.add_failure(failure)
        return summary

    def results(self) -> list[Result]:
        """All results of all items, new items and globals."""
        rows = [*self.items, *(row for rows in self.regrouped.values() for row in rows)]
        return [*(result for row in rows for result in row.results.values()), *self.globals]

    def answers(self, dimension: str) -> dict[str, Any]:
        """Item id (or group, `""` for a global over all items) -> typed answer, for all that have one.

        Typed means: an object of the output class of the dimension, a text where it has none. The data of rows are
        JSON-like instead: dicts, lists, texts, numbers, truth values and None.

        Raises:
            KeyError: there is no such dimension.
        """
        output = self._graph.dimensions[dimension].output
        found = [result for result in self.results() if result.dimension == dimension and result.has_data]
        return {result.item_id: output.rebuild(result.data) for result in found}

    def to_rows(self, regroup: str | None = None) -> list[dict[str, Any]]:
        """The items as nested dicts of JSON-like values, one per item, a key per dimension.

        Args:
            regroup: the new items of this regroup instead.
        """
        rows: list[dict[str, Any]] = self.to_arrow(regroup).to_pylist(maps_as_pydicts="strict")
        # each with the fields that it has: in the table it has those of all
        return [
            {**row, "metadata": dict(known.item.metadata)} for row, known in zip(rows, self._rows(regroup), strict=True)
        ]

    def to_pandas(self, regroup: str | None = None) -> Any:
        """The items as a pandas data frame: what was given, and behind it a column per field of each answer, flat.

        If the run was given a pandas frame, its columns and its index are kept as they are; what was given otherwise
        becomes columns. The fields of an answer are columns `dimension.field`, as `pandas.json_normalize` calls them,
        an answer that is no object is the column `dimension`; both in the order of the dag. Values are JSON-like:
        objects are dicts, dates texts; see `answers` for typed ones. Where a dimension has not answered all items,
        `dimension.status` and `dimension.error` (of one that was skipped: why) follow. A name that is taken already
        gets a `_`.

        Args:
            regroup: the new items of this regroup instead.

        Raises:
            ImportError: pandas is not installed.
        """
        from beam_llmdag.run.frames import pandas_frame

        return pandas_frame(self._given if regroup is None else Given(), self._rows(regroup), self._schemas(regroup))

    def to_polars(self, regroup: str | None = None) -> Any:
        """As `to_pandas`, as a polars data frame. Objects are structs, maps lists of pairs, free-form data JSON text.

        Args:
            regroup: the new items of this regroup instead.

        Raises:
            ImportError: polars is not installed.
        """
        from beam_llmdag.run.frames import polars_frame

        return polars_frame(self._given if regroup is None else Given(), self._rows(regroup), self._schemas(regroup))

    def to_arrow(self, regroup: str | None = None) -> pa.Table:
        """The items as an Arrow table with a nested column per dimension; the schema does not depend on the answers.

        The column `metadata` is a struct of all fields that any item has, see docs/files.md.

        Args:
            regroup: the new items of this regroup instead.
        """
        from beam_llmdag.run.frames import arrow_table

        return arrow_table(self._rows(regroup), self._schemas(regroup))

    def write(
        self,
        folder: str | os.PathLike[str],
        *,
        file_format: OutputFormat = "parquet",
        timings: bool = False,
        origin: Origin | None = None,
    ) -> list[Path]:
        """Writes the files that `WriteResults` writes, to the byte: `items`, `failures`, `costs`, and where the dag has
        such steps `regrouped/<regroup>` and `globals/<name>`. Beside them `manifest.json` says what made them: dag,
        versions, prices, store, run, and hashes of items and files.

        Args:
            folder: where, on this machine; made if it is not there. Files of the same names are replaced.
            file_format: `"parquet"` or `"jsonl"`.
            timings: whether `costs` says how long each call took and waited for its permit. Then no two runs write the
                same bytes.
            origin: where the dag and the items are, for the manifest.

        Returns:
            The files with results.

        Raises:
            InputError: another format.
            OSError: a file cannot be written.
        """
        from beam_llmdag.run.written import write_report

        files = write_report(self, self._graph, Path(folder), file_format, timings=timings)
        if self._facts is not None:
            made = manifest_of(
                self._graph,
                self._facts,
                items=about_items(self.items),
                files=about_files(Path(folder), files),
                summary=self.summary.to_json(self._graph.dimensions),
                origin=origin,
                written={"file_format": file_format, "timings": timings},
            )
            write_manifest(Path(folder), made)
        return files

    def _rows(self, regroup: str | None) -> list[Row]:
        return self.items if regroup is None else self.regrouped[regroup]

    def _schemas(self, regroup: str | None) -> dict[str, Mapping[str, Any] | None]:
        """Dimension of these items -> JSON schema of its data, None for plain text."""
        return {name: dimension.output.data_schema for name, dimension in self._graph.item_dimensions(regroup).items()}

    def __repr__(self) -> str:
        told = [summary_table(self.summary.to_json(self._graph.dimensions))]
        shown = self.failures[:_SHOWN_FAILURES]
        told += [f"failed: {failure.message}" for failure in shown]
        more = len(self.failures) - len(shown)
        return "\n".join([*told, f"… and {more} more failures, see .failures"] if more > 0 else told)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"
