"""Metadata keeps its types in results."""

import json

import apache_beam as beam
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_llmdag import Dag, LLMDag
from beam_llmdag.beam.io.results import WriteResults
from beam_llmdag.records.arrow_schemas import UNKNOWN_METADATA, is_json_text
from beam_llmdag.records.metadata import metadata_field
from beam_llmdag.testing import ScriptedProvider

ITEMS = [
    {
        "id": "a",
        "content": "x",
        "stars": 5,
        "price": 1.5,
        "new": True,
        "tags": ["u", "v"],
        "who": {"age": 1},
        "day": "2026-01-02",
    },
    {"id": "b", "content": "x", "stars": None, "price": 2, "tags": [], "who": {"city": "B"}, "odd": 5},
    {"id": "c", "content": "x", "odd": "5", "wide": 2**70, "none": None},
]


def field_of(*metadata):
    return metadata_field(metadata)


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([1, None, 2], pa.int64()),
        ([1, 2.5], pa.float64()),
        ([True, False], pa.bool_()),
        (["a", None], pa.string()),
        ([None], pa.string()),
        ([[1], [], None], pa.list_(pa.int64())),
        ([{"a": 1}, {"b": [True]}], pa.struct([("a", pa.int64()), ("b", pa.list_(pa.bool_()))])),
    ],
)
def test_the_type_of_a_name_is_the_union_of_its_values(values, type_):
    found = field_of(*({"n": value} for value in values)).type.field("n")
    assert found.type == type_
    assert not is_json_text(found)


@pytest.mark.parametrize("values", [[1, "1"], [True, 1], [[1], 1], [{"a": 1}, []], [2**63], [{}], [1.5, 2**70]])
def test_values_of_several_kinds_are_json_text(values):
    assert is_json_text(field_of(*({"n": value} for value in values)).type.field("n"))


def test_without_any_metadata_the_column_is_a_map():
    assert field_of({}, {}) == field_of() == UNKNOWN_METADATA


def write(folder, plan, **options):
    dag = Dag("m", model="scripted:m", providers={"scripted": ScriptedProvider(lambda request: "fine")})
    dag.dimension(lambda item: f"ask {item.id}", name="a")
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        results = pipeline | beam.Create(ITEMS) | LLMDag(dag, plan=plan)
        results | WriteResults(dag, str(folder), **options)
    return dag


def test_numbers_truth_values_lists_and_objects_are_no_text_in_parquet(tmp_path):
    written = []
    for plan in ("staged", "pipelined"):
        dag = write(tmp_path / plan, plan)
        written.append((tmp_path / plan / "items.parquet").read_bytes())
    assert written[0] == written[1]
    table = pq.read_table(tmp_path / "staged" / "items.parquet")
    first, second, third = table["metadata"].to_pylist()
    assert first == {
        "stars": 5,
        "price": 1.5,
        "new": True,
        "tags": ["u", "v"],
        "who": {"age": 1, "city": None},
        "day": "2026-01-02",
        "odd": None,
        "wide": None,
        "none": None,
    }
    assert (second["price"], second["tags"], second["who"], second["odd"]) == (2.0, [], {"age": None, "city": "B"}, "5")
    assert (third["odd"], third["wide"], third["stars"]) == ('"5"', str(2**70), None)
    found = duckdb.sql(f"SELECT metadata.stars + 1, metadata['day'] FROM '{tmp_path}/staged/items.parquet' ORDER BY id")
    assert found.fetchall() == [(6, "2026-01-02"), (None, None), (None, None)]
    assert dag.run(ITEMS).to_arrow()["metadata"].to_pylist() == [first, second, third]


@pytest.mark.parametrize("shards", [1, 2])
def test_values_are_as_they_were_in_json_lines(tmp_path, shards):
    write(tmp_path, "pipelined", file_format="jsonl", num_shards=shards)
    lines = [line for path in tmp_path.glob("items*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    found = {row["id"]: row["metadata"] for row in map(json.loads, lines)}
    assert found == {
        item["id"]: {name: value for name, value in item.items() if name not in ("id", "content")} for item in ITEMS
    }


def test_with_several_shards_no_worker_knows_all_rows_and_the_column_is_a_map_of_texts(tmp_path):
    write(tmp_path, "pipelined", num_shards=2)
    tables = [pq.read_table(path) for path in tmp_path.glob("items-*.parquet")]
    assert all(table.schema.field("metadata").type == UNKNOWN_METADATA.type for table in tables)
    rows = {row["id"]: dict(row["metadata"]) for table in tables for row in table.to_pylist()}
    assert (rows["a"]["stars"], rows["a"]["tags"], rows["c"]["odd"]) == ("5", '["u","v"]', "5")
