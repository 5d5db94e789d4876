"""Jobs for Dataflow as Beam's runner makes them: their steps, what is staged, and that it runs where only that is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from helpers.dataflow_jobs import (
    OFFLINE,
    REQUIRED,
    StagedJob,
    graph_text,
    run_on_worker,
    stage,
)
from helpers.places import ROOT
from helpers.staged_package import staged_package, worker_python

from beam_llmdag.testing import SimulatedRequest, Simulator, load_rules
from pipelines import category_analysis, review_analysis

GOLDEN = ROOT / "tests" / "golden" / "dataflow"
EXAMPLES = ROOT / "examples"
PIPELINES = {
    "review_analysis": (review_analysis, "reviews_20"),
    "category_analysis": (category_analysis, "categories_10"),
}
IMAGE = "--sdk_container_image=europe-docker.pkg.dev/my-project/llmdag/worker:1"
KEY = "sk-ant-of-the-submitter"
SECRET = "projects/my-project/secrets/anthropic/versions/latest"


def staged(folder: Path, name: str, *options: str, output: str = "gs://my-bucket/results") -> StagedJob:
    """The job of an example pipeline."""
    module, data = PIPELINES[name]
    own = ["--input", f"{EXAMPLES}/{data}.jsonl", "--output", output]
    return stage(module.run([*own, *REQUIRED, *OFFLINE, *options]), folder / "staged")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a worker on which the staged archive was installed."""
    folder = tmp_path_factory.mktemp("worker")
    return worker_python(staged_package(folder), folder)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_steps_read_as_agreed(name: str, tmp_path: Path) -> None:
    text = graph_text(staged(tmp_path, name, IMAGE).pipeline)
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_a_job_asks_for_what_the_pipelines_set(tmp_path: Path) -> None:
    environment = staged(tmp_path, "review_analysis", IMAGE).description["environment"]
    [pool] = environment["workerPools"]
    assert sorted(environment["experiments"]) == [
        "beam_fn_api",
        "no_use_multiple_sdk_containers",
        "use_portable_job_submission",
        "use_runner_v2",
        "use_unified_worker",
    ]
    assert pool["autoscalingSettings"] == {"maxNumWorkers": 10}
    assert pool["numThreadsPerWorker"] == 4
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE.partition("=")[2]]


def test_what_the_user_asks_for_comes_first(tmp_path: Path) -> None:
    options = (
        "--max_num_workers=3",
        "--number_of_worker_harness_threads=1",
        "--experiments=use_multiple_sdk_containers",
    )
    environment = staged(tmp_path, "review_analysis", IMAGE, *options).description["environment"]
    [pool] = environment["workerPools"]
    assert pool["autoscalingSettings"] == {"maxNumWorkers": 3}
    assert pool["numThreadsPerWorker"] == 1
    assert "no_use_multiple_sdk_containers" not in environment["experiments"]


def test_the_package_is_staged_where_the_image_does_not_have_it(tmp_path: Path) -> None:
    job = staged(tmp_path, "review_analysis", "--setup_file", str(copied_sources(tmp_path)))
    [pool] = job.description["environment"]["workerPools"]
    assert "workflow.tar.gz" in {package["name"] for package in pool["packages"]}
    with tarfile.open(job.folder / "workflow.tar.gz") as archive:
        assert "beam_llmdag-0.1.0/pipelines/review_analysis.py" in archive.getnames()


def test_no_key_of_the_submitter_is_in_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, KEY)
    job = staged(tmp_path, "review_analysis", "--setup_file", str(copied_sources(tmp_path)))
    assert b"claude-haiku-4-5" in job.readable()  # of a pickled model: pickles are looked into
    assert KEY.encode() not in job.readable()


def test_a_job_has_the_name_of_a_secret_and_not_its_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    readable = staged(tmp_path, "review_analysis", IMAGE, f"--key_secrets=anthropic={SECRET}").readable()
    assert SECRET.encode() in readable
    assert KEY.encode() not in readable


@pytest.mark.parametrize("name", PIPELINES)
def test_a_staged_job_runs_where_only_the_staged_package_is(name: str, tmp_path: Path, python: Path) -> None:
    job = staged(tmp_path, name, IMAGE, "--model=anthropic:claude-haiku-4-5", output=str(tmp_path / "results"))
    data = PIPELINES[name][1]
    with Simulator(answers=load_rules(EXAMPLES / f"{data}.gold.jsonl")) as simulator:
        environment = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": simulator.base_url("anthropic")}
        run_on_worker(job, python, environment)
        assert {request.headers["authorization"] for request in simulator.requests} == {f"Bearer {KEY}"}
    assert pq.read_table(tmp_path / "results" / "failures.parquet").num_rows == 0
    rows = pq.read_table(tmp_path / "results" / "items.parquet").to_pylist()
    assert len(rows) == int(data.rpartition("_")[2])


def launched(python: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A pipeline started as a Flex Template's launcher does it: by the path of its file, in the workers' image."""
    [file] = (python.parent.parent / "lib").glob("python3.*/site-packages/pipelines/review_analysis.py")
    own = [
        "--input",
        EXAMPLES / "reviews_20.jsonl",
        "--output=gs://my-bucket/results",
        f"--key_secrets=anthropic={SECRET}",
    ]
    return subprocess.run(
        [python, file, *own, *REQUIRED, *OFFLINE, *options],
        env={"PATH": "/usr/bin:/bin"},
        cwd=python.parent,
        text=True,
        capture_output=True,
        check=False,
    )


def test_the_launcher_describes_a_job_and_does_not_wait_for_results(python: Path) -> None:
    done = launched(python, IMAGE)
    assert (done.returncode, done.stdout) == (0, "results, when the job has run: gs://my-bucket/results\n"), done.stderr


def test_the_launcher_says_that_workers_need_the_image(python: Path) -> None:
    done = launched(python)
    assert done.returncode == 2
    assert "Dataflow's workers do not have this package: give an image that has it" in done.stderr


SCRIPT = """
import os
import sys
from pathlib import Path
from typing import Literal

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from pydantic import BaseModel

from beam_llmdag import Dag, LLMDag
from beam_llmdag.beam.io.results import WriteResults

WORDS = {"even": "an even one", "odd": "an odd one"}
KEPT = os.environ["KEPT_IN_A_GLOBAL"]


class Kind(BaseModel):
    label: Literal["even", "odd"]


dag = Dag("first", model="anthropic:claude-haiku-4-5")


@dag.dimension(output=Kind)
def kind(item):
    return f"kind of {item.id}"


@dag.dimension(skip_if=lambda kind: kind.label not in WORDS)
def joined(item, kind: Kind):
    return f"{item.id} is {WORDS[kind.label]}"


if __name__ == "__main__":
    from helpers.dataflow_jobs import stage

    folder, *options = sys.argv[1:]
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    items = pipeline | beam.Create([{"id": str(number), "content": "x"} for number in range(4)])
    items | LLMDag(dag) | WriteResults(dag, f"{folder}/results", file_format="jsonl")
    stage(pipeline.run(), Path(folder) / "staged")
"""


def job_of_script(folder: Path, *options: str) -> StagedJob:
    """The job of a script that a user starts by its path."""
    (folder / "job.py").write_text(SCRIPT, encoding="utf-8")
    submitted = subprocess.run(
        [sys.executable, folder / "job.py", folder, *REQUIRED, *OFFLINE, *options],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT}/tests",
            "ANTHROPIC_API_KEY": KEY,
            "KEPT_IN_A_GLOBAL": "sk-kept",
        },
        cwd=folder,
        text=True,
        capture_output=True,
        check=False,
    )
    assert submitted.returncode == 0, submitted.stderr[-3000:]
    return StagedJob(folder / "staged")


def test_classes_functions_and_globals_of_the_script_itself_get_to_the_worker(tmp_path: Path, python: Path) -> None:
    """Case beam-01. The worker does not load Beam's "main session"."""
    job = job_of_script(tmp_path, IMAGE)

    def answers(request: SimulatedRequest) -> Any:
        number = request.prompt.rpartition(" ")[2]
        return {"label": "odd" if int(number) % 2 else "even"} if request.prompt.startswith("kind") else request.prompt

    with Simulator(answers) as simulator:
        environment = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": simulator.base_url("anthropic")}
        run_on_worker(job, python, environment)
    lines = (tmp_path / "results" / "items.jsonl").read_text(encoding="utf-8").splitlines()
    rows = sorted((json.loads(line) for line in lines), key=lambda row: str(row["id"]))
    assert [row["joined"]["data"] for row in rows] == [
        *("0 is an even one", "1 is an odd one", "2 is an even one", "3 is an odd one")
    ]


def test_of_the_script_s_globals_a_job_has_those_that_functions_use(tmp_path: Path) -> None:
    """Beam's "main session", which it stages for Dataflow by default, has none: only what is registered for coders."""
    job = job_of_script(tmp_path, IMAGE)
    readable = job.readable()
    assert (job.folder / "pickled_main_session").exists()
    assert b"an even one" in readable
    assert b"sk-kept" not in readable
    assert KEY.encode() not in readable


def copied_sources(folder: Path) -> Path:
    """The setup.py of a copy of this project: building leaves files beside it."""
    staged_package(folder)
    return folder / "sources" / "setup.py"
