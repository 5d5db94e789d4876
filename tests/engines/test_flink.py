"""A real Flink cluster with Beam's job server: needs `FLINK_JOB_SERVER_JAR`, the path of that server's jar."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beam_llmdag.testing import Simulator
from engines.compare import different_files
from engines.engine import Flink
from engines.flink_demo import EXAMPLES, run_example
from engines.job_server import given_jar
from engines.kill import Target, kill_in_the_middle
from engines.pipeline_run import ROOT, PipelineRun, worker_environment
from engines.processes import log_end
from engines.workload import PERMITS, RUN_SECONDS, Workload, measure

pytestmark = [
    pytest.mark.skipif(given_jar() is None, reason="needs FLINK_JOB_SERVER_JAR"),
    pytest.mark.timeout(4 * RUN_SECONDS),
]


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flink]:
    with Flink(tmp_path_factory.mktemp("flink")) as engine:
        yield engine


@pytest.mark.parametrize("pipeline", EXAMPLES)
def test_flink_writes_the_same_bytes(pipeline: str, tmp_path: Path, expected: dict[str, Path], flink: Flink) -> None:
    found = run_example(pipeline, flink, tmp_path)
    assert different_files(expected[pipeline], found) == []


def test_workers_install_the_package_that_the_job_stages(
    tmp_path: Path, expected: dict[str, Path], flink: Flink
) -> None:
    found = run_example("category_analysis", flink, tmp_path, options=[f"--setup_file={ROOT / 'setup.py'}"])
    assert different_files(expected["category_analysis"], found) == []


def test_the_worker_of_each_task_manager_has_as_many_calls_in_flight_as_it_may(
    tmp_path: Path, flink: Flink, workload: Workload
) -> None:
    load = measure(flink, workload, tmp_path)
    assert PERMITS < load.most_in_flight <= load.permits == 2 * PERMITS


@pytest.mark.parametrize("target", ["worker", "TaskManager"])
def test_the_job_goes_on_after_a_kill_and_repeats_no_more_calls_than_were_in_flight(
    target: Target, tmp_path: Path, flink: Flink, workload: Workload
) -> None:
    outcome = kill_in_the_middle(flink, target, workload, tmp_path)
    flink.cluster.wait_for_task_managers()
    assert outcome.problems == []
    assert outcome.first_end == "survived"
    assert outcome.repeated <= outcome.most_repeated


def test_a_streaming_job_is_restored_from_a_checkpoint_and_loses_no_item(tmp_path: Path, flink: Flink) -> None:
    """Experimental: see docs/flink.md."""
    items = 600
    with Simulator(latency=0.5) as simulator:
        environment = worker_environment(simulator)
        options = ["--items", str(items), "--store", str(tmp_path / "answers.sqlite"), "--streaming"]
        options += ["--checkpointing_interval=2000", *flink.options(environment)]
        run = PipelineRun(module="engines.streaming", options=options, folder=tmp_path, environment=environment)
        with run:
            wait(run, lambda: len(ids(run.output)) > items / 4 and flink.cluster.running_jobs() != [])
            [job] = flink.cluster.running_jobs()
            done = flink.cluster.get(f"/jobs/{job}/checkpoints")["counts"]["completed"]
            wait(run, lambda: flink.cluster.get(f"/jobs/{job}/checkpoints")["counts"]["completed"] >= done + 2)
            cluster = flink.cluster
            number = cluster.kill_task_manager(cluster.processes()["taskmanager-1"])
            cluster.start_task_manager(number)
            wait(run, lambda: len(set(ids(run.output))) == items)
            restored = cluster.get(f"/jobs/{job}/checkpoints")["latest"]["restored"]
            cluster.cancel(job)
            wait(run, lambda: job not in cluster.running_jobs())
    cluster.wait_for_task_managers()
    assert set(ids(run.output)) == {f"{number} ok" for number in range(items)}
    assert restored is not None


def ids(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def wait(run: PipelineRun, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    while not condition():
        assert run.running, log_end(run.log)
        assert time.monotonic() < deadline, log_end(run.log)
        time.sleep(0.2)
