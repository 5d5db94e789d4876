"""The example pipelines write the same bytes on every engine."""

from __future__ import annotations

from pathlib import Path

from engines.compare import different_files
from engines.engine import DirectProcesses, Flink, Prism, prism_program
from engines.flink_demo import run_example
from engines.job_server import JobServer
from engines.pipeline_run import ROOT


def test_two_worker_processes_write_the_same_bytes(tmp_path: Path, expected: dict[str, Path]) -> None:
    """The other pipeline does, too: see `test_pipelines.py`."""
    found = run_example("category_analysis", DirectProcesses(), tmp_path)
    assert different_files(expected["category_analysis"], found) == []


def test_prism_writes_the_same_bytes(tmp_path: Path, expected: dict[str, Path], prism: Prism) -> None:
    found = run_example("review_analysis", prism, tmp_path)
    assert different_files(expected["review_analysis"], found) == []


class PrismAsJobServer(JobServer):
    """Prism offers the same service under one port: what a job for Flink says goes the same way, up to the cluster."""

    @property
    def command(self) -> list[str]:
        port = self._job_port = self._artifact_port
        return [str(prism_program()), "--job_port", str(port), "--serve_http=false"]


def test_a_job_for_flink_gets_to_a_job_server_with_all_its_options_and_its_worker_installs_what_it_stages(
    tmp_path: Path, expected: dict[str, Path], prism: Prism
) -> None:
    flink = Flink(tmp_path / "flink")
    with PrismAsJobServer(flink.cluster, "", Path(), tmp_path) as server:
        flink._server = server
        assert flink.options({"A": "b"})[:4] == [*server.options, "--parallelism=4"]
        setup = [f"--setup_file={ROOT / 'setup.py'}"]
        found = run_example("category_analysis", flink, tmp_path / "run", options=setup)
    assert different_files(expected["category_analysis"], found) == []
