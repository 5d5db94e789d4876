"""`make engines`: runs every engine and writes the table of docs/engines.md."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

from engines.compare import different_files
from engines.engine import DirectProcesses, DirectRunner, Engine, Flink, Prism
from engines.flink_demo import EXAMPLES, run_example
from engines.kill import KillOutcome, Target, kill_in_the_middle
from engines.pipeline_run import ROOT
from engines.processes import EngineError
from engines.workload import Load, Workload, measure

__all__ = ["BEGIN", "END", "kill_cell", "load_cells", "main", "with_table"]

BEGIN = "<!-- begin of what `make engines` writes -->"
END = "<!-- end of what `make engines` writes -->"

_HEAD = (
    "| engine | same bytes as the DirectRunner | calls in flight, of allowed | calls / ideal | wall | `kill -9` |\n"
    "|---|---|---|---|---|---|\n"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, and writes the table."""
    parser = argparse.ArgumentParser(prog="make engines", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "output" / "engines", help="default: %(default)s")
    parser.add_argument("--document", type=Path, default=ROOT / "docs" / "engines.md", help="default: %(default)s")
    asked = parser.parse_args(argv)
    folder = asked.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    workload = Workload(folder=folder / "workload")
    expected = {name: run_example(name, DirectRunner(), folder / "expected" / name) for name in EXAMPLES}
    engines = (DirectRunner(), DirectProcesses(), Prism(), Flink(folder / "flink"))
    rows = [_row(engine, workload, expected, folder / str(number)) for number, engine in enumerate(engines)]
    about = (
        f"{date.today().isoformat()}: {workload.calls} calls for {workload.reviews} reviews, each answered after "
        f"{workload.latency_seconds:g} s."
    )
    table = f"{about}\n\n{_HEAD}{''.join(rows)}"
    asked.document.write_text(with_table(asked.document.read_text(encoding="utf-8"), table), encoding="utf-8")
    print(f"\n{table}\nwritten to {asked.document}")


def with_table(document: str, table: str) -> str:
    """The document with `table` between the two marks.

    Raises:
        ValueError: a mark is not there.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{table}{END}{after}"


def _row(engine: Engine, workload: Workload, expected: dict[str, Path], folder: Path) -> str:
    print(f"{engine.name} …", flush=True)
    missing = engine.missing()
    if missing is not None:
        return f"| {engine.name} | not run: {missing} | | | | |\n"
    with engine:
        same = _tried(lambda: _same_cell(engine, expected, folder))
        load = _tried(lambda: load_cells(measure(engine, workload, folder / "load")), more_cells=2)
        targets: tuple[Target, ...] = ("worker", "TaskManager") if isinstance(engine, Flink) else ("worker",)
        kills = [_tried(partial(_kill_cell, engine, target, workload, folder)) for target in targets]
    return f"| {engine.name} | {same} | {load} | {'; '.join(kills)} |\n"


def _tried(cells: Callable[[], str], *, more_cells: int = 0) -> str:
    """What was measured, or why not: one failure is a finding, and not the end of all other measurements."""
    try:
        return cells()
    except EngineError as error:
        print(error, flush=True)
        first_line = str(error).partition("\n")[0]
        return f"**{first_line}**{' |' * more_cells}"


def _same_cell(engine: Engine, expected: dict[str, Path], folder: Path) -> str:
    differences = [
        problem
        for name, output in expected.items()
        for problem in different_files(output, run_example(name, engine, folder / name))
    ]
    return "; ".join(differences) or "yes, both pipelines"


def _kill_cell(engine: Engine, target: Target, workload: Workload, folder: Path) -> str:
    outcome = kill_in_the_middle(engine, target, workload, folder / f"kill {target}")
    if isinstance(engine, Flink):
        engine.cluster.wait_for_task_managers()
    return kill_cell(target, outcome)


def load_cells(load: Load) -> str:
    """How the engine used its permits, as three cells."""
    ratio = load.call_seconds / load.ideal_seconds
    times = f"{load.call_seconds:.1f} / {load.ideal_seconds:.1f} s = {ratio:.2f}"
    return f"{load.most_in_flight} of {load.permits} | {times} | {load.wall_seconds:.0f} s"


def kill_cell(target: Target, outcome: KillOutcome) -> str:
    """What a kill did, in words."""
    if outcome.problems:
        return f"{target}: **{'; '.join(outcome.problems)}**"
    end = {
        "survived": "the job went on",
        "failed": "the job failed; started again",
        "stuck": "the job hung; stopped and started again",
    }[outcome.first_end]
    repeated = (
        f"{outcome.repeated} calls repeated ({outcome.in_flight} were in flight, {outcome.most_repeated} allowed)"
    )
    return f"{target}: {end}; all rows once, {repeated}"


if __name__ == "__main__":
    main()
