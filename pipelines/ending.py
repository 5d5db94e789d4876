"""The end that the example pipelines share: write all, wait with a progress line, show a table and some rows."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult

from beam_llmdag.beam.interrupt import short_interrupt
from beam_llmdag.beam.llm_dag import LLMDag
from beam_llmdag.beam.summarise import Summarise
from beam_llmdag.calls.batch.rounds import Rounds
from beam_llmdag.calls.store.place import default_store
from beam_llmdag.calls.worker import this_worker
from beam_llmdag.dag import Dag
from beam_llmdag.errors import GraphError
from beam_llmdag.run.manifest import RunFacts
from beam_llmdag.run.progress_line import ProgressLine
from beam_llmdag.run.table import summary_table
from pipelines.dataflow import is_only_described
from pipelines.models import Models
from pipelines.options import Settings
from pipelines.places import OutputPlace, output_place, reader

__all__ = ["analyse", "run_as_program"]

_SHOWN_CONTENT = 100
_TRY_LATER = 75  # EX_TEMPFAIL of sysexits.h


def analyse(dag: Dag, models: Models, settings: Settings, options: PipelineOptions) -> PipelineResult:
    """Runs `dag` over the input, writes everything to the output, waits, and prints the totals.

    With calls in batches it does so round by round, see `Rounds`.

    Raises:
        SystemExit: with 75, if calls wait for a batch and the user does not.
    """
    if settings.lane != "batch":
        return _round(dag, models, settings, options, settings.run_id or uuid.uuid4().hex)
    place = default_store(models.store, local=True)
    if place is None:
        raise GraphError("--lane batch needs an answer store, where calls wait for their batch: --store PLACE")
    name = f"{dag.name}: {settings.output}"
    rounds = Rounds(place, name=name, run_id=settings.run_id, providers=models.providers, prices=dag.prices)
    is_template = is_only_described(options)  # then each job is a round, and hands in what the one before has left
    rounds.start(hand_in=is_template)
    while True:
        result = _round(dag, replace(models, store=place), settings, options, rounds.run_id)
        if is_template:
            return result
        with ProgressLine(rounds.line, show=True):
            after = rounds.next(wait=not settings.no_wait)
        if after == "done":
            return result
        if after == "waiting":
            print(f"{rounds.line()}; the same command goes on")
            sys.exit(_TRY_LATER)


def _round(dag: Dag, models: Models, settings: Settings, options: PipelineOptions, run_id: str) -> PipelineResult:
    started_at = time.time()
    pipeline = beam.Pipeline(options=options)
    read = pipeline | "Read" >> reader(settings)
    place = output_place(settings, run_id)
    transform = LLMDag(
        dag,
        plan=settings.plan,
        store=models.store,
        run_id=run_id,
        keep_prompts=settings.keep_prompts,
        lane=settings.lane,
        deadline=settings.deadline,
    )
    results = read.items | "Analyse" >> transform
    summary = results | "Summarise" >> Summarise(dag, unreadable=read.failures)
    place.write(dag, results, read.failures, summary)
    # known for workers of this process; on another runner the line stays at "starting"
    with ProgressLine(this_worker().progress(run_id).line, show=True):
        result = pipeline.run()
        result.wait_until_finish()
    if is_only_described(pipeline.options):
        print(f"results, when the job has run: {settings.output}")
        return result
    assert transform.calls is not None
    place.say(dag, RunFacts(calls=transform.calls, id_field="id", content_field="content", started_at=started_at))
    _show(place, settings)
    return result


def run_as_program(run: Callable[[], object]) -> None:
    """Runs a pipeline from the command line, which Ctrl-C ends with one line.

    Raises:
        SystemExit: somebody pressed Ctrl-C; the exit code is 130.
    """
    try:
        with short_interrupt():
            run()
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        sys.exit(130)


def _show(place: OutputPlace, settings: Settings) -> None:
    summary = place.summary()
    if settings.summary:
        Path(settings.summary).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(summary_table(summary))
    print(f"results: {settings.output}")
    for row in place.items(settings.show) if settings.show else ():
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
