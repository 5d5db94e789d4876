"""The SDK with `DefaultAioHttpClient`, as its README shows it: the fastest way to ask this API from Python."""

from __future__ import annotations

import os

import aiohttp  # noqa: F401 - all imports before the clock starts
import anthropic

from benchmarks.engines.anthropic_sdk import run_with
from benchmarks.task import KEY_VARIABLE, Outcome, Task, Watch

__all__ = ["run"]


def run(task: Task, watch: Watch) -> Outcome:
    """Runs the task."""
    client = anthropic.AsyncAnthropic(
        api_key=os.environ[KEY_VARIABLE], base_url=task.base_url, http_client=anthropic.DefaultAioHttpClient()
    )
    return run_with(client, task, watch)
