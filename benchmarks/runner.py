"""A case run several times, each time in a new process, and the medians of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cases import BARE_HTTP, BARE_IN_PROCESS, PEERS, Case, Entry
from benchmarks.server import Server, serving
from benchmarks.task import KEY_VARIABLE, Task

__all__ = ["Record", "measure", "python_of", "run_case"]

Record = dict[str, Any]
"""A row of the table, see `docs/performance.md`."""

_ROOT = Path(__file__).parent.parent
_TIME_LIMIT_SECONDS = 240.0
_ENVIRONMENT = {
    KEY_VARIABLE: "not-a-key",
    "LLMDAG_STORE": "off",
    "NEMO_TELEMETRY_ENABLED": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "DO_NOT_TRACK": "1",
    "PYTHONPATH": str(_ROOT),
}


def run_case(case: Case, runs: int | None, tell: Callable[[str], None]) -> list[Record]:
    """Runs all rows of a case.

    Args:
        runs: how often each; None for the case's own number.
        tell: is called with a line about each row as it is done.
    """
    records: list[Record] = []
    for entry in case.entries:
        record = _run_entry(case, entry, runs)
        records.append(record)
        _compare(record, records)
        tell(_told(record))
    return records


def _run_entry(case: Case, entry: Entry, runs: int | None) -> Record:
    record = _described(case, entry)
    python = python_of(entry.task.engine)
    reason = entry.cannot or ("" if python.exists() else "not installed: make bench-peers")
    if reason:
        return {**record, "note": f"not run: {reason}"}
    times = min(runs or case.runs, entry.runs or 99)
    measured = [_run_once(entry, python) for _ in range(times)]
    whole = [run for run in measured if "failed" not in run]
    if not whole:
        return {**record, **measured[0], "note": measured[0]["failed"]}
    numbers = {name: _middle([run.get(name) for run in whole]) for name in whole[0]}
    return {**record, **_derived(entry, numbers), "runs": len(whole)}


def _described(case: Case, entry: Entry) -> Record:
    task = entry.task
    return {
        "case": case.name,
        "engine": task.engine,
        "plan": task.plan,
        "items": task.items,
        "calls": None,
        "in_flight": task.in_flight,
        "latency_ms": round(task.latency_seconds * 1000),
        "wall_s": None,
        "ideal_s": round(entry.ideal_seconds, 3),
        "efficiency": None,
        "cpu_us_per_call": None,
        "peak_rss_mb": None,
        "first_result_s": None,
        "ratio_to_bare": None,
        "http": entry.vendor is not None,
        "store": task.store is not None,
        "workers": task.workers,
        "expected_calls": entry.calls,
        "note": entry.note,
    }


def _derived(entry: Entry, numbers: Record) -> Record:
    ideal = entry.ideal_seconds
    per = numbers["calls"] or 3 * entry.task.items
    return {
        **numbers,
        "efficiency": ideal / numbers["wall_s"] if ideal else None,
        "cpu_us_per_call": numbers["cpu_s"] / per * 1e6,
        "mb_per_1000_items": (numbers["peak_rss_mb"] - numbers["start_rss_mb"]) / entry.task.items * 1000,
        "items_lost": entry.task.items - numbers["items_out"],
    }


def _run_once(entry: Entry, python: Path) -> Record:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        vendor = entry.vendor and serving(replace(entry.vendor, log=f"{folder}/requests.jsonl"))
        with vendor or nullcontext(None) as server:
            task = replace(
                entry.task,
                base_url=None if server is None else server.url,
                folder=folder,
                store=entry.task.store and f"{folder}/{entry.task.store}",
            )
            if entry.resumed:
                measure(task, python)
            measured = measure(task, python)
        return _with_traffic(measured, server)


def measure(task: Task, python: Path) -> Record:
    """One run in a process of its own: what it measured, or why it `failed`."""
    command = [str(python), "-m", "benchmarks.measure", task.to_json()]
    with open(f"{task.folder}/errors.txt", "w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=task.folder,
            env=os.environ | _ENVIRONMENT,
            start_new_session=True,
        )
        try:
            told, _ = process.communicate(timeout=_TIME_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            return {"failed": f"stopped after {_TIME_LIMIT_SECONDS:.0f} s, unfinished"}
        finally:
            _end(process)
        if process.returncode:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or ["no message"])[-1]
            return {"failed": f"failed: {last[:200]}"}
    measured: Record = json.loads(told.strip().splitlines()[-1])
    return measured


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a run that has not ended, with the worker processes that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _with_traffic(measured: Record, server: Server | None) -> Record:
    if server is None or server.traffic is None:
        return measured
    traffic = vars(server.traffic)
    return {**measured, **traffic}


def _middle(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _compare(record: Record, records: list[Record]) -> None:
    """Enters how the time and the CPU of a row compare with those of the bare loop."""
    same = ("case", "items", "in_flight", "latency_ms", "http")
    bare = BARE_HTTP if record["http"] else BARE_IN_PROCESS
    for other in records:
        if other["engine"] == bare and other["wall_s"] and all(other[name] == record[name] for name in same):
            if record["wall_s"]:
                record["ratio_to_bare"] = record["wall_s"] / other["wall_s"]
                record["cpu_ratio_to_bare"] = record["cpu_us_per_call"] / other["cpu_us_per_call"]
            return


def python_of(engine: str) -> Path:
    """The Python that has an engine's library; it need not be there."""
    peer = PEERS.get(engine)
    return Path(sys.executable) if peer is None else _ROOT / ".venvs" / peer / "bin" / "python"


def _told(record: Record) -> str:
    name = " ".join(part for part in (record["engine"], record["plan"]) if part)
    shown = record["note"] if record["wall_s"] is None else f"{record['wall_s']:.2f} s, ideal {record['ideal_s']:.2f}"
    return f"{record['case']}: {name}, {record['items']:,} items, {record['in_flight']} in flight: {shown}"
