"""The Flink cluster for trials: a real one, with JVMs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.engine import Flink
from engines.flink_cluster import FlinkCluster, main
from engines.pipeline_run import ROOT
from engines.processes import EngineError

PATIENCE_SECONDS = 240
MAIN_ENTRY = "org/apache/beam/runners/flink/FlinkJobServerDriver.class"


def processes_of(folder: Path) -> list[int]:
    """All processes of this machine that have to do with a folder."""
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if str(folder).encode() in read(path) and int(path.parent.name) != os.getpid()
    ]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    with FlinkCluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


def test_two_task_managers_and_their_slots_are_there(cluster: FlinkCluster) -> None:
    overview = cluster.get("/overview")
    assert (overview["taskmanagers"], overview["slots-total"], overview["slots-available"]) == (2, 4, 4)
    assert overview["flink-version"] == "1.20.3"
    assert list(cluster.processes()) == ["jobmanager", "taskmanager-1", "taskmanager-2"]
    assert cluster.running_jobs() == []


def test_the_ui_is_where_it_is_said_to_be(cluster: FlinkCluster) -> None:
    with urllib.request.urlopen(cluster.ui, timeout=PATIENCE_SECONDS) as page:
        assert b"<title>Apache Flink Web Dashboard</title>" in page.read()


def test_a_killed_task_manager_is_replaced(cluster: FlinkCluster) -> None:
    killed = cluster.processes()["taskmanager-1"]
    number = cluster.kill_task_manager(killed)
    assert "taskmanager-1" not in cluster.processes()
    cluster.start_task_manager(number)
    cluster.wait_for_task_managers()
    assert cluster.processes()["taskmanager-1"] != killed
    assert cluster.get("/overview")["slots-total"] == 4


def test_a_second_cluster_in_the_same_folder_is_an_error(cluster: FlinkCluster) -> None:
    with pytest.raises(EngineError, match=re.escape(f"runs already, see {cluster.folder}")):
        FlinkCluster(cluster.folder).start()
    assert len(cluster.processes()) == 3


def test_a_cluster_that_was_started_by_command_is_stopped_by_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "by command"
    command = [sys.executable, "-m", "engines.flink_cluster", "start", "--folder", str(folder), "--port", "0"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=PATIENCE_SECONDS)
    assert len(processes_of(folder)) == 3
    main(["stop", "--folder", str(folder)])
    assert processes_of(folder) == []


def fake_jar(path: Path) -> Path:
    """A jar that looks like the job server's, and does not start."""
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr(MAIN_ENTRY, b"no class")
    return path


def test_a_job_server_that_does_not_start_leaves_no_cluster_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLINK_JOB_SERVER_JAR", str(fake_jar(tmp_path / "server.jar")))
    engine = Flink(tmp_path / "flink")
    with pytest.raises(EngineError, match=r"job server has ended, see .*job-server\.log"), engine:
        pytest.fail("it cannot have started")
    assert processes_of(tmp_path) == []


def test_ctrl_c_stops_all_that_the_demonstration_has_started(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    environment = {**os.environ, "FLINK_JOB_SERVER_JAR": str(fake_jar(tmp_path / "server.jar"))}
    command = [sys.executable, "-m", "engines.flink_demo", "--folder", str(folder), "--port", "0"]
    demo = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (folder / "cluster" / "taskmanager-2.pid").exists():
        assert time.monotonic() < deadline
        assert demo.poll() is None
        time.sleep(0.05)
    demo.send_signal(signal.SIGINT)
    _, error = demo.communicate(timeout=PATIENCE_SECONDS)
    assert (demo.returncode, error.splitlines()[-1]) == (1, "flink-demo: stopped")
    assert processes_of(folder) == []
