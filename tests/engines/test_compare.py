"""What the comparison of two runs sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engines.compare import different_files, different_rows


def test_files_that_differ_that_are_missing_and_that_are_too_many_are_named(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for path in (here / "same", here / "sub" / "gone", here / "other", there / "same", there / "other", there / "new"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    (there / "other").write_text("changed")
    assert different_files(here, there) == ["new is not expected", "other differs", "sub/gone is missing"]
    assert different_files(here, here) == []


def rows(folder: Path, **answers: str) -> Path:
    """Items with one answer each; `a2` is another row of `a`."""
    folder.mkdir()
    table = [{"id": name[0], "kind": result(answer)} for name, answer in answers.items()]
    pq.write_table(pa.Table.from_pylist(table), folder / "items.parquet")
    return folder


def result(answer: str) -> dict[str, Any]:
    return {"status": "ok", "data": answer, "store_hit": len(answer) > 1}


def test_rows_that_are_lost_doubled_or_changed_are_named(tmp_path: Path) -> None:
    expected = rows(tmp_path / "expected", a="x", b="y", c="z")
    found = rows(tmp_path / "found", a="x", a2="x", c="other")
    assert different_rows(expected, found) == [
        "item 'b' is lost",
        "item 'a' came 2 times",
        "item 'c' has other answers",
    ]


def test_an_answer_from_the_store_is_the_same_answer(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([{"id": "a", "kind": {"status": "ok", "data": "x", "store_hit": True}}])
    (tmp_path / "found").mkdir()
    pq.write_table(table, tmp_path / "found" / "items.parquet")
    assert different_rows(rows(tmp_path / "expected", a="x"), tmp_path / "found") == []
