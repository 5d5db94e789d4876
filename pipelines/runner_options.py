"""Options of Beam's runners that a user would have to know, see docs/engines.md and docs/flink.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)

__all__ = ["with_runner_defaults"]

_NO_CLUSTER = ("[auto]", "[local]")
"""Flink masters for which Beam starts a Flink of its own, whose workers are in the submitting process."""

_WEEK_SECONDS = 7 * 24 * 3600


def with_runner_defaults(args: Sequence[str]) -> list[str]:
    """Beam's arguments with those that the runner needs and that are not there.

    * Prism, `--job_server_timeout` of a week: Beam 2.77 gives up on every job that runs for longer, by default 5
      minutes.
    * Flink, `--execution_mode_for_batch=BATCH`: results of a step are on disk before the next step, so that less is
      run again when a worker dies.
    * A Flink cluster (`--runner=FlinkRunner --flink_master=host:8081`), `--environment_type=PROCESS`: each TaskManager
      starts its worker with `llmdag-boot`, at the same path as here. Otherwise Beam would want Docker there.
    """
    options = PipelineOptions(list(args))
    runner = (options.view_as(StandardOptions).runner or "").rpartition(".")[2].lower().removesuffix("runner")
    more: list[str] = []
    if runner == "prism" and not _named(args, "--job_server_timeout"):
        more.append(f"--job_server_timeout={_WEEK_SECONDS}")
    if runner in ("flink", "portable") and not _named(args, "--execution_mode_for_batch"):
        more.append("--execution_mode_for_batch=BATCH")
    on_cluster = options.view_as(FlinkRunnerOptions).flink_master not in _NO_CLUSTER
    if runner == "flink" and on_cluster and not options.view_as(PortableOptions).environment_type:
        config = json.dumps({"command": str(Path(sys.executable).parent / "llmdag-boot")})
        more += ["--environment_type=PROCESS", f"--environment_config={config}"]
    return [*args, *more]


def _named(args: Sequence[str], option: str) -> bool:
    return any(arg == option or arg.startswith(f"{option}=") for arg in args)
