"""`kill -9` in the middle of a run: the same test for every engine."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from beam_llmdag.testing import Simulator
from engines.compare import different_rows
from engines.engine import Engine, Flink
from engines.pipeline_run import PipelineRun
from engines.processes import EngineError, log_end, marked, parent_of
from engines.workload import PERMITS, RUN_SECONDS, Workload

__all__ = ["KillOutcome", "Target", "kill_in_the_middle"]

Target = Literal["worker", "TaskManager"]
FirstEnd = Literal["survived", "failed", "stuck"]

_MARK = "LLMDAG_ENGINES_RUN"
_WORKER = "sdk_worker_main"
_POLL_SECONDS = 0.01
_FAIL_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KillOutcome:
    """What a kill did.

    Attributes:
        in_flight: calls in flight when it happened.
        first_end: how the first run ended; after `"failed"` and `"stuck"` the pipeline was started again with the same
            answer store.
        repeated: calls that were made more than once.
        most_repeated: what all worker processes together may have in flight: so many calls a kill may repeat.
        lost, doubled: items that are not there, and that are there once more.
        problems: what is wrong with the results, in words; there should be nothing.
    """

    in_flight: int
    first_end: FirstEnd
    repeated: int
    most_repeated: int
    lost: int
    doubled: int
    problems: list[str]


def kill_in_the_middle(
    engine: Engine, target: Target, workload: Workload, folder: Path, *, share: float = 0.5
) -> KillOutcome:
    """Kills a part of an engine in the middle of a run, and looks at what comes out in the end.

    Args:
        engine: it runs.
        target: what is killed. Where the engine works in the process that submits, that process is its worker.
        workload: what it works on.
        folder: for the results, the logs and the answer store.
        share: of all calls that were asked by then.

    Raises:
        EngineError: the engine has no such part; the job ended too early, did not survive where the engine promises
            it, or did not even succeed when it was started again.
    """
    if target == "TaskManager" and not isinstance(engine, Flink):
        raise EngineError(f"{engine.name} has no TaskManager")
    expected = workload.expected
    variables = {_MARK: uuid.uuid4().hex}
    options = ["--store", str(folder / "answers.sqlite")]
    with workload.simulator() as simulator:
        first = workload.run(engine, simulator, folder / "first", options=options, variables=variables)
        with first:
            _wait_for_calls(simulator, int(workload.calls * share), first)
            in_flight = simulator.in_flight
            _kill(engine, target, first, f"{_MARK}={variables[_MARK]}")
            first_end = _end(first, RUN_SECONDS if engine.survives else _FAIL_SECONDS)
        output = first.output
        if first_end != "survived":
            if engine.survives:
                raise EngineError(
                    f"the job did not survive, it is {first_end}; the end of {first.log}:\n{log_end(first.log)}"
                )
            second = workload.run(engine, simulator, folder / "second", options=options, variables=variables)
            with second:
                second.finish(RUN_SECONDS)
            output = second.output
        asked = Counter(request.fingerprint for request in simulator.requests)
    wanted, came = _ids(expected), _ids(output)
    problems = [*different_rows(expected, output), *_doubled_costs(output)]
    if len(asked) != workload.calls:
        problems.append(f"{len(asked)} different calls were made, not {workload.calls}")
    return KillOutcome(
        in_flight=in_flight,
        first_end=first_end,
        repeated=asked.total() - len(asked),
        most_repeated=PERMITS * engine.processes,
        lost=(wanted - came).total(),
        doubled=(came - wanted).total(),
        problems=problems,
    )


def _end(run: PipelineRun, seconds: float) -> FirstEnd:
    succeeded = run.succeeded(seconds)
    return "stuck" if succeeded is None else "survived" if succeeded else "failed"


def _wait_for_calls(simulator: Simulator, calls: int, run: PipelineRun) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while simulator.request_count < calls:
        if not run.running or time.monotonic() > deadline:
            raise EngineError(
                f"only {simulator.request_count} calls came, {calls} were awaited; the end of {run.log}:\n"
                f"{log_end(run.log)}"
            )
        time.sleep(_POLL_SECONDS)


def _kill(engine: Engine, target: Target, run: PipelineRun, mark: str) -> None:
    workers = _workers(mark) if engine.processes > 1 or engine.own_workers else [run.pid]
    if not workers:
        raise EngineError(f"{engine.name} has no worker process with {mark} in its environment; see {run.log}")
    if target == "TaskManager" and isinstance(engine, Flink):
        cluster = engine.cluster
        # what runs the cluster, Kubernetes for example, starts a new one
        cluster.start_task_manager(cluster.kill_task_manager(parent_of(workers[0])))
    else:
        os.kill(workers[0], signal.SIGKILL)


def _workers(mark: str) -> list[int]:
    """Worker processes, without the shells that Beam starts some of them in."""
    found = marked(mark, _WORKER)
    parents = {parent_of(pid) for pid in found}
    return [pid for pid in found if pid not in parents]


def _ids(output: Path) -> Counter[str]:
    files = output.glob("items*.parquet")
    return Counter(str(row_id) for path in files for row_id in pq.read_table(path, columns=["id"])["id"].to_pylist())


def _doubled_costs(output: Path) -> list[str]:
    costs = pq.read_table(output / "costs.parquet").to_pylist()
    lines = Counter((cost["item_id"], cost["dimension"], cost["attempt"]) for cost in costs)
    return [f"the bill has {count} lines for {line}" for line, count in sorted(lines.items()) if count > 1]
