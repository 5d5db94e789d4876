"""`kill -9` at moments drawn by chance: of programs that run a dag, of engines' workers, of servers that keep answers.

    python -m engines.faults            # 20 seeds each, the table in docs/reliability.md
    python -m engines.faults --seeds 3 --only engines

Each run analyses 100 items, two calls each through the Anthropic SDK, 20 in flight, answers after 50 ms. It is killed,
or its server is, between the first request and about the last one; then it is started again until it ends. What was
asked is counted at the simulated vendor. A call is in flight until its answer is in the store. On engines it is the
review pipeline that is killed, with 60 reviews and answers in SQLite, and started again where the engine gives it up.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from beam_llmdag.testing import Reply, SimulatedRequest, Simulator
from engines.engine import DirectProcesses, DirectRunner, Engine, Flink, Prism
from engines.kill import Target, kill_in_the_middle
from engines.processes import free_ports
from engines.servers import new_postgres, new_redis
from engines.workload import PERMITS, Workload

__all__ = ["Fault", "main", "provoke", "provoke_vendor"]

ITEMS, IN_FLIGHT, LATENCY_SECONDS = 100, 20, 0.05
_SECONDS = 2 * ITEMS / IN_FLIGHT * LATENCY_SECONDS

PROGRAM = """
import sys
from beam_llmdag import Dag, Item, Model

url, store, output, items, in_flight = sys.argv[1:]
model = Model("anthropic:claude-haiku-4-5", base_url=url, api_key_env="FAULTS_API_KEY", max_in_flight=int(in_flight))
dag = Dag("faults", model=model)
dag.dimension(lambda item: f"Mood of {item.content}?", name="mood")
dag.dimension(lambda item, mood: f"Why is {item.content} {mood}?", name="why")
report = dag.run([Item(str(n), f"text {n}") for n in range(int(items))], store=store, run_id="r", progress=False)
report.write(output, file_format="jsonl")
"""

VENDOR = """
import sys, time
from beam_llmdag.testing import Simulator

def answer(request):
    return "good" if request.prompt.startswith("Mood") else "because"

with Simulator(answer, latency=float(sys.argv[1]), port=int(sys.argv[2]), log_path=sys.argv[3]):
    time.sleep(3600)
"""

What = Literal["program", "server"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What came of one kill.

    Attributes:
        lost: items without a good answer to both questions.
        doubled: items that are there more than once.
        paid_again: good answers to a request that had been answered well before.
        starts: how often the program was started.
    """

    lost: int
    doubled: int
    paid_again: int
    starts: int


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One line of the table: `fault` provokes it for a seed, with `in_flight` calls in flight at most."""

    name: str
    what: str
    in_flight: int
    fault: Callable[[int], Fault]


def provoke(place: str, what: What, seed: int, kill_server: Callable[[], None] | None = None) -> Fault:
    """Kills a run, starts it again, and counts.

    Args:
        place: of an answer store that nobody has used.
        what: what is killed.
        seed: draws the moment.
        kill_server: kills the server at `place` and starts it again.
    """
    rng = random.Random(seed)
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as folder,
        Simulator(_answer, latency=LATENCY_SECONDS) as simulator,
    ):
        output = Path(folder) / "out"
        command = _program(simulator.base_url("anthropic"), place, output)
        starts = 1
        process = _started(command)
        _await(lambda: simulator.request_count > 0)
        time.sleep(rng.uniform(0.0, _SECONDS))
        if what == "program":
            os.killpg(process.pid, signal.SIGKILL)
        elif kill_server is not None:
            kill_server()
        while process.wait() != 0:
            starts += 1
            process = _started(command)
            if starts > 5:
                raise RuntimeError("the run does not come to its end")
        answered = Counter(request.fingerprint for request in simulator.requests if request.status == 200)
        return _fault(_lines(output / "items.jsonl"), answered, starts)


def provoke_vendor(seed: int) -> Fault:
    """Kills the simulated vendor in the middle of a run, starts it again at once, and counts.

    Args:
        seed: draws the moment.
    """
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, ExitStack() as stack:
        output, log = Path(folder) / "out", Path(folder) / "asked.jsonl"
        [port] = free_ports(1)
        vendor = [sys.executable, "-c", VENDOR, str(LATENCY_SECONDS), str(port), str(log)]
        first = _started(vendor)
        stack.callback(first.kill)
        process = _started(_program(f"http://127.0.0.1:{port}", f"{folder}/answers.sqlite", output))
        stack.callback(process.kill)
        _await(lambda: log.exists() and log.stat().st_size > 0)
        time.sleep(random.Random(seed).uniform(0.0, _SECONDS))
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        second = _started(vendor)
        stack.callback(second.kill)
        if process.wait() != 0:
            raise RuntimeError("the run did not survive its vendor")
        answered = Counter(line["fingerprint"] for line in _lines(log) if line["status"] == 200)
        return _fault(_lines(output / "items.jsonl"), answered, starts=1)


def _program(url: str, place: str, output: Path) -> list[str]:
    return [sys.executable, "-c", PROGRAM, url, place, str(output), str(ITEMS), str(IN_FLIGHT)]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _fault(rows: Sequence[Mapping[str, Any]], answered: Counter[str], starts: int) -> Fault:
    """What came of a kill.

    Args:
        rows: of the run that came to its end.
        answered: fingerprint of a request -> how often it was answered well.
        starts: of the program.
    """
    ids = Counter(row["id"] for row in rows)
    good = sum(row["mood"]["status"] == row["why"]["status"] == "ok" for row in rows)
    return Fault(
        lost=ITEMS - good,
        doubled=sum(count - 1 for count in ids.values()),
        paid_again=sum(count - 1 for count in answered.values()),
        starts=starts,
    )


def main() -> None:
    """Kills, and prints a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m engines.faults", description="Kill runs and stores.")
    parser.add_argument("--seeds", type=int, default=20, help="kills per row; default: %(default)s")
    parser.add_argument("--only", choices=("local", "engines"), help="runs in one process, or pipelines; default: both")
    options = parser.parse_args()
    seeds = options.seeds
    print("| run | killed | kills | lost | doubled | paid again at most | of, in flight |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for row in itertools.chain(*(rows() for name, rows in _PARTS.items() if options.only in (None, name))):
        faults = [row.fault(seed) for seed in range(seeds)]
        lost, doubled = sum(one.lost for one in faults), sum(one.doubled for one in faults)
        worst = max(one.paid_again for one in faults)
        print(f"| {row.name} | {row.what} | {seeds} | {lost} | {doubled} | {worst} | {row.in_flight} |", flush=True)


def _engine_rows() -> Iterator[_Row]:
    """The engines that can run here; on Flink a worker and a TaskManager."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        workload = Workload(folder=Path(folder) / "workload", reviews=60)
        engines = (DirectRunner(), DirectProcesses(), Prism(), Flink(Path(folder) / "flink"))
        for engine in engines:
            if (missing := engine.missing()) is not None:
                print(f"{engine.name} is left out: {missing}", file=sys.stderr)
                continue
            with engine:
                targets: tuple[Target, ...] = ("worker", "TaskManager") if isinstance(engine, Flink) else ("worker",)
                for target in targets:
                    what = "the program" if isinstance(engine, DirectRunner) else f"a {target}"
                    fault = partial(_fault_of_engine, engine, target, workload)
                    yield _Row(name=engine.name, what=what, in_flight=PERMITS * engine.processes, fault=fault)


def _fault_of_engine(engine: Engine, target: Target, workload: Workload, seed: int) -> Fault:
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        share = random.Random(seed).uniform(0.02, 0.98)
        outcome = kill_in_the_middle(engine, target, workload, Path(folder), share=share)
    if outcome.problems and not outcome.lost + outcome.doubled:
        raise RuntimeError(f"{engine.name}, seed {seed}: {'; '.join(outcome.problems)}")
    starts = 1 if outcome.first_end == "survived" else 2
    return Fault(lost=outcome.lost, doubled=outcome.doubled, paid_again=outcome.repeated, starts=starts)


def _local_rows() -> Iterator[_Row]:
    """Runs in one process, by where their answers are."""
    for name, what, fault in _stores():
        yield _Row(name=f"`dag.run`, {name}", what=what, in_flight=IN_FLIGHT, fault=fault)


def _stores() -> Iterator[tuple[str, str, Callable[[int], Fault]]]:
    def in_file(seed: int) -> Fault:
        with tempfile.TemporaryDirectory(prefix="faults-") as folder:
            return provoke(f"{folder}/answers.sqlite", "program", seed)

    yield "SQLite", "the program", in_file
    yield "SQLite", "the vendor", provoke_vendor
    postgres = new_postgres()

    def restart_postgres() -> None:
        postgres.kill()
        postgres.start()

    try:
        yield "PostgreSQL", "the program", lambda seed: provoke(postgres.new_database(), "program", seed)
        yield (
            "PostgreSQL",
            "the server",
            lambda seed: provoke(postgres.new_database(), "server", seed, restart_postgres),
        )
    finally:
        postgres.stop()
        shutil.rmtree(postgres.folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        redis = new_redis(Path(folder), "--appendonly", "yes", "--appendfsync", "always")
        redis.start()

        def restart_redis() -> None:
            redis.stop()
            redis.start()

        @contextmanager
        def emptied() -> Iterator[str]:
            redis.ask("FLUSHALL")
            yield redis.url

        def of_program(seed: int) -> Fault:
            with emptied() as url:
                return provoke(url, "program", seed)

        def of_server(seed: int) -> Fault:
            with emptied() as url:
                return provoke(url, "server", seed, restart_redis)

        try:
            yield "Redis, append-only file", "the program", of_program
            yield "Redis, append-only file", "the server", of_server
        finally:
            redis.stop()


_PARTS: dict[str, Callable[[], Iterator[_Row]]] = {"local": _local_rows, "engines": _engine_rows}


def _answer(request: SimulatedRequest) -> Reply:
    return Reply("good" if request.prompt.startswith("Mood") else "because")


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, start_new_session=True, env=os.environ | {"FAULTS_API_KEY": "not-a-key"})


def _await(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the run has not begun")
        time.sleep(0.005)


if __name__ == "__main__":
    main()
