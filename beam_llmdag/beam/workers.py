"""How many processes will make calls, as far as the pipeline's options tell."""

from __future__ import annotations

import os

from apache_beam.options.pipeline_options import PipelineOptions

__all__ = ["worker_processes"]


def worker_processes(options: PipelineOptions) -> int:
    """The most processes in which steps will run; 1 where the options do not say.

    DirectRunner: `--direct_num_workers` with `--direct_running_mode=multi_processing`. Flink: `--parallelism`, which is
    right with one SDK process per slot and more than there are with one per TaskManager. Dataflow: `--max_num_workers`
    (else `--num_workers`) machines, of which each has an SDK process per vCPU unless
    `--experiments=no_use_multiple_sdk_containers` says that it has one.
    """
    known = options.get_all_options()
    runner = str(known.get("runner") or "")
    if "Flink" in runner:
        count = known.get("parallelism")
    elif "Dataflow" in runner:
        count = known.get("max_num_workers") or known.get("num_workers")
    elif known.get("direct_running_mode") == "multi_processing":
        count = known.get("direct_num_workers") or os.cpu_count()
    else:
        count = 1
    return max(1, count or 1)
