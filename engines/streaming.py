"""A pipeline without an end: numbers become items, each is analysed, its id goes to a file. Experimental on Flink.

    python -m engines.streaming --output ids.txt --items 1500 --source flink --streaming --checkpointing_interval=2000 …

The numbers are kept in state, so that after a restore they go on where the last checkpoint was. The file gets a line
per row, as it comes: lines may be doubled, where a job was restored. Real sinks are keyed, or take part in checkpoints.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.coders import VarIntCoder
from apache_beam.io.flink.flink_streaming_impulse_source import FlinkStreamingImpulseSource
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from beam_llmdag.beam.llm_dag import LLMDag
from beam_llmdag.dag import Dag
from beam_llmdag.records.item import Item
from beam_llmdag.records.result import Row

__all__ = ["main", "run"]

_MODEL = "anthropic:claude-haiku-4-5"


class _Number(beam.DoFn):
    """(0, tick) → an item, numbered from 0; nothing when there have been `limit`."""

    _NEXT = ReadModifyWriteStateSpec("next", VarIntCoder())

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def process(self, _tick: tuple[int, int], following: Any = beam.DoFn.StateParam(_NEXT)) -> Iterator[dict[str, str]]:
        number = following.read() or 0
        if number < self._limit:
            following.write(number + 1)
            yield {"id": str(number), "content": f"Kettle {number} boils."}


def _filter_spam(item: Item) -> str:
    return f"Is this spam? {item.content}"


def _summary(item: Item, filter_spam: str) -> str:
    return f"Summarise: {item.content} It was said: {filter_spam}"


def _append(row: Row, path: str) -> None:
    """One write per line: several processes do this."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"{row.item.id} {row.results['summary'].status}\n".encode())
    finally:
        os.close(file)


def _ticks(source: str, interval_seconds: float, items: int) -> Any:
    if source == "flink":
        return FlinkStreamingImpulseSource().set_interval_ms(round(interval_seconds * 1000))
    begin = time.time()
    return PeriodicImpulse(begin, begin + items * interval_seconds, interval_seconds)


def run(argv: Sequence[str] | None = None) -> PipelineResult:
    """Runs the pipeline until it is cancelled, or its source ends."""
    parser = argparse.ArgumentParser(prog="python -m engines.streaming", allow_abbrev=False)
    parser.add_argument("--output", required=True, help="file for the ids")
    parser.add_argument("--items", type=int, required=True, help="how many items come")
    parser.add_argument("--interval-ms", type=float, default=50.0, help="between two items; default: %(default)s")
    parser.add_argument("--store", help="file of the answer store")
    parser.add_argument("--source", choices=("flink", "periodic"), default="flink", help="periodic: for other runners")
    asked, beam_args = parser.parse_known_args(argv)
    dag = Dag("streaming", model=_MODEL)
    dag.dimension(_filter_spam, name="filter_spam")
    dag.dimension(_summary, name="summary")
    pipeline = beam.Pipeline(options=PipelineOptions(beam_args))
    ticks = pipeline | "Tick" >> _ticks(asked.source, asked.interval_ms / 1000, asked.items)
    keyed = ticks | "Key" >> beam.Map(lambda _tick: (0, 0)).with_output_types(tuple[int, int])
    items = keyed | "Number" >> beam.ParDo(_Number(asked.items))
    results = items | "Analyse" >> LLMDag(dag, store=asked.store or False)
    results.items | "Append" >> beam.Map(_append, asked.output)
    result = pipeline.run()
    result.wait_until_finish()
    return result


def main() -> None:
    """Runs the pipeline from the command line."""
    run()


if __name__ == "__main__":
    main()
