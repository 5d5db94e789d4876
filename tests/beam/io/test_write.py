import json
import os
import subprocess
import sys
from pathlib import Path

import apache_beam as beam
import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from beam_llmdag.beam.io.write import WriteRecords
from beam_llmdag.errors import InputError
from beam_llmdag.records.arrow_schemas import rows_schema
from beam_llmdag.records.item import Item
from beam_llmdag.records.records import row_record
from beam_llmdag.records.result import Attempt, Result, Row

ANSWER = {
    "type": "object",
    "properties": {
        "label": {"type": "string"},
        "confidence": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}
SCHEMA = rows_schema({"analyze": ANSWER})
DATA = {"label": "ü", "confidence": 0.5, "tags": ["x", "y"], "counts": {"k": 2512292042121000001}}


def record(name, status="ok", data=None):
    attempt = Attempt(model="test:m", error_class=None if status == "ok" else "bad_request")
    result = Result(dimension="analyze", item_id=name, status=status, data=data, attempts=(attempt,))
    return row_record(Row(item=Item(name, f"text {name}", {"lang": "de"}), results={"analyze": result}), SCHEMA)


def write(records, prefix, schema=SCHEMA, **options):
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        pipeline | beam.Create(records) | WriteRecords(prefix, schema, **options)


def test_a_file_of_failed_answers_has_the_schema_of_a_good_one(tmp_path):
    """Case beam-04."""
    names = ["a", "b", "c"]
    write([record(name, "failed") for name in names], tmp_path / "failed")
    write([record(name, data=DATA) for name in names], tmp_path / "good")
    failed, good = (pq.read_schema(tmp_path / f"{name}.parquet") for name in ("failed", "good"))
    assert failed.equals(good, check_metadata=True)
    assert failed.equals(SCHEMA)
    table = pyarrow.dataset.dataset(sorted(tmp_path.glob("*.parquet"))).to_table()
    assert table["id"].to_pylist() == ["a", "b", "c", "a", "b", "c"]
    labels = [row["data"] and row["data"]["label"] for row in table["analyze"].to_pylist()]
    assert labels == [None, None, None, "ü", "ü", "ü"]


def test_duckdb_reads_the_answers_without_parsing_text(tmp_path):
    """Cases parsing-09 and beam-04."""
    write([record("a", data=DATA), record("b", "failed")], tmp_path / "items")
    query = f"""
        select id, "analyze".data.label, "analyze".data.confidence, "analyze".data.tags[2],
               "analyze".data.counts['k'], metadata['lang'], "analyze".attempts[1].error_class
        from '{tmp_path}/items.parquet' order by id
    """
    assert duckdb.sql(query).fetchall() == [
        ("a", "ü", 0.5, "y", 2512292042121000001, "de", None),
        ("b", None, None, None, None, "de", "bad_request"),
    ]


def test_pandas_reads_the_answers_without_parsing_text(tmp_path):
    write([record("a", data=DATA)], tmp_path / "items")
    frame = pd.read_parquet(tmp_path / "items.parquet")
    data = frame["analyze"][0]["data"]
    assert (data["label"], list(data["tags"]), data["counts"]) == ("ü", ["x", "y"], [("k", 2512292042121000001)])


def test_lists_have_the_three_levels_that_bigquery_reads(tmp_path):
    write([record("a", data=DATA)], tmp_path / "items")
    schema = pq.ParquetFile(tmp_path / "items.parquet").schema
    paths = [schema.column(index).path for index in range(len(schema))]
    assert "source_ids.list.element" in paths
    assert "analyze.data.tags.list.element" in paths
    assert "analyze.attempts.list.element.model" in paths
    assert "metadata.key_value.value" in paths


def test_json_lines_are_ordered_by_id_with_keys_in_the_order_of_the_schema(tmp_path):
    """Cases parsing-08 and parsing-09."""
    records = [record(name, data={**DATA, "label": "fresh 🍀 é"}) for name in ("b", "a", "10")]
    write(records, tmp_path / "items", file_format="jsonl")
    lines = (tmp_path / "items.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["10", "a", "b"]
    first = json.loads(lines[0])
    assert list(first) == ["id", "content", "metadata", "source_ids", "analyze"]
    assert first["metadata"] == {"lang": "de"}
    assert list(first["analyze"]) == [field.name for field in SCHEMA.field("analyze").type]
    assert first["analyze"]["data"] == {**DATA, "label": "fresh 🍀 é"}
    assert "🍀 é" in lines[0]


def test_json_lines_have_null_for_nan_and_infinity(tmp_path):
    """Case parsing-04: the sink of a field that allows them."""
    records = [record(name, data={"confidence": value}) for name, value in (("a", float("nan")), ("b", float("inf")))]
    write(records, tmp_path / "items", file_format="jsonl")
    text = (tmp_path / "items.jsonl").read_text(encoding="utf-8")
    assert text.count('"confidence":null') == 2
    assert "NaN" not in text
    assert "Infinity" not in text


def test_no_records_are_a_parquet_file_with_the_full_schema_and_no_rows(tmp_path):
    """Case inputs-09."""
    write([], tmp_path / "items")
    table = pq.read_table(tmp_path / "items.parquet")
    assert (table.schema.equals(SCHEMA), table.num_rows) == (True, 0)
    assert os.listdir(tmp_path) == ["items.parquet"]


def test_no_records_are_an_empty_file_of_json_lines(tmp_path):
    """Case inputs-09."""
    write([], tmp_path / "items", file_format="jsonl")
    assert (tmp_path / "items.jsonl").read_bytes() == b""


def test_several_shards_without_records_are_valid_files(tmp_path):
    """Case inputs-09."""
    write([], tmp_path / "items", num_shards=2)
    names = ["items-00000-of-00002.parquet", "items-00001-of-00002.parquet"]
    assert sorted(os.listdir(tmp_path)) == names
    assert [pq.read_table(tmp_path / name).schema.equals(SCHEMA) for name in names] == [True, True]


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
def test_several_shards_hold_all_records(tmp_path, file_format):
    records = [record(f"r{number}", data=DATA) for number in range(10)]
    write(records, tmp_path / "items", file_format=file_format, num_shards=3)
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths] == [f"items-0000{shard}-of-00003.{file_format}" for shard in range(3)]
    if file_format == "parquet":
        ids = [name for path in paths for name in pq.read_table(path)["id"].to_pylist()]
    else:
        ids = [json.loads(line)["id"] for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    assert sorted(ids) == sorted(f"r{number}" for number in range(10))


def test_records_in_windows_become_one_file(tmp_path):
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        records = pipeline | beam.Create([TimestampedValue(record(f"r{at}"), at) for at in (90, 30)])
        records | beam.WindowInto(FixedWindows(60)) | WriteRecords(tmp_path / "items", SCHEMA)
    assert pq.read_table(tmp_path / "items.parquet")["id"].to_pylist() == ["r30", "r90"]


def test_rows_of_a_bill_are_ordered_by_item_dimension_and_attempt(tmp_path):
    schema = pa.schema([("dimension", pa.string()), ("item_id", pa.string()), ("attempt", pa.int64())])
    keys = [("s", "b", 1), ("t", "a", 10), ("t", "a", 9), ("s", "a", 1)]
    write([dict(zip(schema.names, key, strict=True)) for key in keys], tmp_path / "costs", schema)
    rows = [tuple(row.values()) for row in pq.read_table(tmp_path / "costs.parquet").to_pylist()]
    assert rows == [("s", "a", 1), ("t", "a", 9), ("t", "a", 10), ("s", "b", 1)]


def test_the_bytes_do_not_depend_on_time_zone_locale_or_hash_seed(tmp_path):
    """Case locale-01, the writing side."""
    environments = [
        {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"},
        {"TZ": "Asia/Kolkata", "LC_ALL": "de_DE.UTF-8", "PYTHONHASHSEED": "1"},
        {"TZ": "America/St_Johns", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONHASHSEED": "2"},
    ]
    script = Path(__file__).with_name("write_fixed_rows.py")
    folders = [tmp_path / str(number) for number, _ in enumerate(environments)]
    running = []
    for environment, folder in zip(environments, folders, strict=True):
        folder.mkdir()
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        running.append(subprocess.Popen([sys.executable, script, folder], env={**environment, **path}))
    assert [process.wait() for process in running] == [0, 0, 0]
    written = [{file.name: file.read_bytes() for file in folder.iterdir()} for folder in folders]
    assert sorted(written[0]) == ["costs.jsonl", "costs.parquet", "rows.jsonl", "rows.parquet"]
    assert written[0] == written[1] == written[2]
    first = json.loads(written[2]["rows.jsonl"].decode("utf-8").splitlines()[0])
    assert first["content"] == "ü € 你 r1"
    assert first["metadata"] == {"at": "2026-03-29T01:30:00+00:00", "price": "1234.5", "tags": '["a","b"]'}


def test_an_unknown_format_is_an_error_that_lists_the_formats(tmp_path):
    with pytest.raises(InputError, match="file_format 'csv': known ones are parquet, jsonl"):
        WriteRecords(tmp_path / "items", SCHEMA, file_format="csv")


def test_a_negative_number_of_shards_is_an_error(tmp_path):
    with pytest.raises(InputError, match="num_shards must be 0"):
        WriteRecords(tmp_path / "items", SCHEMA, num_shards=-1)
