"""Results as rows with Beam schemas."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.coders import RowCoder
from apache_beam.portability.api import schema_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.combiners import CountCombineFn
from apache_beam.typehints.schemas import schema_from_element_type
from helpers.places import ROOT
from pydantic import BaseModel

from beam_llmdag import Dag, LLMDag
from beam_llmdag.beam.io.beam_rows import BeamRows, ToBeamRows, beam_schema
from beam_llmdag.model import Request
from beam_llmdag.outputs.output import Output
from beam_llmdag.records.arrow_schemas import COSTS_SCHEMA, FAILURES_SCHEMA, rows_schema
from beam_llmdag.testing import ScriptedProvider
from beam_llmdag.testing.pinned import Pinned


class Part(BaseModel):
    name: str
    count: int | None = None


class Mood(BaseModel):
    label: str
    score: float
    tags: list[str]
    parts: list[Part]
    by_day: dict[str, int]


MOOD = {
    "label": "good",
    "score": 0.5,
    "tags": ["a", "ü"],
    "parts": [{"name": "x", "count": 2**40}, {"name": "y", "count": None}],
    "by_day": {"mon": 3},
}


def answer(request: Request) -> str:
    content = str(request.messages[0].content)
    if request.output is None:
        return content.upper()
    return "no JSON" if content == "bad" else json.dumps({**MOOD, "by_day": [{"key": "mon", "value": 3}]})


@pytest.fixture
def dag() -> Dag:
    dag = Dag("rows", model="scripted:x", providers={"scripted": ScriptedProvider(answer)})
    dag.dimension(lambda item: item.content, name="mood", output=Mood)
    dag.dimension(lambda items: " ".join(item.id for item in items), name="overview", scope="global")
    regroup = dag.regroup(lambda items, overview: {"new": [item.id for item in items]}, name="groups")
    dag.dimension(lambda item: "about", name="about", over=regroup)
    return dag


BEAM_JAVA = ROOT / ".tools" / "beam-java"
ITEMS = [{"id": "007", "content": "fine", "stars": 5}, {"id": "8", "content": "bad"}]


def plain(row: Any) -> Any:
    """A row as dicts all the way down."""
    if hasattr(row, "_asdict"):
        return {name: plain(value) for name, value in row._asdict().items()}
    return [plain(value) for value in row] if isinstance(row, list) else row


class Kept(Pinned):
    """The elements of a PCollection."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Any] = []

    def keep(self, row: Any) -> None:
        self.rows.append(row)


def coded(dag: Dag, pick: Callable[[BeamRows], Any]) -> tuple[RowCoder, list[bytes]]:
    """One of the outputs as the bytes that another process or language gets, and their coder."""
    kept = Kept()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        results = pipeline | beam.Create(ITEMS, reshuffle=False) | LLMDag(dag, store=False)
        rows = pick(results | ToBeamRows(dag))
        coder = RowCoder(schema_from_element_type(rows.element_type))
        rows | "Keep" >> beam.Map(kept.keep)
    return coder, [coder.encode(row) for row in kept.rows]


def rows_of(dag: Dag, pick: Callable[[BeamRows], Any]) -> list[Any]:
    """One of the outputs as dicts, read back from bytes."""
    coder, rows = coded(dag, pick)
    return sorted((plain(coder.decode(row)) for row in rows), key=str)


def field_types(schema: schema_pb2.Schema) -> dict[str, schema_pb2.FieldType]:
    return {field.name: field.type for field in schema.fields}


def test_a_row_has_a_nested_row_per_dimension_with_the_types_of_its_output(dag: Dag) -> None:
    first, second = rows_of(dag, lambda made: made.items)
    assert (first["id"], first["metadata"], second["id"], second["metadata"]) == ("007", {"stars": "5"}, "8", {})
    assert first["mood"]["data"] == MOOD
    assert (second["mood"]["status"], second["mood"]["data"]) == ("failed", None)
    assert second["mood"]["error_class"] == "invalid_answer"
    assert second["mood"]["attempts"][0]["model"] == "scripted:x"


def test_globals_reports_new_items_failures_and_costs_are_rows_as_well(dag: Dag) -> None:
    (overview,) = rows_of(dag, lambda made: made.globals["overview"])
    assert (overview["item_id"], overview["data"]) == ("", "007 8".upper())
    (report,) = rows_of(dag, lambda made: made.globals["groups"])
    assert (report["dimension"], report["status"]) == ("groups", "ok")
    (new,) = rows_of(dag, lambda made: made.regrouped["groups"])
    assert (new["id"], new["source_ids"], new["about"]["data"]) == ("new", ["007", "8"], "ABOUT")
    (failure,) = rows_of(dag, lambda made: made.failures)
    assert (failure["dimension"], failure["item_id"], failure["error_class"]) == ("mood", "8", "invalid_answer")
    costs = rows_of(dag, lambda made: made.costs)
    assert len([cost for cost in costs if cost["dimension"] == "overview"]) == 1


def test_other_languages_know_every_type_of_the_schema() -> None:
    schema = beam_schema(rows_schema({"mood": Output(Mood).data_schema}))
    data = field_types(field_types(schema)["mood"].row_type.schema)["data"]
    types = field_types(data.row_type.schema)
    assert data.nullable
    assert types["label"].atomic_type == schema_pb2.STRING
    assert types["score"].atomic_type == schema_pb2.DOUBLE
    assert types["tags"].array_type.element_type.atomic_type == schema_pb2.STRING
    parts = types["parts"].array_type.element_type.row_type.schema
    assert field_types(parts)["count"].atomic_type == schema_pb2.INT64
    assert types["by_day"].map_type.value_type.atomic_type == schema_pb2.INT64
    assert "logical_type" not in str(schema)  # Python's own types are logical types


def test_equal_columns_have_the_same_schema_id_in_every_process() -> None:
    one, same, other = (beam_schema(s) for s in (FAILURES_SCHEMA, FAILURES_SCHEMA, COSTS_SCHEMA))
    assert one.id == same.id == "c662660c-585d-58b0-9976-5eb3f72a195f"
    assert one.id != other.id


def test_fields_get_names_that_a_row_can_have() -> None:
    names = ["class", "first-name", "_id", "9", "first_name", "ok"]
    answer = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    schema = beam_schema(rows_schema({"mood": answer}))
    data = field_types(field_types(schema)["mood"].row_type.schema)["data"].row_type.schema
    assert [field.name for field in data.fields] == ["class_", "first_name_", "id", "field_9", "first_name", "ok"]


def test_values_of_renamed_fields_are_kept() -> None:
    output = {"type": "object", "properties": {"class": {"type": "string"}, "a-b": {"type": "integer"}}}
    dag = Dag("x", model="s:x", providers={"s": ScriptedProvider(lambda _: '{"class": "c", "a-b": 1}')})
    dag.dimension(lambda item: item.content, name="mood", output=output)
    first, _ = rows_of(dag, lambda made: made.items)
    assert first["mood"]["data"] == {"class_": "c", "a_b": 1}


def test_beams_own_writers_take_the_rows(dag: Dag, tmp_path: Path) -> None:
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        results = pipeline | beam.Create(ITEMS, reshuffle=False) | LLMDag(dag, store=False)
        made = results | ToBeamRows(dag)
        made.items | beam.io.WriteToParquet(str(tmp_path / "items"), file_name_suffix=".parquet")
    (path,) = tmp_path.iterdir()
    first = min(pq.read_table(path).to_pylist(), key=lambda row: row["id"])
    assert (first["id"], first["mood"]["data"]["parts"]) == ("007", MOOD["parts"])


def test_schema_aware_transforms_take_the_rows(dag: Dag) -> None:
    kept = Kept()
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        results = pipeline | beam.Create(ITEMS, reshuffle=False) | LLMDag(dag, store=False)
        rows = (results | ToBeamRows(dag)).costs
        totals = rows | beam.GroupBy("dimension").aggregate_field("attempt", CountCombineFn(), "calls")
        totals | beam.Map(kept.keep)
    assert sorted((row.dimension, row.calls) for row in kept.rows if row.dimension == "overview") == [("overview", 1)]


@pytest.mark.skipif(not BEAM_JAVA.is_dir(), reason="no jars of Beam's Java SDK in .tools/beam-java: make test")
def test_java_reads_the_rows(dag: Dag, tmp_path: Path) -> None:
    coder, rows = coded(dag, lambda made: made.items)
    (tmp_path / "schema").write_bytes(coder.schema.SerializeToString())
    (tmp_path / "row").write_bytes(next(row for row in rows if b"007" in row))
    java = ["java", "-cp", f"{BEAM_JAVA}/*", str(Path(__file__).parent / "java" / "ReadRow.java")]
    done = subprocess.run([*java, tmp_path / "schema", tmp_path / "row"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        *("007", "{stars=5}", "ok", "1", "good", "0.5", "[a, ü]", "{mon=3}", str(2**40), "null")
    ], done.stderr
