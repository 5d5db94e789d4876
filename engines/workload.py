"""What every engine is given: the review pipeline, some hundred reviews, a simulator with a fixed latency."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from beam_llmdag.providers.http.provider import HttpProvider
from beam_llmdag.testing import Simulator
from engines.engine import DirectRunner, Engine
from engines.pipeline_run import PipelineRun, worker_environment

__all__ = ["PERMITS", "RUN_SECONDS", "Load", "Workload", "measure"]

PERMITS = HttpProvider.default_in_flight
"""Calls that one worker process may have in flight."""

RUN_SECONDS = 900.0
"""How long a run may take; on Flink each step starts workers, and a killed TaskManager costs half a minute."""

_MODEL = "anthropic:claude-haiku-4-5"


@dataclass(kw_only=True)
class Workload:
    """Reviews in a file, and the results of an undisturbed run over them.

    Args:
        folder: for all of it.
        reviews: how many.
        latency_seconds: of every answer.
    """

    folder: Path
    reviews: int = 400
    latency_seconds: float = 0.25
    calls: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        reviews = ({"id": f"r{n:04}", "content": f"Kettle {n} boils."} for n in range(self.reviews))
        self.input.write_text("".join(f"{json.dumps(review)}\n" for review in reviews), encoding="utf-8")

    @property
    def input(self) -> Path:
        """File of the reviews."""
        return self.folder / "reviews.jsonl"

    @property
    def expected(self) -> Path:
        """Results of an undisturbed run on the DirectRunner, which `calls` then counts; made when first asked for."""
        folder = self.folder / "expected"
        if not self.calls:
            with Simulator() as simulator, self.run(DirectRunner(), simulator, folder) as run:
                run.finish(RUN_SECONDS)
                self.calls = simulator.request_count
        return folder / "output"

    def simulator(self) -> Simulator:
        """Answers in the same way every time, after the workload's latency."""
        return Simulator(latency=self.latency_seconds)

    def run(
        self,
        engine: Engine,
        simulator: Simulator,
        folder: Path,
        *,
        options: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> PipelineRun:
        """The pipeline on an engine, not started yet.

        Args:
            engine: it runs.
            simulator: answers, and runs.
            folder: for results and log.
            options: more options of the pipeline.
            variables: more variables of its workers.
        """
        environment = {**worker_environment(simulator), **(variables or {})}
        own = ["--input", str(self.input), "--model", _MODEL, *options]
        return PipelineRun(
            module="pipelines.review_analysis",
            options=[*own, *engine.options(environment)],
            folder=folder,
            environment={"LLMDAG_STORE": "off", **environment},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How an engine used what it was allowed.

    Attributes:
        most_in_flight: calls that were in flight at one time.
        permits: calls that might have been.
        call_seconds: from the first request to the last answer.
        ideal_seconds: what that takes with all permits in use from beginning to end.
        wall_seconds: of the whole pipeline, from the start of its process to its end.
    """

    most_in_flight: int
    permits: int
    call_seconds: float
    ideal_seconds: float
    wall_seconds: float


def measure(engine: Engine, workload: Workload, folder: Path) -> Load:
    """Runs a workload on an engine, which runs, and reads from the simulator's log how that went.

    Raises:
        EngineError: the pipeline failed.
    """
    with workload.simulator() as simulator, workload.run(engine, simulator, folder) as run:
        wall_seconds = run.finish(RUN_SECONDS)
        requests = simulator.requests
        permits = PERMITS * engine.processes
        return Load(
            most_in_flight=simulator.peak_in_flight,
            permits=permits,
            call_seconds=max(r.finished_at or 0.0 for r in requests) - min(r.received_at for r in requests),
            ideal_seconds=len(requests) * workload.latency_seconds / permits,
            wall_seconds=wall_seconds,
        )
