"""LangChain: `abatch` of a model with structured output, a level of the graph after the other.

Items whose call raised are left out (`return_exceptions=True`); the model's own two retries are on.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache

from benchmarks.graphs import Step, items_of, levels
from benchmarks.task import KEY_VARIABLE, MODEL, Outcome, Task, Watch

__all__ = ["run"]


def run(task: Task, watch: Watch) -> Outcome:
    """Runs the task."""
    if task.contents == "duplicates":
        set_llm_cache(InMemoryCache())
    return Outcome(asyncio.run(_run(task, watch)))


async def _run(task: Task, watch: Watch) -> int:
    model = ChatAnthropic(model=MODEL, max_tokens=1024, base_url=task.base_url, api_key=os.environ[KEY_VARIABLE])
    answers: dict[str, dict[str, Any]] = {content_id: {} for content_id, _ in items_of(task)}
    contents = dict(items_of(task))
    lost: set[str] = set()

    async def ask(step: Step, in_flight: int) -> None:
        asked = [i for i in contents if i not in lost and not step.is_skipped(answers[i])]
        structured = model.with_structured_output(step.output, method="json_schema")
        prompts = [step.prompt(contents[i], answers[i]) for i in asked]
        found = await structured.abatch(prompts, config={"max_concurrency": in_flight}, return_exceptions=True)
        for i, answer in zip(asked, found, strict=True):
            if isinstance(answer, BaseException):
                lost.add(i)
            else:
                answers[i][step.name] = answer.model_dump()

    for level in levels(task.graph):
        await asyncio.gather(*(ask(step, max(1, task.in_flight // len(level))) for step in level))
    if len(lost) < len(contents):
        watch.item()
    return len(contents) - len(lost)
