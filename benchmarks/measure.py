"""One measured run in a process of its own: `python -m benchmarks.measure TASK`. Prints one line of JSON.

Imports are over before the clock starts, for every engine; clients, connections and pipelines are made while it runs.
"""

from __future__ import annotations

import gc
import importlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.task import Task, Watch

__all__ = ["main", "resident_mb", "worker_file"]


def main() -> None:
    """Runs the task in the only argument."""
    task = Task.from_json(sys.argv[1])
    engine = importlib.import_module(f"benchmarks.engines.{task.engine}")
    gc.collect()
    before_mb = resident_mb("VmRSS")
    cpu, began, watch = _cpu_seconds(), time.perf_counter(), Watch()
    outcome = engine.run(task, watch)
    wall = time.perf_counter() - began
    workers = [json.loads(path.read_text()) for path in Path(task.folder).glob("worker-*.json")]
    measured: dict[str, Any] = {
        "wall_s": wall,
        "cpu_s": _cpu_seconds() - cpu if not workers else sum(worker["cpu_s"] for worker in workers),
        "peak_rss_mb": resident_mb("VmHWM") + sum(worker["peak_rss_mb"] for worker in workers),
        "start_rss_mb": before_mb,
        "first_result_s": watch.first_seconds,
        "items_out": outcome.items,
        "calls": outcome.calls,
    }
    print(json.dumps(measured), flush=True)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_mb(what: str) -> float:
    """Memory of this process: `"VmRSS"` now, `"VmHWM"` at its highest. (`ru_maxrss` would count the parent's.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def worker_file(folder: str, pid: int) -> Path:
    """Where a worker process of an engine leaves `cpu_s` and `peak_rss_mb`."""
    return Path(folder) / f"worker-{pid}.json"


if __name__ == "__main__":
    main()
