"""The columns of tables, as a reviewer reads them in tests/golden/bigquery."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from helpers import places
from pydantic import BaseModel, TypeAdapter

from beam_llmdag.beam.io.bigquery.schema import table_fields
from beam_llmdag.errors import GraphError
from beam_llmdag.records.arrow_schemas import COSTS_SCHEMA, FAILURES_SCHEMA, globals_schema, rows_schema

GOLDEN = places.GOLDEN / "bigquery"


def serialized(type_: Any) -> Any:
    return TypeAdapter(type_).json_schema(mode="serialization", by_alias=False)


class Part(BaseModel):
    name: str
    weight: float | None


class Review(BaseModel):
    label: Literal["good", "bad"]
    stars: int
    sure: bool
    topics: list[str]
    parts: list[Part]
    grid: list[list[int]]
    scores: dict[str, float]
    extra: Any
    cost_nano_usd: int
    data: Part


def as_text(fields: list[dict[str, Any]], indent: str = "") -> str:
    lines = []
    for field in fields:
        mode = "" if field["mode"] == "NULLABLE" else f" {field['mode']}"
        lines.append(f"{indent}{field['name']} {field['type']}{mode}\n")
        lines.append(as_text(field.get("fields", []), f"{indent}    "))
    return "".join(lines)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("items", table_fields(rows_schema({"review": serialized(Review), "reply": None}))),
        ("globals_of_records", table_fields(globals_schema(serialized(Part)), "overall")),
        ("globals_of_lists", table_fields(globals_schema(serialized(list[Part])), "overall")),
        ("failures", table_fields(FAILURES_SCHEMA)),
        ("costs", table_fields(COSTS_SCHEMA)),
    ],
)
def test_the_columns_of_a_table_are_the_golden_ones(name: str, fields: list[dict[str, Any]]) -> None:
    assert as_text(fields) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_columns_are_json_as_the_api_takes_it() -> None:
    fields = table_fields(rows_schema({}))
    assert json.loads(json.dumps(fields)) == fields


def of(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


DEEP: dict[str, Any] = {"type": "string"}
for _ in range(15):
    DEEP = of({"a": DEEP})


@pytest.mark.parametrize(
    ("dimension", "output", "problem"),
    [
        ("review", of({"größe": {}}), r"dimension 'review': .*'review.data.größe': a name has ASCII letters"),
        ("review", of({"a b": {}}), r"dimension 'review': .*'review.data.a b'"),
        ("review", of({"1st": {}}), r"dimension 'review': .*'review.data.1st'"),
        ("review", of({"A": {}, "a": {}}), r"dimension 'review': .*'review.data.a': review.data.A is the same column"),
        ("review", of({"_TABLE_x": {}}), r"dimension 'review': .*BigQuery keeps this beginning"),
        ("review", DEEP, r"dimension 'review': .*more than 15 deep"),
        ("größe", None, r"dimension 'größe': BigQuery cannot have the column 'größe'"),
        ("Run_ID", None, r"dimension 'Run_ID': .*run_id is the same column"),
    ],
)
def test_a_name_that_bigquery_does_not_take_is_an_error_that_names_the_dimension(
    dimension: str, output: Any, problem: str
) -> None:
    with pytest.raises(GraphError, match=problem):
        table_fields(rows_schema({dimension: output}))


def test_a_name_in_the_answer_of_a_global_is_checked_as_well() -> None:
    with pytest.raises(GraphError, match=r"dimension 'overall': .*'data.größe'"):
        table_fields(globals_schema(of({"größe": {}})), "overall")
