"""Items of files, read without Beam."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from beam_llmdag import Dag, Failure, InputError, Item, ReadItems, StrictModeError, read_items
from beam_llmdag.beam.io.file_system import BEAM
from beam_llmdag.records.file_system import LOCAL
from beam_llmdag.testing import ScriptedProvider

CSV = 'id,content,stars\n007,good,5\n,bad,1\nb,"two\nlines",3\n'
JSONL = '{"content": "same"}\n{"content": "same"}\n{"id": 1, "content": "a"}\nno json\n'


def split(path: Path, **options: Any) -> tuple[list[Item], list[Failure]]:
    found = list(read_items(path, **options))
    return [each for each in found if isinstance(each, Item)], [each for each in found if isinstance(each, Failure)]


def check_as_beam(path: Path, **options: Any) -> None:
    """Whether a pipeline has the same items and failures."""
    items, failures = split(path, **options)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        result = pipeline | ReadItems(path, **options)
        assert_that(result.items, equal_to(items), label="Items")
        assert_that(result.failures, equal_to(failures), label="Failures")


@pytest.mark.parametrize(("name", "text", "bad"), [("in.csv", CSV, 1), ("in.jsonl", JSONL, 1)])
def test_a_text_file_has_the_items_and_failures_of_a_pipeline(tmp_path: Path, name: str, text: str, bad: int) -> None:
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress(text.encode()))
    check_as_beam(path)
    assert len(split(path)[1]) == bad


def test_a_folder_of_parquet_parts_has_the_items_of_a_pipeline(tmp_path: Path) -> None:
    table = pa.table({"key": ["1", "2", None], "text": ["a", "b", "c"], "year": [2025, 2026, 2026]})
    pq.write_to_dataset(table, tmp_path / "parts", partition_cols=["year"])
    (tmp_path / "parts" / "_SUCCESS").touch()
    check_as_beam(tmp_path / "parts", id_field="key", content_field="text")


def test_another_encoding_is_read(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes("id,content\n1,Käse\n".encode("cp1252"))
    assert split(tmp_path / "in.csv", encoding="cp1252") == ([Item("1", "Käse")], [])


def test_equal_records_without_an_id_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(JSONL, encoding="utf-8")
    first, second, *_ = split(tmp_path / "in.jsonl")[0]
    assert second.id == f"{first.id}-2"


def test_a_strict_reader_raises_what_is_wrong_with_the_first_bad_record(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(JSONL, encoding="utf-8")
    with pytest.raises(StrictModeError, match=r"in\.jsonl:line 4"):
        list(read_items(tmp_path / "in.jsonl", strict=True))


def test_a_file_that_is_cut_is_an_error_that_names_it(tmp_path: Path) -> None:
    whole = gzip.compress(CSV.encode())
    (tmp_path / "in.csv.gz").write_bytes(whole[:-9])
    with pytest.raises(InputError, match=r"in\.csv\.gz: the file ends before"):
        list(read_items(tmp_path / "in.csv.gz"))


def test_a_wrong_path_fails_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file matches"):
        read_items(tmp_path / "nothing.csv")


def test_a_remote_path_names_what_reads_it() -> None:
    with pytest.raises(InputError, match="ReadItems reads this one"):
        read_items("gs://bucket/in.csv")


def test_a_bad_record_is_a_failure_of_the_run_and_of_the_stream(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(CSV, encoding="utf-8")
    dag = Dag("read", model="scripted:m", providers={"scripted": ScriptedProvider(lambda request: "fine")})
    dag.dimension(lambda item: item.content, name="echo")
    report = dag.run(read_items(tmp_path / "in.csv"), store=False)
    assert [row.item.id for row in report.items] == ["007", "b"]
    assert report.failures == split(tmp_path / "in.csv")[1]
    streamed = list(dag.stream(read_items(tmp_path / "in.csv"), store=False))
    assert [each for each in streamed if isinstance(each, Failure)] == report.failures


def test_a_stream_reads_a_table_no_further_ahead_than_it_must(tmp_path: Path) -> None:
    groups, rows = 100, 100
    table = pa.table({"id": range(groups * rows), "content": ["x"] * groups * rows})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=rows)
    read = 0

    def counted() -> Iterator[Item | Failure]:
        nonlocal read
        for item in read_items(tmp_path / "in.parquet"):
            read += 1
            yield item

    dag = Dag("read", model="scripted:m", providers={"scripted": ScriptedProvider(lambda request: "fine")})
    dag.dimension(lambda item: item.content, name="echo")
    stream = dag.stream(counted(), store=False, most_in_flight=10)
    next(stream)
    assert read < groups * rows / 2
    assert 1 + sum(1 for _ in stream) == groups * rows == read


@pytest.mark.parametrize(
    "pattern",
    ["*.csv", "**", "a?.csv", "[ab]1.csv", "[!a]1.csv", "in/*", "in/**/*.csv", "**/a1.csv", "a1.csv", "[a", "no*"],
)
def test_patterns_match_what_they_match_in_beam(tmp_path: Path, pattern: str) -> None:
    for name in ("a1.csv", "b1.csv", "in/a1.csv", "in/deep/c.csv", "[a", "x+y.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    whole = os.path.join(tmp_path, pattern)
    assert LOCAL.paths(whole) == sorted(BEAM.paths(whole))
