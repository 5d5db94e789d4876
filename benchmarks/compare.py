"""`python -m benchmarks.compare old.json new.json`: what has changed by more than a tenth."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.runner import Record
from benchmarks.table import row_name

__all__ = ["main"]

_NOISE = 0.1
_KEY = ("case", "engine", "plan", "items", "in_flight", "http", "store", "workers", "note")
_COMPARED = ("wall_s", "cpu_us_per_call", "peak_rss_mb", "calls")


def main() -> None:
    """Prints a line per number that has changed."""
    old, new = (_by_key(json.loads(Path(path).read_text(encoding="utf-8"))) for path in sys.argv[1:3])
    for key in old.keys() & new.keys():
        for what in _COMPARED:
            before, after = old[key].get(what), new[key].get(what)
            if before and after and abs(after / before - 1) > _NOISE:
                row = new[key]
                where = f"{row['case']:>3} {row_name(row)}, {row['items']:,} items, {row['in_flight']} in flight"
                print(f"{where}: {what} {before:.2f} -> {after:.2f} ({after / before - 1:+.0%})")


def _by_key(records: list[Record]) -> dict[tuple[object, ...], Record]:
    return {tuple(record[name] for name in _KEY): record for record in records}


if __name__ == "__main__":
    main()
