"""The engines that are compared, and how a pipeline is sent to each."""

from __future__ import annotations

import json
import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from engines.flink_cluster import TOOLS, FlinkCluster
from engines.flink_distribution import flink_home
from engines.job_server import JAR_VARIABLE, JobServer, given_jar, job_server_jar
from engines.processes import EngineError

__all__ = ["DirectProcesses", "DirectRunner", "Engine", "Flink", "Prism", "boot_program", "prism_program"]


class Engine(ABC):
    """Something that runs pipelines. A context manager: what it needs runs while the context lasts.

    Attributes:
        name: for tables.
        processes: worker processes of a job, each with limits of its own.
        own_workers: whether it starts workers by a command, which then do not have the submitting process' variables.
        survives: whether a job goes on when a worker was killed; if not, it fails, or waits for ever.
    """

    name: str
    processes = 1
    own_workers = False
    survives = False

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @abstractmethod
    def runner_options(self) -> list[str]:
        """Beam's options that send a job there."""

    def options(self, environment: Mapping[str, str]) -> list[str]:
        """Beam's options for a job whose workers have the variables `environment`, as the process that submits has."""
        if not self.own_workers:
            return self.runner_options()
        config = json.dumps({"command": boot_program(), "env": dict(environment)})
        return [*self.runner_options(), "--environment_type=PROCESS", f"--environment_config={config}"]

    def missing(self) -> str | None:
        """What it needs and is not there; None if it can run."""
        return None


class DirectRunner(Engine):
    """Beam's runner in the process that submits."""

    name = "DirectRunner"

    def runner_options(self) -> list[str]:
        """See `Engine`."""
        return []


class DirectProcesses(Engine):
    """The same with two worker processes."""

    name = "DirectRunner, 2 processes"
    processes = 2

    def runner_options(self) -> list[str]:
        """See `Engine`."""
        return ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]


class Prism(Engine):
    """Prism with a worker in a process of its own."""

    name = "Prism"
    own_workers = True

    def runner_options(self) -> list[str]:
        """See `Engine`."""
        return ["--runner=PrismRunner", f"--prism_location={prism_program()}"]

    def missing(self) -> str | None:
        """See `Engine`."""
        return None if prism_program() else "no Prism: needs Go, then `make .tools/prism`"


class Flink(Engine):
    """A Flink cluster with two TaskManagers on this machine, and Beam's job server.

    Args:
        folder: for logs, settings, checkpoints and staged files.
        rest_port: of its UI; 0 takes any free one.
    """

    name = "Flink"
    processes = 2
    own_workers = True
    survives = True

    def __init__(self, folder: Path, *, rest_port: int = 0) -> None:
        self.cluster = FlinkCluster(folder / "cluster", rest_port=rest_port)
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Flink:
        jar = job_server_jar()  # before the cluster: it is what may be missing
        with ExitStack() as stack:
            stack.enter_context(self.cluster)
            self._server = stack.enter_context(JobServer(self.cluster, jar, flink_home(TOOLS), self._folder))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def runner_options(self) -> list[str]:
        """See `Engine`."""
        slots = self.cluster.task_managers * self.cluster.slots
        return [*self._server.options, f"--parallelism={slots}"]

    def missing(self) -> str | None:
        """See `Engine`."""
        return None if given_jar() else f"needs {JAR_VARIABLE}"


def prism_program() -> str | None:
    """Prism's program: on the PATH, where Go puts what it installs, or where the Makefile builds it."""
    places = os.pathsep.join([os.environ.get("PATH", ""), str(Path.home() / "go" / "bin"), str(TOOLS)])
    return shutil.which("prism", path=places)


def boot_program() -> str:
    """The path of `llmdag-boot`.

    Raises:
        EngineError: it is not installed beside this Python.
    """
    program = Path(sys.executable).parent / "llmdag-boot"
    if not program.exists():
        raise EngineError(f"there is no {program}: install the package into this environment, `make install`")
    return str(program)
