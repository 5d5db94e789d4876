"""Beam's job server for Flink: which jar it is, and how it is started."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from engines.flink_cluster import TOOLS, FlinkCluster
from engines.flink_distribution import flink_home
from engines.job_server import JobServer, given_jar
from engines.processes import EngineError

MAIN_CLASS = "org.apache.beam.runners.flink.FlinkJobServerDriver"
FLINK_CLASS = "org.apache.flink.client.program.rest.RestClusterClient"


def jar(path: Path, *classes: str) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name in classes:
            archive.writestr(name.replace(".", "/") + ".class", b"")
    return str(path)


def test_without_the_variable_there_is_no_jar() -> None:
    assert given_jar({}) is None


def test_a_jar_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=re.escape(f"{tmp_path}/none.jar cannot be read as a jar")):
        given_jar({"FLINK_JOB_SERVER_JAR": f"{tmp_path}/none.jar"})


def test_another_jar_is_no_job_server(tmp_path: Path) -> None:
    path = jar(tmp_path / "other.jar", "com.example.Other")
    with pytest.raises(EngineError, match=f"{re.escape(path)}: it has no {re.escape(MAIN_CLASS)}"):
        given_jar({"FLINK_JOB_SERVER_JAR": path})


def test_several_jars_are_a_class_path(tmp_path: Path) -> None:
    both = f"{jar(tmp_path / 'a.jar', 'com.example.Other')}:{jar(tmp_path / 'b.jar', MAIN_CLASS)}"
    assert given_jar({"FLINK_JOB_SERVER_JAR": both}) == both


@pytest.mark.parametrize("complete", [True, False], ids=["with Flink inside", "without Flink inside"])
def test_flinks_own_jars_are_added_where_the_job_server_has_none(complete: bool, tmp_path: Path) -> None:
    path = jar(tmp_path / "server.jar", MAIN_CLASS, *([FLINK_CLASS] if complete else []))
    home = tmp_path / "flink"
    (home / "lib").mkdir(parents=True)
    for name in ("flink-dist-1.20.3.jar", "flink-table-runtime-1.20.3.jar"):
        (home / "lib" / name).touch()
    command = JobServer(FlinkCluster(tmp_path), path, home, tmp_path).command
    class_path = command[command.index("-cp") + 1].split(":")
    assert class_path == [path] if complete else [path, str(home / "lib" / "flink-dist-1.20.3.jar")]


def test_the_class_by_which_that_is_seen_is_in_flinks_distribution() -> None:
    [dist] = (flink_home(TOOLS) / "lib").glob("flink-dist-*.jar")
    with zipfile.ZipFile(dist) as archive:
        assert FLINK_CLASS.replace(".", "/") + ".class" in archive.NameToInfo
