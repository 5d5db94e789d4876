"""async-batch-llm: `process_prompts` with the SDK's client as a `CallableStrategy`, a level after the other.

The package has no Anthropic model of its own: its README says to wrap one's client. The client's retries are off, since
the package makes its own. After a 429 the package pauses for 300 seconds by default, also where the vendor says
`Retry-After: 1`; here it is told to pause for one.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import anthropic
from async_batch_llm import CallableStrategy, CallOutcome, ProcessorConfig, RateLimitConfig, process_prompts

from benchmarks.graphs import Step, items_of, levels
from benchmarks.task import KEY_VARIABLE, MODEL, Outcome, Task, Watch

__all__ = ["run"]


def run(task: Task, watch: Watch) -> Outcome:
    """Runs the task."""
    return Outcome(asyncio.run(_run(task, watch)))


def _strategy(client: anthropic.AsyncAnthropic, step: Step) -> CallableStrategy[Any]:
    schema = {**step.output.model_json_schema(), "additionalProperties": False}

    async def invoke(prompt: str, *, attempt: int, timeout: float, state: Any) -> CallOutcome[Any]:
        del attempt, state
        message = await client.messages.create(
            model=MODEL,
            max_tokens=1024,
            messages=[{"role": "user", "content": prompt}],
            output_config={"format": {"type": "json_schema", "schema": schema}},
            timeout=timeout,
        )
        usage = {"input_tokens": message.usage.input_tokens, "output_tokens": message.usage.output_tokens}
        return CallOutcome(step.output.model_validate_json(message.content[0].text), token_usage=usage)

    return CallableStrategy(invoke)


async def _run(task: Task, watch: Watch) -> int:
    contents = dict(items_of(task))
    answers: dict[str, dict[str, Any]] = {item_id: {} for item_id in contents}
    lost: set[str] = set()
    client = anthropic.AsyncAnthropic(api_key=os.environ[KEY_VARIABLE], base_url=task.base_url, max_retries=0)

    async def ask(step: Step, in_flight: int) -> None:
        asked = [i for i in contents if i not in lost and not step.is_skipped(answers[i])]
        config = ProcessorConfig(
            concurrency=in_flight,
            max_requests_per_minute=task.requests_per_minute,
            rate_limit=RateLimitConfig(cooldown_seconds=1.0),
        )
        prompts = [(i, step.prompt(contents[i], answers[i])) for i in asked]
        batch = await process_prompts(_strategy(client, step), prompts, config=config)
        for result in batch.results:
            if result.success:
                answers[result.item_id][step.name] = result.output.model_dump()
            else:
                lost.add(result.item_id)

    async with client:
        for level in levels(task.graph):
            await asyncio.gather(*(ask(step, max(1, task.in_flight // len(level))) for step in level))
    if len(lost) < len(contents):
        watch.item()
    return len(contents) - len(lost)
