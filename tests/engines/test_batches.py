"""The pipelines with `--lane batch`, as real processes that are killed, at half the price."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from helpers.places import ROOT

from beam_llmdag.calls.store.documents import open_documents
from beam_llmdag.testing import BatchBehaviour, Simulator, load_rules
from engines.engine import DirectProcesses, DirectRunner, Prism
from engines.flink_demo import run_example

PIPELINES = {"review_analysis": "reviews_20", "category_analysis": "categories_10"}
TRY_LATER = 75


class Started:
    """A pipeline over the simulator."""

    def __init__(self, simulator: Simulator, folder: Path, pipeline: str) -> None:
        self.folder = folder
        examples = ROOT / "examples" / f"{PIPELINES[pipeline]}.jsonl"
        self.command = [sys.executable, "-m", f"pipelines.{pipeline}", "--input", str(examples), "--model", "cloud"]
        self.environment = {
            **os.environ,
            "ANTHROPIC_BASE_URL": simulator.base_url("anthropic"),
            "OPENAI_BASE_URL": simulator.base_url("openai"),
            "ANTHROPIC_API_KEY": "any",
            "OPENAI_API_KEY": "any",
            "PYTHONPATH": str(ROOT),
        }

    def start(self, output: str, *options: str) -> subprocess.Popen[str]:
        command = [*self.command, "--output", output, *options]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def end(self, output: str, *options: str) -> int:
        process = self.start(output, *options)
        told, _ = process.communicate(timeout=120)
        assert process.returncode in (0, TRY_LATER), told
        return process.returncode


def said_in(folder: Path) -> dict[str, Any]:
    """The rows of a run's files, but for prices and the vendor's ids."""
    files = sorted(path for path in folder.rglob("*.parquet") if not is_left_by_a_kill(path))
    return {path.relative_to(folder).as_posix(): unpriced(pq.read_table(path).to_pylist()) for path in files}


def is_left_by_a_kill(path: Path) -> bool:
    """Whether it is a file that Beam was still writing; it never counts as a result, and nobody takes it away."""
    return path.parent.name.startswith("beam-temp-")


def is_over(folder: Path) -> bool:
    """Whether the run has come to its end, though its process may have been killed behind it."""
    started = list(folder.glob("batched/items*"))
    with open_documents(folder / "batched.sqlite") as documents:
        return bool(started) and not documents.keys("runs")


def asked(simulator: Simulator) -> list[str]:
    return sorted(json.dumps(request.body, sort_keys=True) for request in simulator.requests)


def unpriced(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: unpriced(part) for name, part in value.items() if name not in ("cost_nano_usd", "request_id")}
    return [unpriced(part) for part in value] if isinstance(value, list) else value


def cost(folder: Path) -> int:
    tables = [pq.read_table(path) for path in folder.glob("costs*.parquet")]
    return sum(row["cost_nano_usd"] for table in tables for row in table.to_pylist())


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_killed_between_its_steps_it_goes_on_asks_nothing_twice_and_costs_half(pipeline, tmp_path):
    rules = load_rules(ROOT / "examples" / f"{PIPELINES[pipeline]}.gold.jsonl")
    behaviour = BatchBehaviour(delay_seconds=3600)
    with Simulator(rules, batches=behaviour) as simulator:
        started = Started(simulator, tmp_path, pipeline)
        assert started.end("direct", "--store", "direct.sqlite") == 0
        alone = asked(simulator)
        simulator.reset()
        batched = ("--lane", "batch", "--store", "batched.sqlite")
        moments = random.Random(pipeline)
        ended = TRY_LATER
        while ended == TRY_LATER:
            process = started.start("batched", *batched)
            time.sleep(1 + 3 * moments.random())  # it starts, reads, runs, writes, hands in, or waits
            process.send_signal(signal.SIGKILL)  # does nothing if it has come to its end
            process.communicate()
            ended = 0 if is_over(tmp_path) else started.end("batched", *batched, "--no-wait")
            simulator.end_batches()
        assert asked(simulator) == alone
        assert {request.lane for request in simulator.requests} == {"batch"}
    assert said_in(tmp_path / "batched") == said_in(tmp_path / "direct")
    assert 2 * cost(tmp_path / "batched") == cost(tmp_path / "direct") > 0


@pytest.mark.parametrize("engine", [Prism(), DirectProcesses()], ids=["prism", "two processes"])
def test_on_every_engine_the_last_round_says_what_a_run_without_batches_says(engine, tmp_path):
    if (missing := engine.missing()) is not None:
        pytest.skip(missing)
    made = {}
    for name, runs, options in (("direct", DirectRunner(), []), ("batched", engine, ["--lane", "batch"])):
        (tmp_path / name).mkdir()
        own = [*options, "--store", str(tmp_path / name / "answers.sqlite")]  # not one that other tests have filled
        made[name] = run_example("review_analysis", runs, tmp_path / name, options=own)
    assert said_in(made["batched"]) == said_in(made["direct"])
    assert 2 * cost(made["batched"]) == cost(made["direct"]) > 0
