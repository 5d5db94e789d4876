"""`python -m benchmarks`: runs the cases, prints the table, writes `benchmarks/results/latest.json`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.docs import update_docs
from benchmarks.runner import Record, run_case
from benchmarks.table import shown_table, shown_targets
from benchmarks.targets import checked_targets

__all__ = ["LATEST", "main"]

LATEST = Path(__file__).parent / "results" / "latest.json"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs what the options say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the engine and its peers.")
    parser.add_argument("--case", help=f"one of {', '.join(case.name for case in CASES)}; all without")
    parser.add_argument("--runs", type=int, help="runs per row; 3 for short cases and 1 for long ones without")
    parser.add_argument("--docs", action="store_true", help="run nothing, write docs/performance.md from the results")
    options = parser.parse_args(argv)
    if options.docs:
        update_docs(json.loads(LATEST.read_text(encoding="utf-8")))
        return
    cases = [case for case in CASES if options.case in (None, case.name)]
    if not cases:
        parser.error(f"no case {options.case!r}: there are {', '.join(case.name for case in CASES)}")
    records: list[Record] = []
    began = time.time()
    for case in cases:
        print(f"[{time.time() - began:4.0f} s] {case.name}: {case.title}", flush=True)
        records += run_case(case, options.runs, lambda line: print(f"    {line}", flush=True))
    print(shown_table(records))
    print(shown_targets(checked_targets(records)))
    where = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{len(records)} rows in {time.time() - began:.0f} s on {where}")
    _save(records)


def _save(records: list[Record]) -> None:
    """Writes the rows; those of cases that were not run stay as they were."""
    kept: list[Record] = json.loads(LATEST.read_text(encoding="utf-8")) if LATEST.exists() else []
    ran = {record["case"] for record in records}
    order = [case.name for case in CASES]
    merged = [record for record in kept if record["case"] not in ran] + records
    merged.sort(key=lambda record: order.index(record["case"]))
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_text(json.dumps(merged, indent=1, default=float) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
