"""How much memory a run in this process takes as items grow: streamed, with answers kept, and as one report.

    python -m benchmarks.memory                  # 10,000, 100,000 and 1,000,000 items
    python -m benchmarks.memory --most 100000

Each row is a process of its own; two dimensions an item, answers made in the process, texts of 200 characters. "MB" is
the most memory the process had, with the interpreter and all imports in it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from beam_llmdag import Dag, Item, Model
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider

__all__ = ["WAYS", "main", "measure"]

WAYS = ("stream", "stream, SQLite store", "run")
_SIZES = (10_000, 100_000, 1_000_000)
_TEXT = "x" * 190
_KB = 1024 if sys.platform != "darwin" else 1


class _Forgotten(list[Request]):
    """Requests that a provider does not keep."""

    def append(self, _request: Request) -> None:
        """Keeps nothing."""


def measure(way: str, count: int, folder: str) -> dict[str, float]:
    """Runs `count` items in one of `WAYS`; MB at most, seconds, and rows that came out."""
    provider = ScriptedProvider(lambda _: "good")
    provider.requests = _Forgotten()
    dag = Dag("memory", model=Model("scripted:m", max_in_flight=200), providers={"scripted": provider})
    dag.dimension(lambda item: f"Mood of {item.content}?", name="mood")
    dag.dimension(lambda item, mood: f"Why is {item.content} {mood}?", name="why")
    store = f"{folder}/answers.sqlite" if "store" in way else False
    began = time.monotonic()
    if way == "run":
        rows = len(dag.run(_items(count), store=store, progress=False).items)
    else:
        rows = sum(1 for _ in dag.stream(_items(count), store=store))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KB / 1e6
    return {"mb": most, "seconds": time.monotonic() - began, "rows": rows}


def _items(count: int) -> Iterator[Item]:
    return (Item(str(number), f"{number:09} {_TEXT}") for number in range(count))


def main() -> None:
    """Measures, and prints a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="Measure memory.")
    parser.add_argument("--most", type=int, default=_SIZES[-1], help="items of the largest run; default: %(default)s")
    parser.add_argument("--one", nargs=2, metavar=("WAY", "ITEMS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory(prefix="memory-") as folder:
            print(json.dumps(measure(options.one[0], int(options.one[1]), folder)))
        return
    sizes = [size for size in _SIZES if size <= options.most]
    print(f"| way | {' | '.join(f'MB, {size:,} items' for size in sizes)} | rows per second |")
    print(f"|---|{'---:|' * len(sizes)}---:|")
    for way in WAYS:
        made = [_in_a_process(way, size) for size in sizes]
        cells = " | ".join(f"{one['mb']:,.0f}" for one in made)
        print(f"| {way} | {cells} | {made[-1]['rows'] / made[-1]['seconds']:,.0f} |", flush=True)


def _in_a_process(way: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.memory", "--one", way, str(size)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    made: dict[str, float] = json.loads(done.stdout)
    if made["rows"] != size:
        raise RuntimeError(f"{way}: {made['rows']} rows came of {size} items")
    return made


if __name__ == "__main__":
    main()
