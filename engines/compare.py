"""What is different between the results of two runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from beam_llmdag.run.manifest import MANIFEST

__all__ = ["different_files", "different_rows"]


def different_files(expected: Path, found: Path) -> list[str]:
    """Files of two folders that are not the same byte for byte, and those that only one has; in words."""
    here, there = _files(expected), _files(found)
    return [
        f"{name} is missing"
        if name not in there
        else f"{name} is not expected"
        if name not in here
        else f"{name} differs"
        for name in sorted(here.keys() | there.keys())
        if here.get(name) != there.get(name)
    ]


def _files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)  # that says when, and how
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def different_rows(expected: Path, found: Path) -> list[str]:
    """Differences between the answers in the items of two folders, in words: rows lost, doubled, or with other answers.

    Not compared is what a repeated call may change: whether an answer came from the store, and what it cost then.
    """
    wanted, rows = dict(_answers(expected)), _answers(found)
    came = Counter(row_id for row_id, _ in rows)
    problems = [f"item {row_id!r} is lost" for row_id in sorted(wanted.keys() - came.keys())]
    problems += [f"item {row_id!r} came {times} times" for row_id, times in sorted(came.items()) if times > 1]
    problems += [f"item {row_id!r} has other answers" for row_id, row in rows if wanted.get(row_id) != row]
    return problems


def _answers(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    rows = [row for path in sorted(folder.glob("items*.parquet")) for row in pq.read_table(path).to_pylist()]
    return [
        (row["id"], {name: (part["status"], part["data"]) for name, part in row.items() if _is_result(part)})
        for row in rows
    ]


def _is_result(part: Any) -> bool:
    return isinstance(part, dict) and "status" in part
