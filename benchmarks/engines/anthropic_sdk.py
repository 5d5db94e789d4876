"""The limit for everybody: the SDK's async client under asyncio with a semaphore.

`anthropic_aiohttp` is the same with the SDK's faster transport.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import anthropic
from pydantic import ValidationError

from benchmarks.graphs import Step, items_of, levels
from benchmarks.task import KEY_VARIABLE, MODEL, Outcome, Task, Watch

__all__ = ["run", "run_with"]


def run(task: Task, watch: Watch) -> Outcome:
    """Runs the task with the SDK's defaults: httpx, two retries."""
    return run_with(anthropic.AsyncAnthropic(api_key=os.environ[KEY_VARIABLE], base_url=task.base_url), task, watch)


def run_with(client: anthropic.AsyncAnthropic, task: Task, watch: Watch) -> Outcome:
    """Runs the task: a coroutine per item, the steps of a level at once."""
    return Outcome(asyncio.run(_run(client, task, watch)))


async def _run(client: anthropic.AsyncAnthropic, task: Task, watch: Watch) -> int:
    permits = asyncio.Semaphore(task.in_flight)
    steps = levels(task.graph)
    schemas = {step.name: _schema(step) for level in steps for step in level}

    async def ask(step: Step, content: str, answers: dict[str, Any]) -> None:
        async with permits:
            message = await client.messages.create(
                model=MODEL,
                max_tokens=1024,
                messages=[{"role": "user", "content": step.prompt(content, answers)}],
                output_config={"format": {"type": "json_schema", "schema": schemas[step.name]}},
            )
        text = next(block.text for block in message.content if block.type == "text")
        answers[step.name] = step.output.model_validate_json(text).model_dump()

    async def walk(content: str) -> bool:
        answers: dict[str, Any] = {}
        try:
            for level in steps:
                asked = [step for step in level if not step.is_skipped(answers)]
                await asyncio.gather(*(ask(step, content, answers) for step in asked))
        except (anthropic.APIError, ValidationError):
            return False
        watch.item()
        return True

    async with client:
        return sum(await asyncio.gather(*(walk(content) for _, content in items_of(task))))


def _schema(step: Step) -> dict[str, Any]:
    return {**step.output.model_json_schema(), "additionalProperties": False}
