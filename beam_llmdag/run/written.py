"""A report as the files that `WriteResults` writes, without Beam."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.files_of_records import OutputFormat, check_output_format, ordered_lines, parquet_file
from beam_llmdag.run.report import Report
from beam_llmdag.run.run_outputs import RunOutput, outputs_of

__all__ = ["write_report"]


def write_report(report: Report, graph: Graph, folder: Path, file_format: OutputFormat, *, timings: bool) -> list[Path]:
    """See `Report.write`."""
    check_output_format(file_format)
    return [
        _written(folder / f"{output.name}.{file_format}", output, _made(report, output))
        for output in outputs_of(graph, typed_rows=True, timings=timings)
    ]


def _made(report: Report, output: RunOutput) -> list[Any]:
    if output.source == "regrouped":
        return report.items if output.step is None else report.regrouped[output.step]
    made: list[Any] = getattr(report, output.source)
    return [result for result in made if result.dimension == output.step] if output.source == "globals" else made


def _written(path: Path, output: RunOutput, made: Iterable[Any]) -> Path:
    records = map(output.record, made)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")  # who is stopped here leaves no half of a file
    if path.suffix == ".parquet":
        unfinished.write_bytes(parquet_file(records, output.schema, typed_metadata=output.has_metadata))
    else:
        lines = ordered_lines(records, output.schema)
        unfinished.write_bytes("".join(f"{line}\n" for line in lines).encode())
    unfinished.replace(path)
    return path
