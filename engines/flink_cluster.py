"""A standalone Flink cluster on this machine: one JobManager and two TaskManagers, each a JVM of its own.

python -m engines.flink_cluster start     # the UI is at http://127.0.0.1:8081
python -m engines.flink_cluster stop
"""

from __future__ import annotations

import argparse
import json
import subprocess
import urllib.request
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from engines.flink_distribution import class_path, flink_home
from engines.pipeline_run import ROOT
from engines.processes import EngineError, free_ports, start, stop_group, wait_until

__all__ = ["OPENED", "TOOLS", "FlinkCluster", "main"]

TOOLS = ROOT / ".tools"

_HOST = "127.0.0.1"
_JOB_MANAGER = "jobmanager"
_START_SECONDS = 180.0
_ANSWER_SECONDS = 5.0
_MAIN_CLASSES = {
    _JOB_MANAGER: "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
    "taskmanager": "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
}
_JVM_OPTIONS = {_JOB_MANAGER: ["-Xmx1g"], "taskmanager": ["-Xmx1g", "-XX:MaxDirectMemorySize=512m"]}
OPENED = [
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
    "--add-exports=java.management/sun.management=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    *(
        f"--add-opens=java.base/java.{package}=ALL-UNNAMED"
        for package in ("lang", "lang.reflect", "net", "io", "nio", "text", "time")
    ),
    *(
        f"--add-opens=java.base/java.util{package}=ALL-UNNAMED"
        for package in ("", ".concurrent", ".concurrent.atomic", ".concurrent.locks")
    ),
]
"""Options of a JVM: packages of Java that Flink looks into."""

_LOGGING = """
rootLogger.level = INFO
rootLogger.appenderRef.stdout.ref = Stdout
appender.stdout.name = Stdout
appender.stdout.type = Console
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
"""


class FlinkCluster:
    """The cluster. A context manager that starts and stops it; what is known of it is in its folder.

    Args:
        folder: for settings, logs, checkpoints and process ids.
        rest_port: of the REST API and the UI; 0 takes any free one.
        task_managers: how many.
        slots: of each TaskManager.
    """

    def __init__(self, folder: Path, *, rest_port: int = 0, task_managers: int = 2, slots: int = 2) -> None:
        self.folder = folder
        self.task_managers = task_managers
        self.slots = slots
        self._rest_port = rest_port
        self._started: dict[int, subprocess.Popen[bytes]] = {}
        self._resources: dict[str, str] = {}

    def __enter__(self) -> FlinkCluster:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def rest_address(self) -> str:
        """Host and port of the REST API: what Beam calls the Flink master."""
        return f"{_HOST}:{self._rest_port}"

    @property
    def ui(self) -> str:
        """Where a browser sees it."""
        return f"http://{self.rest_address}"

    @property
    def settings_folder(self) -> Path:
        """Folder of Flink's `config.yaml`."""
        return self.folder / "conf"

    @property
    def logging_option(self) -> str:
        """Option of a JVM, so that it prints a log."""
        return f"-Dlog4j.configurationFile=file:{self.settings_folder}/log4j2.properties"

    def start(self) -> None:
        """Starts all and waits until every TaskManager has registered; leaves nothing behind when that fails.

        Raises:
            EngineError: one runs already in this folder, or it does not come up.
        """
        if self.processes():
            raise EngineError(f"a Flink cluster runs already, see {self.folder}: stop it first")
        ports = free_ports(2)
        self._rest_port = self._rest_port or ports[0]
        self.settings_folder.mkdir(parents=True, exist_ok=True)
        (self.settings_folder / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")
        (self.settings_folder / "config.yaml").write_text(self._settings(ports[1]), encoding="utf-8")
        try:
            self._start(_JOB_MANAGER, "--executionMode", "cluster")
            for number in range(1, self.task_managers + 1):
                self.start_task_manager(number)
            self.wait_for_task_managers()
        except BaseException:
            self.stop()
            raise

    def start_task_manager(self, number: int) -> None:
        """Starts one TaskManager, in place of one that has died, say; it registers by itself, seconds later."""
        name = f"taskmanager-{number}"
        # another one each time, so that the JobManager does not take the new one for the old
        resource = self._resources[name] = f"{name}-{uuid.uuid4().hex[:8]}"
        self._start(name, "-D", f"taskmanager.resource-id={resource}")

    def wait_for_task_managers(self) -> None:
        """Waits until all TaskManagers that were started have registered, and those that have died are forgotten.

        Raises:
            EngineError: they do not.
        """
        wait_until(self._complete, _START_SECONDS, f"{self.task_managers} TaskManagers", self.log(_JOB_MANAGER))

    def stop(self) -> None:
        """Stops all processes, with the workers that TaskManagers have started. Does nothing when there are none."""
        for name, pid in reversed(self.processes().items()):
            stop_group(pid)
            self._pid_file(name).unlink(missing_ok=True)

    def processes(self) -> dict[str, int]:
        """Name -> process id of the JVMs that run, the JobManager first."""
        found: dict[str, int] = {}
        for file in sorted(self.folder.glob("*.pid")):
            pid = int(file.read_text(encoding="utf-8"))
            if self._runs(pid):
                found[file.stem] = pid
        return found

    def kill_task_manager(self, pid: int) -> int:
        """`kill -9` of a TaskManager that this object started, without its workers; returns its number.

        Raises:
            EngineError: it is none.
        """
        name = next((name for name, running in self.processes().items() if running == pid), "")
        if not name.startswith("taskmanager"):
            raise EngineError(f"process {pid} is no TaskManager of the cluster in {self.folder}")
        process = self._started[pid]
        process.kill()
        process.wait()
        return int(name.rpartition("-")[2])

    def running_jobs(self) -> list[str]:
        """Ids of the jobs that have not ended, those that are being restarted too.

        Raises:
            OSError: the JobManager does not answer.
        """
        ended = ("FINISHED", "FAILED", "CANCELED")
        return [job["jid"] for job in self.get("/jobs/overview")["jobs"] if job["state"] not in ended]

    def cancel(self, job: str) -> None:
        """Asks for the end of a job.

        Raises:
            OSError: the JobManager does not answer.
        """
        request = urllib.request.Request(f"{self.ui}/jobs/{job}?mode=cancel", method="PATCH")
        urllib.request.urlopen(request, timeout=_ANSWER_SECONDS).close()

    def get(self, path: str) -> Any:
        """What the REST API answers.

        Raises:
            OSError: it does not.
        """
        with urllib.request.urlopen(f"{self.ui}{path}", timeout=_ANSWER_SECONDS) as answer:
            return json.load(answer)

    def log(self, name: str) -> Path:
        """Log file of a process."""
        return self.folder / f"{name}.log"

    def _start(self, name: str, *arguments: str) -> None:
        kind = name.partition("-")[0]
        command = ["java", *_JVM_OPTIONS[kind], *OPENED, self._mark, self.logging_option]
        command += [f"-Dlog.file={self.log(name)}"]  # the UI shows it
        command += ["-cp", class_path(flink_home(TOOLS)), _MAIN_CLASSES[kind]]
        command += ["--configDir", str(self.settings_folder), *arguments]
        try:
            process = start(command, self.log(name))
        except FileNotFoundError:
            raise EngineError("there is no java on the PATH: Flink needs a JVM, 11 or 17") from None
        self._started[process.pid] = process
        self._pid_file(name).write_text(str(process.pid), encoding="utf-8")

    def _pid_file(self, name: str) -> Path:
        return self.folder / f"{name}.pid"

    @property
    def _mark(self) -> str:
        """Tells our JVMs from a process that has got the id of one that has ended."""
        return f"-Dllmdag.folder={self.folder}"

    def _runs(self, pid: int) -> bool:
        if pid in self._started:
            return self._started[pid].poll() is None
        try:
            return self._mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False

    def _complete(self) -> bool:
        running = self.processes()
        missing = {_JOB_MANAGER, *(f"taskmanager-{n + 1}" for n in range(self.task_managers))} - running.keys()
        if missing:
            logs = ", ".join(str(self.log(name)) for name in sorted(missing))
            raise EngineError(f"{', '.join(sorted(missing))} of the Flink cluster has ended, see {logs}")
        with suppress(OSError):
            managers = {manager["id"]: manager["slotsNumber"] for manager in self.get("/taskmanagers")["taskmanagers"]}
            return managers == dict.fromkeys(self._resources.values(), self.slots)
        return False

    def _settings(self, rpc_port: int) -> str:
        """Flink's `config.yaml`. A YAML parser reads JSON, and this is flat."""
        checkpoints = (self.folder / "checkpoints").absolute().as_uri()
        settings: dict[str, Any] = {
            "jobmanager.rpc.address": _HOST,
            "jobmanager.rpc.port": rpc_port,
            "jobmanager.bind-host": _HOST,
            "jobmanager.execution.failover-strategy": "region",
            "rest.address": _HOST,
            "rest.bind-address": _HOST,
            "rest.port": self._rest_port,
            "taskmanager.host": _HOST,
            "taskmanager.bind-host": _HOST,
            "taskmanager.numberOfTaskSlots": self.slots,
            # Flink's scripts compute these from one number; without the scripts all of them are needed
            "taskmanager.cpu.cores": float(self.slots),
            "taskmanager.memory.task.heap.size": "896m",
            "taskmanager.memory.task.off-heap.size": "64m",
            "taskmanager.memory.framework.heap.size": "128m",
            "taskmanager.memory.framework.off-heap.size": "128m",
            "taskmanager.memory.managed.size": "512m",
            "taskmanager.memory.network.min": "256m",
            "taskmanager.memory.network.max": "256m",
            # a pipeline with many groupings has many exchanges at once, and all of them want buffers
            "taskmanager.network.sort-shuffle.min-buffers": 64,
            "taskmanager.memory.jvm-metaspace.size": "192m",
            "taskmanager.memory.jvm-overhead.min": "192m",
            "taskmanager.memory.jvm-overhead.max": "192m",
            "parallelism.default": self.task_managers * self.slots,
            "cluster.registration.error-delay": 1000,
            "heartbeat.interval": 1000,
            "heartbeat.timeout": 30000,  # a process that has died is noticed by its closed connection, in seconds
            "pekko.ask.timeout": "60 s",  # a busy machine is no dead one
            # a new TaskManager needs its time: with few attempts a job fails before it is there
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 100,
            "restart-strategy.fixed-delay.delay": "1 s",
            "execution.checkpointing.dir": checkpoints,
            "classloader.check-leaked-classloader": False,
        }
        return "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())


def main(argv: Sequence[str] | None = None) -> None:
    """Starts or stops a cluster that stays when this process ends."""
    parser = argparse.ArgumentParser(prog="python -m engines.flink_cluster", description="A Flink cluster for trials.")
    parser.add_argument("what", choices=("start", "stop"))
    parser.add_argument("--folder", type=Path, default=TOOLS / "flink-cluster", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8081, help="of its UI; default: %(default)s")
    asked = parser.parse_args(argv)
    cluster = FlinkCluster(asked.folder.absolute(), rest_port=asked.port)
    if asked.what == "stop":
        cluster.stop()
        return
    cluster.start()
    print(f"Flink runs: {cluster.ui}")


if __name__ == "__main__":
    main()
