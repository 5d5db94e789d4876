"""Beam's job server for Flink: takes pipelines of any language and hands them to a cluster."""

from __future__ import annotations

import os
import socket
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

from apache_beam.runners.portability.job_server import JavaJarJobServer

from engines.flink_cluster import OPENED, FlinkCluster
from engines.flink_distribution import FLINK_VERSION, class_path
from engines.processes import EngineError, free_ports, start, stop_group, wait_until

__all__ = ["JAR_VARIABLE", "JobServer", "given_jar", "job_server_jar"]

JAR_VARIABLE = "FLINK_JOB_SERVER_JAR"
"""Environment variable with the path of the jar, where Beam cannot download it."""

_HOST = "127.0.0.1"
_MAIN_CLASS = "org.apache.beam.runners.flink.FlinkJobServerDriver"
_MAIN_ENTRY = _MAIN_CLASS.replace(".", "/") + ".class"
_FLINK_ENTRY = "org/apache/flink/client/program/rest/RestClusterClient.class"
_START_SECONDS = 120.0


def given_jar(environment: Mapping[str, str] = os.environ) -> str | None:
    """The jar that `FLINK_JOB_SERVER_JAR` names (or several, as a class path); None if it names none.

    Raises:
        EngineError: there is no such file, or it is no Flink job server.
    """
    named = environment.get(JAR_VARIABLE)
    if not named:
        return None
    jars = [str(Path(jar).expanduser().absolute()) for jar in named.split(os.pathsep)]
    if not any(_contains(jar, _MAIN_ENTRY) for jar in jars):
        raise EngineError(f"{JAR_VARIABLE}={named}: it has no {_MAIN_CLASS}, so it is not Beam's job server for Flink")
    return os.pathsep.join(jars)


def job_server_jar() -> str:
    """The jar that `FLINK_JOB_SERVER_JAR` names, or Beam's own download.

    Raises:
        EngineError: the file is not what it should be, or Beam could not download one.
    """
    given = given_jar()
    if given is not None:
        return given
    short_version = FLINK_VERSION.rpartition(".")[0]
    try:
        url = JavaJarJobServer.path_to_beam_jar(f":runners:flink:{short_version}:job-server:shadowJar")
        return str(JavaJarJobServer.local_jar(url))
    except (OSError, RuntimeError) as error:
        raise EngineError(
            f"Beam could not download its job server for Flink ({error}); name a jar that you have: {JAR_VARIABLE}=path"
        ) from error


def _contains(jar: str, entry: str) -> bool:
    """Whether a jar has an entry.

    Raises:
        EngineError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(jar) as archive:
            return entry in archive.NameToInfo
    except (OSError, zipfile.BadZipFile) as error:
        raise EngineError(f"{jar} cannot be read as a jar: {error}") from error


class JobServer:
    """A job server for a cluster. A context manager.

    Args:
        cluster: it runs.
        jar: of the job server, see `job_server_jar`.
        home: of Flink, whose jars are added if `jar` does not contain them.
        folder: for the log and for files that jobs stage.
    """

    def __init__(self, cluster: FlinkCluster, jar: str, home: Path, folder: Path) -> None:
        self._cluster = cluster
        self._jar = jar
        self._home = home
        self._folder = folder
        self._job_port, self._artifact_port, self._expansion_port = free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def options(self) -> list[str]:
        """Beam's options that send a pipeline here."""
        return [
            "--runner=PortableRunner",
            f"--job_endpoint={_HOST}:{self._job_port}",
            f"--artifact_endpoint={_HOST}:{self._artifact_port}",
        ]

    @property
    def command(self) -> list[str]:
        """What starts it."""
        jars = self._jar
        if not any(_contains(jar, _FLINK_ENTRY) for jar in jars.split(os.pathsep)):
            jars = os.pathsep.join([jars, class_path(self._home)])
        return [
            *("java", "-Xmx768m", *OPENED, self._cluster.logging_option, "-cp", jars, _MAIN_CLASS),
            *("--flink-master", self._cluster.rest_address),
            *("--flink-conf-dir", str(self._cluster.settings_folder)),
            *("--job-host", _HOST),
            *("--job-port", str(self._job_port)),
            *("--artifact-port", str(self._artifact_port)),
            *("--expansion-port", str(self._expansion_port)),
            *("--artifacts-dir", str(self._folder / "artifacts")),
        ]

    def __enter__(self) -> JobServer:
        log = self._folder / "job-server.log"
        self._process = start(self.command, log)
        try:
            wait_until(self._listens, _START_SECONDS, "the job server", log)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            stop_group(self._process.pid)
            self._process = None

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise EngineError(f"the job server has ended, see {self._folder / 'job-server.log'}")
        return all(_accepts(port) for port in (self._job_port, self._artifact_port))


def _accepts(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex((_HOST, port)) == 0
