"""The table of docs/engines.md: what is written where."""

from __future__ import annotations

import pytest

from engines.kill import FirstEnd, KillOutcome
from engines.pipeline_run import ROOT
from engines.table import BEGIN, END, kill_cell, load_cells, with_table
from engines.workload import Load


def test_only_what_is_between_the_marks_is_replaced() -> None:
    assert with_table(f"before\n{BEGIN}\nold\n{END}\nafter\n", "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_document_without_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        with_table("no marks", "new\n")


def test_the_document_has_the_marks_and_a_row_for_every_engine() -> None:
    text = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    table = text.partition(BEGIN)[2].partition(END)[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert rows == ["engine", "DirectRunner", "DirectRunner, 2 processes", "Prism", "Flink"]


def test_a_load_is_told_with_its_ratio() -> None:
    load = Load(most_in_flight=120, permits=128, call_seconds=3.0, ideal_seconds=2.0, wall_seconds=20.4)
    assert load_cells(load) == "120 of 128 | 3.0 / 2.0 s = 1.50 | 20 s"


@pytest.mark.parametrize(
    ("first_end", "words"),
    [("survived", "went on"), ("failed", "failed; started again"), ("stuck", "hung; stopped and started again")],
)
def test_a_kill_is_told_with_how_the_job_ended_and_the_calls_repeated(first_end: FirstEnd, words: str) -> None:
    outcome = KillOutcome(
        in_flight=60, first_end=first_end, repeated=7, most_repeated=64, lost=0, doubled=0, problems=[]
    )
    told = kill_cell("worker", outcome)
    assert told == f"worker: the job {words}; all rows once, 7 calls repeated (60 were in flight, 64 allowed)"


def test_lost_and_doubled_rows_are_told() -> None:
    problems = ["item 'a' is lost", "item 'b' came 2 times"]
    outcome = KillOutcome(
        in_flight=60, first_end="survived", repeated=7, most_repeated=64, lost=0, doubled=0, problems=problems
    )
    assert kill_cell("TaskManager", outcome) == "TaskManager: **item 'a' is lost; item 'b' came 2 times**"
