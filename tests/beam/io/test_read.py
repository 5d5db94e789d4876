import datetime
import decimal
import gzip

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from beam_llmdag.beam.io.read import ReadItems
from beam_llmdag.errors import InputError, StrictModeError
from beam_llmdag.records.item import Item, derived_id
from beam_llmdag.records.result import Failure


def check(pattern, items, failures=(), **options):
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        result = pipeline | ReadItems(pattern, **options)
        assert_that(result.items, equal_to(items), label="Items")
        assert_that(result.failures, equal_to(list(failures)), label="Failures")


def bad(where, message):
    return Failure(dimension="input", item_id=where, error_class="bad_input", message=f"{where}: {message}")


def json_lines(path):
    text = '{"id": "0041", "content": "a"}\r\n{"id": "0042", "content": \r\n\r\n{"id": "0043", "content": "2026-01-02"}'
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    return path


def test_a_bad_line_of_json_lines_is_a_failure_and_the_others_are_items(tmp_path):
    """Case inputs-08."""
    path = json_lines(tmp_path / "in.jsonl")
    message = "not JSON: Expecting value: line 1 column 26 (char 25)"
    check(path, [Item("0041", "a"), Item("0043", "2026-01-02")], [bad("in.jsonl:line 2", message)])


def test_a_bad_line_fails_a_strict_run_which_names_it(tmp_path):
    """Case inputs-08, strict run."""
    path = json_lines(tmp_path / "in.jsonl")
    with pytest.raises(StrictModeError, match=r"^in\.jsonl:line 2: not JSON"):
        check(path, [], strict=True)


def test_csv_from_a_spreadsheet_keeps_its_texts(tmp_path):
    """Case inputs-02."""
    path = tmp_path / "reviews.csv"
    path.write_bytes(
        b"\xef\xbb\xbfid,content,stars\r\n"
        b'007,"line one\r\nline two, with comma",5\r\n'
        b'8,"caf\xc3\xa9 ""quoted""",\r\n'
        b"NA,plain,2\r\n"
    )
    expected = [
        Item("007", "line one\r\nline two, with comma", {"stars": "5"}),
        Item("8", 'café "quoted"', {"stars": ""}),
        Item("NA", "plain", {"stars": "2"}),
    ]
    check(path, expected)


def test_parquet_with_real_types_becomes_json_like_metadata(tmp_path):
    """Case inputs-07."""
    at = [datetime.datetime(2026, 3, 29, 1, 30, tzinfo=datetime.UTC)] * 2
    table = pa.table(
        {
            "id": pa.array([9007199254740993, 2]),
            "content": pa.array(["spam", "ham"]).dictionary_encode(),
            "price": pa.array([decimal.Decimal("12.30"), None]),
            "day": pa.array([datetime.date(2026, 3, 29), None]),
            "at": pa.array(at, pa.timestamp("ns", "Europe/Berlin")),
            "tags": pa.array([["x", "y"], []]),
            "who": pa.array([{"age": 1, "city": None}, None]),
            "m": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
            "f": pa.array([float("nan"), None]),
            "class": ["u", "v"],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    first = {
        "price": "12.30",
        "day": "2026-03-29",
        "at": "2026-03-29T01:30:00+00:00",
        "tags": ["x", "y"],
        "who": {"age": 1, "city": None},
        "m": {"k": 1},
        "f": None,
        "class": "u",
    }
    nulls = {"price": None, "day": None, "who": None, "m": None, "f": None}
    second = {**nulls, "at": "2026-03-29T01:30:00+00:00", "tags": [], "class": "v"}
    check(tmp_path / "in.parquet", [Item("9007199254740993", "spam", first), Item("2", "ham", second)])


def test_a_null_id_in_parquet_is_a_failure_that_names_its_row(tmp_path):
    pq.write_table(pa.table({"id": ["a", None], "content": ["x", "y"]}), tmp_path / "in.parquet")
    where = "in.parquet:row 1 (counted from 0 in its row group)"
    message = "id is missing (null or empty); fill it in, or leave the whole field out"
    check(tmp_path / "in.parquet", [Item("a", "x")], [bad(where, message)])


def test_a_value_in_parquet_that_cannot_be_read_is_a_failure_of_its_row(tmp_path):
    at = pa.array([0, 2**62], pa.timestamp("us"))
    pq.write_table(pa.table({"id": ["a", "b"], "content": ["x", "y"], "at": at}), tmp_path / "in.parquet")
    where = "in.parquet:row 1 (counted from 0 in its row group)"
    message = "column 'at' of type timestamp[us]: a time outside the years 1 to 9999"
    expected = [Item("a", "x", {"at": "1970-01-01T00:00:00"})]
    check(tmp_path / "in.parquet", expected, [bad(where, message)])


def test_a_parquet_file_with_no_rows_has_no_items(tmp_path):
    """Case inputs-09."""
    table = pa.table({"id": pa.array([], pa.string()), "content": pa.array([], pa.string())})
    pq.write_table(table, tmp_path / "in.parquet")
    check(tmp_path / "in.parquet", [])


def test_a_parquet_file_without_row_groups_has_no_items(tmp_path):
    """Case inputs-09."""
    pq.ParquetWriter(tmp_path / "in.parquet", pa.schema([("id", pa.string()), ("content", pa.string())])).close()
    check(tmp_path / "in.parquet", [])


def test_bytes_in_the_content_column_stay_bytes(tmp_path):
    pq.write_table(pa.table({"id": ["a"], "content": [b"\x89PNG"]}), tmp_path / "in.parquet")
    check(tmp_path / "in.parquet", [Item("a", b"\x89PNG")])


def test_equal_rows_without_an_id_are_items_with_numbered_ids(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("content\nsame\nother\n", encoding="utf-8")
    same, other = derived_id("same", {}), derived_id("other", {})
    expected = [Item(same, "same"), Item(f"{same}-2", "same"), Item(other, "other"), Item(f"{other}-2", "other")]
    check(tmp_path / "*.csv", expected)


def test_a_compressed_file_is_unpacked(tmp_path):
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(b'{"id": 1, "content": "a"}\n'))
    check(tmp_path / "in.jsonl.gz", [Item("1", "a")])


def test_a_json_array_is_a_file_of_items(tmp_path):
    (tmp_path / "in.json").write_text('[{"id": 1, "content": "a"},\n {"id": 2, "content": "b"}]', encoding="utf-8")
    check(tmp_path / "in.json", [Item("1", "a"), Item("2", "b")])


def test_files_of_one_pattern_are_told_apart_by_their_folder(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "in.jsonl").write_text("7\n", encoding="utf-8")
    message = "int is no item; an item is an Item, a text, bytes or a mapping with the field 'content'"
    check(tmp_path / "*" / "in.jsonl", [], [bad(f"{folder}/in.jsonl:line 1", message) for folder in ("a", "b")])


def test_the_fields_of_id_and_content_can_be_named(tmp_path):
    (tmp_path / "in.csv").write_text("asin,text\n01,x\n", encoding="utf-8")
    check(tmp_path / "in.csv", [Item("01", "x")], id_field="asin", content_field="text")


def test_no_matching_file_is_an_error_before_the_pipeline_runs(tmp_path):
    with pytest.raises(InputError, match=r"nothing.csv: no file matches"):
        beam.Pipeline(runner=FnApiRunner()) | ReadItems(tmp_path / "nothing.csv")


def test_an_unknown_ending_is_an_error_that_lists_the_formats():
    with pytest.raises(
        InputError, match=r"in.xlsx: its ending says no known format; .*'jsonl', 'json', 'csv', 'parquet'"
    ):
        ReadItems("in.xlsx")


def test_a_format_that_is_named_needs_no_ending(tmp_path):
    (tmp_path / "part-0").write_text("id,content\n1,x\n", encoding="utf-8")
    check(tmp_path / "part-0", [Item("1", "x")], file_format="csv")


def test_a_parquet_file_without_the_content_column_stops_the_pipeline(tmp_path):
    pq.write_table(pa.table({"id": ["a"], "text": ["x"]}), tmp_path / "in.parquet")
    with pytest.raises(InputError, match=r"in.parquet: no column 'content'; its columns are 'id', 'text'"):
        check(tmp_path / "in.parquet", [])


def test_a_utf16_file_stops_the_pipeline_with_the_remedy(tmp_path):
    (tmp_path / "in.csv").write_text("id,content\n1,x\n", encoding="utf-16")
    with pytest.raises(InputError, match=r"in.csv: the file is UTF-16; save it as UTF-8"):
        check(tmp_path / "in.csv", [])
