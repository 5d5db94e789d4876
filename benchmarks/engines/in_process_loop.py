"""The limit for everybody where there is no server: a bare asyncio loop with a semaphore over the same provider."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from beam_llmdag import Message, Model
from beam_llmdag.model import Request
from benchmarks.dags import Canned
from benchmarks.graphs import Step, items_of, levels
from benchmarks.task import Outcome, Task, Watch

__all__ = ["run"]


def run(task: Task, watch: Watch) -> Outcome:
    """Runs the task: a coroutine per item, the steps of a level at once."""
    return Outcome(asyncio.run(_run(task, watch)), Canned.calls)


async def _run(task: Task, watch: Watch) -> int:
    model = Model("canned:x")
    provider = Canned(model, latency_seconds=task.latency_seconds)
    permits = asyncio.Semaphore(task.in_flight)
    steps = levels(task.graph)

    async def ask(step: Step, content: str, answers: dict[str, Any]) -> None:
        async with permits:
            request = Request(model=model, messages=(Message("user", step.prompt(content, answers)),))
            answer = await provider.answer(request)
        step.output.model_validate_json(answer.text)
        answers[step.name] = json.loads(answer.text)

    async def walk(content: str) -> None:
        answers: dict[str, Any] = {}
        for level in steps:
            await asyncio.gather(*(ask(step, content, answers) for step in level))
        watch.item()

    contents = [content for _, content in items_of(task)]
    await asyncio.gather(*map(walk, contents))
    return len(contents)
