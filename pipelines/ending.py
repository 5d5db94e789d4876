"""The end that the example pipelines share: write all, wait with a progress line, show a table and some rows."""

from __future__ import annotations

import json
import uuid
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.runners.runner import PipelineResult

from beam_llmdag.dag import Dag
from beam_llmdag.io.read import ReadResult
from beam_llmdag.io.results import WriteResults
from beam_llmdag.report.progress_line import ProgressLine
from beam_llmdag.report.table import summary_table
from beam_llmdag.transforms.llm_dag import LLMDag
from beam_llmdag.transforms.summary import Summarise
from beam_llmdag.worker import this_worker
from pipelines.dataflow import is_only_described
from pipelines.models import Models
from pipelines.options import Settings

__all__ = ["analyse"]

_SHOWN_CONTENT = 100


def analyse(pipeline: beam.Pipeline, read: ReadResult, dag: Dag, models: Models, settings: Settings) -> PipelineResult:
    """Runs `dag` over what was read, writes everything to the output folder, waits, and prints the totals."""
    run_id = uuid.uuid4().hex
    results = read.items | "Analyse" >> LLMDag(dag, store=models.store, run_id=run_id)
    results | "Write" >> WriteResults(dag, settings.output, unreadable=read.failures, num_shards=settings.shards)
    summary = results | "Summarise" >> Summarise(dag, unreadable=read.failures)
    path = FileSystems.join(settings.output, "summary")
    texts = summary | "To JSON" >> beam.Map(json.dumps, indent=2)
    texts | "Write summary" >> beam.io.WriteToText(path, file_name_suffix=".json", shard_name_template="")
    # known for workers of this process; on another runner the line stays at "starting"
    with ProgressLine(this_worker().progress(run_id).line, show=True):
        result = pipeline.run()
        result.wait_until_finish()
    if is_only_described(pipeline.options):
        print(f"results, when the job has run: {settings.output}")
        return result
    _show(f"{path}.json", settings)
    return result


def _show(path: str, settings: Settings) -> None:
    with FileSystems.open(path) as file:
        text = file.read().decode("utf-8")
    if settings.summary:
        with open(settings.summary, "w", encoding="utf-8") as copy:
            copy.write(text)
    print(summary_table(json.loads(text)))
    print(f"results: {settings.output}")
    if settings.show:
        _show_rows(settings)


def _show_rows(settings: Settings) -> None:
    """Prints the first rows of the items' files."""
    pattern = FileSystems.join(settings.output, "items*.parquet")
    left = settings.show
    for found in sorted(FileSystems.match([pattern])[0].metadata_list, key=lambda metadata: str(metadata.path)):
        with FileSystems.open(found.path) as file:
            rows = pq.read_table(file).slice(0, left).to_pylist()
        left -= len(rows)
        for row in rows:
            _show_row(row)


def _show_row(row: dict[str, Any]) -> None:
    content = " ".join((row["content"] or "").split())
    print(f"\n{row['id']}: {content[:_SHOWN_CONTENT]}{'…' if len(content) > _SHOWN_CONTENT else ''}")
    for name, result in row.items():
        if isinstance(result, dict) and "status" in result:
            said = (
                json.dumps(result["data"], ensure_ascii=False)
                if result["data"] is not None
                else result["message"] or result["reason"]
            )
            print(f"    {name}: {result['status']} {said}")
