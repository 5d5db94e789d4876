"""ondine: a pipeline over a data frame, its calls through LiteLLM. For graphs of one step.

With structured output it asks Anthropic for tool calls, which the server here does not make: its own JSON parser reads
the answers.
"""

from __future__ import annotations

import os

import pandas as pd
from ondine import PipelineBuilder
from ondine.stages import JSONParser

from benchmarks.graphs import items_of, levels
from benchmarks.task import KEY_VARIABLE, MODEL, Outcome, Task, Watch

__all__ = ["run"]


def run(task: Task, watch: Watch) -> Outcome:
    """Runs the task."""
    os.environ["ANTHROPIC_API_KEY"] = os.environ[KEY_VARIABLE]
    os.environ["ANTHROPIC_API_BASE"] = os.environ["ANTHROPIC_BASE_URL"] = task.base_url or ""
    [[step]] = levels(task.graph)
    frame = pd.DataFrame({"content": [content for _, content in items_of(task)]})
    fields = list(step.output.model_fields)
    pipeline = (
        PipelineBuilder.create()
        .from_dataframe(frame, input_columns=["content"], output_columns=fields)
        .with_prompt(step.template)
        .with_llm(
            f"anthropic/{MODEL}",
            max_tokens=1024,
            base_url=task.base_url,
        )
        .with_parser(JSONParser())
        .with_concurrency(task.in_flight)
        .with_progress_mode("none")
        .build()
    )
    made = pd.DataFrame(pipeline.execute().to_pandas())
    complete = int(made[fields].notna().all(axis=1).sum())
    if complete:
        watch.item()
    return Outcome(complete)
