"""One run of a pipeline in a process of its own, against a simulator in this one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from beam_llmdag.testing import Simulator
from engines.processes import EngineError, log_end, start, stop_group

__all__ = ["ROOT", "PipelineRun", "worker_environment"]

ROOT = Path(__file__).resolve().parent.parent


def worker_environment(simulator: Simulator) -> dict[str, str]:
    """Variables with which workers anywhere on this machine run the code of this clone and ask `simulator`."""
    return {
        "PYTHONPATH": str(ROOT),
        "ANTHROPIC_BASE_URL": simulator.base_url("anthropic"),
        "ANTHROPIC_API_KEY": "simulated",
        "OPENAI_BASE_URL": simulator.base_url("openai"),
        "OPENAI_API_KEY": "simulated",
    }


@dataclass(kw_only=True)
class PipelineRun:
    """A pipeline that runs in a process of its own.

    Args:
        module: of the pipeline, such as `pipelines.review_analysis`.
        options: of the pipeline and of Beam.
        folder: for the log, and for `output`.
        environment: variables of the process.
    """

    module: str
    options: Sequence[str]
    folder: Path
    environment: Mapping[str, str]

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> Path:
        """Where the pipeline puts its results."""
        return self.folder / "output"

    @property
    def log(self) -> Path:
        """File with what the process printed."""
        return self.folder / "log"

    def __enter__(self) -> PipelineRun:
        command = [sys.executable, "-m", self.module, "--output", str(self.output), *self.options]
        self._process = start(command, self.log, self.environment)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            stop_group(self._process.pid)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process is not None and self._process.poll() is None

    def succeeded(self, seconds: float) -> bool | None:
        """Whether it ended well; None if it has not ended after `seconds`."""
        assert self._process is not None
        try:
            return self._process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return None

    def finish(self, seconds: float) -> float:
        """Waits for a good end; seconds from now to then.

        Raises:
            EngineError: it failed, or has not ended after `seconds`.
        """
        begin = time.monotonic()
        if not self.succeeded(seconds):
            what = "still runs" if self.running else "failed"
            raise EngineError(f"{self.module} {what} after {seconds:g} s; the end of {self.log}:\n{log_end(self.log)}")
        return time.monotonic() - begin
