"""How long a small run takes from `python script.py` to the prompt, imports included.

    python -m benchmarks.whole_process

100 rows, one call each through the Anthropic SDK, answers after 200 ms, 20 in flight: 1.0 s of waiting for whoever does
nothing else. The engines take turns, so that whatever else the machine does meets all of them.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from statistics import median

from benchmarks.runner import measure, python_of
from benchmarks.server import ServerSettings, serving
from benchmarks.table import ENGINE_NAMES
from benchmarks.task import Task

__all__ = ["main"]

ENGINES = (
    "anthropic_sdk",
    "llmdag_script",
    "langchain_abatch",
    "async_batch_llm_prompts",
    "ondine_pipeline",
)
TIMES = 5
TASK = Task(engine="", graph="single", items=100, in_flight=20, latency_seconds=0.2)


def main() -> None:
    """Measures, and prints a table in Markdown."""
    seconds: dict[str, list[tuple[float, float]]] = {engine: [] for engine in ENGINES}
    troubles: dict[str, str] = {}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        serving(ServerSettings(latency_seconds=TASK.latency_seconds, log=f"{folder}/requests.jsonl")) as server,
    ):
        for _ in range(TIMES):
            for engine in ENGINES:
                measured = _measured(engine, server.url)
                if isinstance(measured, str):
                    troubles[engine] = measured
                else:
                    seconds[engine].append(measured)
    print("| | start to prompt, s | of it the run | fastest to slowest |")
    print("|---|---:|---:|---:|")
    for engine in sorted(ENGINES, key=lambda engine: median(whole for whole, _ in seconds[engine] or [(1e9, 0.0)])):
        name, runs = ENGINE_NAMES[engine], seconds[engine]
        if not runs:
            print(f"| {name} | | | {troubles[engine]} |")
            continue
        whole, run = [one for one, _ in runs], [one for _, one in runs]
        print(f"| {name} | {median(whole):.2f} | {median(run):.2f} | {min(whole):.2f} to {max(whole):.2f} |")


def _measured(engine: str, url: str) -> tuple[float, float] | str:
    """Seconds of the process, and of the run in it; or why there are none."""
    python = python_of(engine)
    if not python.exists():
        return "not installed: make bench-peers"
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        began = time.perf_counter()
        measured = measure(replace(TASK, engine=engine, base_url=url, folder=folder), python)
        whole = time.perf_counter() - began
    if "failed" in measured:
        return str(measured["failed"])
    if measured["items_out"] != TASK.items:
        return f"{TASK.items - measured['items_out']} rows lost"
    return whole, float(measured["wall_s"])


if __name__ == "__main__":
    main()
