"""`Report.write` and `WriteResults` write the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from beam_llmdag import Dag, InputError, Item, LLMDag
from beam_llmdag.beam.io.results import WriteResults
from beam_llmdag.errors import CallError
from beam_llmdag.model import Request
from beam_llmdag.run.manifest import MANIFEST
from beam_llmdag.testing import ScriptedProvider

ITEMS = [
    {"id": "b", "content": "second", "stars": 4, "tags": ["x"]},
    {"id": "a", "content": "first", "stars": 5},
    {"id": "c", "content": "bad", "when": None},
]


def answer(request: Request) -> str | CallError:
    return CallError("refused", "no") if "bad" in str(request.messages) else "fine"


def dag_of_every_kind() -> Dag:
    """An item dimension, a global, a regroup, and a dimension of the new items."""
    dag = Dag("files", model="scripted:m", providers={"scripted": ScriptedProvider(answer)})

    @dag.dimension
    def mood(item: Item) -> str:
        return item.content

    @dag.dimension(scope="global", on_missing="skip")
    def overall(items: list[Item], mood: list[str]) -> str:
        return " ".join(item.id for item in items)

    @dag.regroup
    def pairs(items: list[Item], overall: str) -> dict[str, list[str]]:
        return {"all": [item.id for item in items]}

    @dag.dimension(over=pairs)
    def title(item: Item) -> str:
        return item.id

    return dag


def contents(folder: Path) -> dict[str, bytes]:
    """The files with results; the manifest, which says when that was, is none of them."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
def test_a_report_and_a_pipeline_write_the_same_bytes(tmp_path: Path, file_format: Any) -> None:
    dag = dag_of_every_kind()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        results = pipeline | beam.Create(ITEMS) | LLMDag(dag)
        results | WriteResults(dag, str(tmp_path / "pipeline"), file_format=file_format)
    written = dag.run(ITEMS).write(tmp_path / "report", file_format=file_format)
    expected = contents(tmp_path / "pipeline")
    assert contents(tmp_path / "report") == expected
    assert {str(path.relative_to(tmp_path / "report")) for path in written} == set(expected)
    assert len(expected) == 6


def test_the_same_files_come_of_a_run_without_any_item(tmp_path: Path) -> None:
    dag = dag_of_every_kind()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        results = pipeline | beam.Create([], reshuffle=False) | LLMDag(dag)
        results | WriteResults(dag, str(tmp_path / "pipeline"))
    dag.run([]).write(tmp_path / "report")
    assert contents(tmp_path / "report") == contents(tmp_path / "pipeline")


def test_files_that_are_there_are_replaced(tmp_path: Path) -> None:
    dag = dag_of_every_kind()
    dag.run(ITEMS).write(tmp_path, file_format="jsonl")
    dag.run(ITEMS[:1]).write(tmp_path, file_format="jsonl")
    assert len((tmp_path / "items.jsonl").read_text().splitlines()) == 1


def test_an_unknown_format_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="file_format 'csv': known ones are parquet, jsonl"):
        dag_of_every_kind().run(ITEMS).write(tmp_path, file_format="csv")  # type: ignore[arg-type]
