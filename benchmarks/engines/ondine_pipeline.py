"""ondine: a pipeline over a data frame with structured output, its calls through LiteLLM. For graphs of one step."""

from __future__ import annotations

import os

import pandas as pd
from ondine import PipelineBuilder

from benchmarks.graphs import items_of, levels
from benchmarks.task import KEY_VARIABLE, MODEL, Outcome, Task, Watch

__all__ = ["run"]


def run(task: Task, watch: Watch) -> Outcome:
    """Runs the task."""
    [[step]] = levels(task.graph)
    frame = pd.DataFrame({"content": [content for _, content in items_of(task)]})
    fields = list(step.output.model_fields)
    pipeline = (
        PipelineBuilder.create()
        .from_dataframe(frame, input_columns=["content"], output_columns=fields)
        .with_prompt(step.template)
        .with_llm(
            f"anthropic/{MODEL}",
            api_key=os.environ[KEY_VARIABLE],
            max_tokens=1024,
            base_url=task.base_url,
        )
        .with_structured_output(step.output)
        .with_concurrency(task.in_flight)
        .with_progress_mode("none")
        .build()
    )
    made = pipeline.execute().data
    complete = int(made[fields].notna().all(axis=1).sum())
    if complete:
        watch.item()
    return Outcome(complete)
