"""Where the example pipelines read and write: files, or BigQuery."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import PCollection

from beam_llmdag.beam.io.bigquery.client import run_rows
from beam_llmdag.beam.io.bigquery.names import is_bigquery, parse_destination
from beam_llmdag.beam.io.bigquery.read import ReadBigQueryItems
from beam_llmdag.beam.io.bigquery.run import Run
from beam_llmdag.beam.io.bigquery.write import RUNS_TABLE, WriteBigQueryResults
from beam_llmdag.beam.io.read import ReadItems
from beam_llmdag.beam.io.results import WriteResults
from beam_llmdag.beam.llm_dag import Results
from beam_llmdag.dag import Dag
from beam_llmdag.run.manifest import MANIFEST, Origin, RunFacts, manifest_of, manifest_text
from pipelines.options import Settings

__all__ = ["OutputPlace", "output_place", "reader"]

_ONE_FILE = {"file_format": "parquet"}
_RESULTS = (("items*.parquet",), ("failures*.parquet",), ("costs*.parquet",), ("regrouped", "*"), ("globals", "*"))


class OutputPlace(Protocol):
    """Where a run writes, and where it can be looked at afterwards."""

    def write(
        self, dag: Dag, results: Results, unreadable: PCollection[Any], summary: PCollection[dict[str, Any]]
    ) -> None:
        """Writes everything that came out of a run."""

    def summary(self) -> dict[str, Any]:
        """The totals of the run."""

    def items(self, limit: int) -> Iterator[dict[str, Any]]:
        """The first rows of the items."""

    def say(self, dag: Dag, facts: RunFacts) -> None:
        """Says beside the results what made them."""


def reader(settings: Settings) -> beam.PTransform[Any, Any]:
    """Reads the items from where the settings say."""
    if is_bigquery(settings.input):
        return ReadBigQueryItems(settings.input, method=settings.read_method, temp_dataset=settings.temp_dataset)
    return ReadItems(settings.input, encoding=settings.encoding)


def output_place(settings: Settings, run_id: str) -> OutputPlace:
    """Where the settings say that the results go."""
    if not is_bigquery(settings.output):
        return _Folder(settings)
    return _Tables(settings, Run(run_id=run_id, started_at=datetime.now(UTC), run_date=settings.run_date))


@dataclass(frozen=True, slots=True)
class _Folder:
    settings: Settings

    def write(
        self, dag: Dag, results: Results, unreadable: PCollection[Any], summary: PCollection[dict[str, Any]]
    ) -> None:
        results | "Write" >> WriteResults(
            dag,
            self.settings.output,
            unreadable=unreadable,
            num_shards=self.settings.shards,
            timings=self.settings.timings,
        )
        texts = summary | "To JSON" >> beam.Map(json.dumps, indent=2)
        path = FileSystems.join(self.settings.output, "summary")
        texts | "Write summary" >> beam.io.WriteToText(path, file_name_suffix=".json", shard_name_template="")

    def summary(self) -> dict[str, Any]:
        with FileSystems.open(FileSystems.join(self.settings.output, "summary.json")) as file:
            found: dict[str, Any] = json.loads(file.read())
        return found

    def items(self, limit: int) -> Iterator[dict[str, Any]]:
        pattern = FileSystems.join(self.settings.output, "items*.parquet")
        for found in sorted(FileSystems.match([pattern])[0].metadata_list, key=lambda metadata: str(metadata.path)):
            if limit <= 0:
                return
            with FileSystems.open(found.path) as file:
                # Arrow's own threads may still hold the file when Python ends, which aborts the process: so none here
                batches = pq.ParquetFile(file, pre_buffer=False).iter_batches(limit, use_threads=False)
                rows = list(itertools.islice((row for batch in batches for row in batch.to_pylist()), limit))
            limit -= len(rows)
            yield from rows

    def say(self, dag: Dag, facts: RunFacts) -> None:
        folder, summary = self.settings.output, self.summary()
        manifest = manifest_of(
            dag,
            facts,
            items={"count": summary["items"], "sha256": None},  # nobody here has seen them
            files=self._sizes(),
            summary=summary,
            origin=Origin(dag=None, input=self.settings.input, encoding=self.settings.encoding),
            written=_ONE_FILE | {"timings": self.settings.timings} if self.settings.shards == 1 else None,
        )
        with FileSystems.create(FileSystems.join(folder, MANIFEST), "application/json") as file:
            file.write(manifest_text(manifest).encode())

    def _sizes(self) -> dict[str, Any]:
        """Bytes of each file with results, by its path within the folder."""
        folder = self.settings.output
        matches = FileSystems.match([FileSystems.join(folder, *parts) for parts in _RESULTS])
        found = (metadata for match in matches for metadata in match.metadata_list)
        sizes = {str(metadata.path): int(metadata.size_in_bytes) for metadata in found}
        return {path[len(folder) :].lstrip("/\\"): {"bytes": size} for path, size in sorted(sizes.items())}


@dataclass(frozen=True, slots=True)
class _Tables:
    settings: Settings
    run: Run

    def write(
        self, dag: Dag, results: Results, unreadable: PCollection[Any], summary: PCollection[dict[str, Any]]
    ) -> None:
        results | "Write" >> WriteBigQueryResults(
            dag,
            self.settings.output,
            run=self.run,
            unreadable=unreadable,
            summary=summary,
            method=self.settings.write_method,
            rerun=self.settings.rerun,
            timings=self.settings.timings,
        )

    def summary(self) -> dict[str, Any]:
        [row] = self._rows(RUNS_TABLE, 1, "run_started_at DESC")
        found: dict[str, Any] = row["summary"]
        return found

    def items(self, limit: int) -> Iterator[dict[str, Any]]:
        yield from self._rows("items", limit, "id")

    def say(self, dag: Dag, facts: RunFacts) -> None:
        """The table of runs says it."""

    def _rows(self, table: str, limit: int, order_by: str) -> list[dict[str, Any]]:
        return run_rows(parse_destination(self.settings.output), table, self.run.run_id, limit, order_by)
