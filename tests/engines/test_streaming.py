"""The pipeline without an end, on an engine that is here: what does not depend on Flink."""

from __future__ import annotations

from pathlib import Path

from beam_llmdag.testing import Simulator
from engines.engine import Prism
from engines.pipeline_run import PipelineRun, worker_environment
from engines.workload import RUN_SECONDS


def test_every_number_becomes_an_item_that_is_analysed_once(tmp_path: Path, prism: Prism) -> None:
    with Simulator() as simulator:
        environment = worker_environment(simulator)
        options = ["--items", "40", "--interval-ms", "20", "--source", "periodic", "--streaming"]
        run = PipelineRun(
            module="engines.streaming",
            options=[*options, *prism.options(environment)],
            folder=tmp_path,
            environment=environment,
        )
        with run:
            run.finish(RUN_SECONDS)
        assert simulator.request_count == 2 * 40
    lines = run.output.read_text(encoding="utf-8").splitlines()
    assert sorted(lines) == sorted(f"{number} ok" for number in range(40))
