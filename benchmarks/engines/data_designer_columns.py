"""data-designer: a seed dataset and an `LLMStructuredColumnConfig` per step, whose prompts are Jinja templates."""

from __future__ import annotations

import re
from typing import Any

import data_designer.config as dd
import data_designer.engine.dataset_builders.dataset_builder  # noqa: F401 - all imports before the clock starts
import pandas as pd
from data_designer.interface import DataDesigner

from benchmarks.graphs import GRAPHS, Step, items_of
from benchmarks.task import KEY_VARIABLE, MODEL, Outcome, Task, Watch

__all__ = ["run"]


def run(task: Task, watch: Watch) -> Outcome:
    """Runs the task."""
    assert task.base_url is not None
    provider = dd.ModelProvider(
        name="simulated", endpoint=task.base_url, provider_type="anthropic", api_key=KEY_VARIABLE
    )
    designer = DataDesigner(artifact_path=task.folder, model_providers=[provider])
    designer.set_run_config(dd.RunConfig(otel_metrics_port=None))
    builder = dd.DataDesignerConfigBuilder(model_configs=[_model(task)])
    seed = pd.DataFrame(list(items_of(task)), columns=["id", "content"])
    builder.with_seed_dataset(dd.DataFrameSeedSource(df=seed))
    for step in GRAPHS[task.graph]:
        builder.add_column(_column(step))
    created = designer.create(builder, num_records=len(seed))
    dataset = created.load_dataset()
    if len(dataset):
        watch.item()
    return Outcome(len(dataset))


def _model(task: Task) -> Any:
    return dd.ModelConfig(
        alias="model",
        model=MODEL,
        provider="simulated",
        skip_health_check=True,
        inference_parameters=dd.ChatCompletionInferenceParams(
            max_tokens=1024, max_parallel_requests=task.in_flight, timeout=120
        ),
    )


def _column(step: Step) -> Any:
    prompt = re.sub(r"{(\w+)\[(\w+)\]}", r"{{ \1.\2 }}", step.template).replace("{content}", "{{ content }}")
    more: dict[str, Any] = {}
    if step.skipped_for is not None:
        before, field, value = step.skipped_for
        more["skip"] = dd.SkipConfig(when=f"{{{{ {before}.{field} == '{value}' }}}}")
    return dd.LLMStructuredColumnConfig(
        name=step.name, model_alias="model", prompt=prompt, output_format=step.output, **more
    )
