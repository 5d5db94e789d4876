"""Folders that other tools wrote, as an input."""

import gzip
import json

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from beam_llmdag.beam.io.read import ReadItems
from beam_llmdag.errors import InputError
from beam_llmdag.records.file_system import LOCAL
from beam_llmdag.records.folder import files_of
from beam_llmdag.records.item import Item


def check(pattern, items, **options):
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        result = pipeline | ReadItems(pattern, **options)
        assert_that(result.items, equal_to(items), label="Items")
        assert_that(result.failures, equal_to([]), label="Failures")


def touch(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_folder_of_spark_is_its_parts_and_its_partitions_are_metadata(tmp_path):
    """Case inputs-43."""
    folder = tmp_path / "reviews.parquet"
    table = pa.table({"id": ["1", "2"], "content": ["a", "b"], "year": [2025, 2026]})
    pq.write_to_dataset(table, folder, partition_cols=["year"])
    touch(folder / "_SUCCESS")
    touch(folder / "_metadata", "no parquet")
    touch(folder / ".part-0.parquet.crc", "crc")
    touch(folder / "_temporary" / "0" / "part-9.parquet", "half of it")
    check(folder, [Item("1", "a", {"year": 2025}), Item("2", "b", {"year": 2026})])
    check(f"{folder}/year=*/*.parquet", [Item("1", "a", {"year": 2025}), Item("2", "b", {"year": 2026})])


def test_a_folder_of_parts_of_text_is_read_at_any_depth(tmp_path):
    """Case inputs-43, siblings."""
    lines = "".join(json.dumps({"id": str(n), "content": "x"}) + "\n" for n in range(2))
    touch(tmp_path / "out" / "part-00000.jsonl", lines)
    (tmp_path / "out" / "deep").mkdir()
    (tmp_path / "out" / "deep" / "part-00001.jsonl.gz").write_bytes(gzip.compress(b'{"id": 2, "content": "y"}\n'))
    touch(tmp_path / "out" / "README.md", "not data")
    check(tmp_path / "out", [Item("0", "x"), Item("1", "x"), Item("2", "y")])
    touch(tmp_path / "out.csv" / "part-00000", "id,content\n007,x\n")
    touch(tmp_path / "out.csv" / "_SUCCESS")
    check(f"{tmp_path / 'out.csv'}/", [Item("007", "x")])


def test_values_of_partitions_are_integers_only_where_all_are(tmp_path):
    for year, shop in (("2025", "007"), ("2026", "8"), ("__HIVE_DEFAULT_PARTITION__", "a%2Fb")):
        touch(tmp_path / "in.csv" / f"year={year}" / f"shop={shop}" / "p.csv", f"id,content\n{year}-{shop},x\n")
    files = files_of(str(tmp_path / "in.csv"), None, LOCAL)
    paths = [str(path) for path in sorted((tmp_path / "in.csv").rglob("*.csv"))]
    assert [files.partition(path) for path in paths] == [
        {"year": 2025, "shop": "007"},
        {"year": 2026, "shop": "8"},
        {"year": None, "shop": "a/b"},
    ]


def test_a_column_that_says_the_same_as_its_folder_is_kept_and_another_is_a_failure(tmp_path):
    touch(tmp_path / "in.csv" / "year=2025" / "p.csv", "id,content,year\n1,x,2025\n")
    check(tmp_path / "in.csv", [Item("1", "x", {"year": 2025})])
    touch(tmp_path / "in.csv" / "year=2025" / "p.csv", "id,content,year\n1,x,1999\n")
    with pytest.raises(Exception, match="the field 'year' is '1999', and its folder says 2025; drop one"):
        check(tmp_path / "in.csv", [], strict=True)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["a.csv", "b.jsonl"], "a folder with files of several formats \\(csv, jsonl\\); pass file_format="),
        (["a.txt"], "a folder with files whose endings say no known format"),
        (["_SUCCESS"], "a folder with files whose endings say no known format"),
    ],
)
def test_a_folder_of_which_nobody_knows_what_it_holds_is_an_error_when_it_is_named(tmp_path, names, told):
    for name in names:
        touch(tmp_path / "out" / name, "id,content\n1,x\n")
    with pytest.raises(InputError, match=told):
        ReadItems(tmp_path / "out")


def test_a_format_that_is_named_picks_the_files_of_a_folder(tmp_path):
    touch(tmp_path / "out" / "a.csv", "id,content\n1,x\n")
    touch(tmp_path / "out" / "b.jsonl", "no json")
    check(tmp_path / "out", [Item("1", "x")], file_format="csv")


def test_a_folder_without_a_file_of_its_format_is_an_error(tmp_path):
    touch(tmp_path / "out.parquet" / "a.csv", "id,content\n1,x\n")
    with pytest.raises(InputError, match="a folder without a parquet file"):
        beam.Pipeline(runner=FnApiRunner()) | ReadItems(tmp_path / "out.parquet")


def test_an_arrow_file_is_read(tmp_path):
    table = pa.table({"id": ["1", "2"], "content": ["a", "b"], "stars": [5, None]})
    with pa.ipc.new_file(tmp_path / "in.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    check(tmp_path / "in.arrow", [Item("1", "a", {"stars": 5}), Item("2", "b", {"stars": None})])


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("cut", [0, 3, 200, 20])
@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_a_damaged_table_is_an_error_that_names_the_file(tmp_path, file_format, cut, strict):
    """Case inputs-41, siblings."""
    table = pa.table({"id": [str(n) for n in range(100)], "content": ["text"] * 100})
    path = tmp_path / f"in.{file_format}"
    if file_format == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    path.write_bytes(path.read_bytes()[:-cut] if cut else b"")
    with pytest.raises(InputError, match=rf"^in\.{file_format}: the file is damaged or incomplete"):
        check(path, [], strict=strict)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "json"])
def test_a_cut_archive_stops_the_pipeline_and_names_the_file(tmp_path, ending, strict):
    """Case inputs-41."""
    if ending == "csv":
        rows = "id,content\n" + "".join(f"{i},text {i * 7919 % 1000} {i}\n" for i in range(4000))
    else:
        rows = "".join(json.dumps({"id": i, "content": f"text {i * 7919 % 1000}"}) + "\n" for i in range(4000))
    path = tmp_path / f"rows.{ending}.gz"
    path.write_bytes(gzip.compress(rows.encode())[:-3000])
    with pytest.raises(InputError, match=rf"^rows\.{ending}\.gz: the file ends before its gzip data does"):
        check(path, [], strict=strict)


def test_a_file_in_windows_1252_is_a_failure_per_row_or_read_where_it_is_named(tmp_path):
    """Case inputs-47."""
    path = tmp_path / "w.csv"
    path.write_bytes("id,content\n1,schön – gut\n2,ok\n".encode("cp1252"))
    with pytest.raises(Exception, match=r"w\.csv:line 2: not UTF-8 .*encoding='cp1252'"):
        check(path, [], strict=True)
    check(path, [Item("1", "schön – gut"), Item("2", "ok")], encoding="cp1252")
    path.write_text("id,content\n1,schön\n", encoding="utf-16")
    check(path, [Item("1", "schön")], encoding="utf-16")


@pytest.mark.parametrize("name", ["in.zip", "in.csv.zip", "in.tar.gz", "in.TGZ"])
def test_an_archive_of_files_is_an_error_that_says_to_unpack_it(name):
    with pytest.raises(InputError, match="an archive, which may hold several files; unpack it first"):
        ReadItems(name)
