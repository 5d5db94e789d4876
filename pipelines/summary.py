"""The counters of a run as a file."""

from __future__ import annotations

import json
from pathlib import Path

from apache_beam.runners.runner import PipelineResult

__all__ = ["write_summary"]


def write_summary(result: PipelineResult, path: str) -> None:
    """Writes the counters of a finished run as JSON: dimension -> counter -> number.

    Counters show progress; where a runner repeats work they count it twice, or not at all. The bill is the costs file.
    """
    counted: dict[str, dict[str, int]] = {}
    for counter in result.metrics().query()["counters"]:
        namespace, _, dimension = counter.key.metric.namespace.partition("/")
        if namespace == "llmdag":
            counted.setdefault(dimension, {})[counter.key.metric.name] = counter.result
    Path(path).write_text(json.dumps(counted, indent=2, sort_keys=True) + "\n", encoding="utf-8")
