from __future__ import annotations

import math
from typing import Any

import pytest

from beam_llmdag.beam.io.bigquery.rows import WriteMethod, table_row
from beam_llmdag.records.arrow_schemas import COSTS_SCHEMA, globals_schema, rows_schema
from beam_llmdag.records.item import Item
from beam_llmdag.records.records import cost_record, global_record, typed_row_record
from beam_llmdag.records.result import Attempt, CostRow, Result, Row

RUN = {"run_id": "r"}


def array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def answer(output: dict[str, Any], data: Any, method: WriteMethod = "FILE_LOADS") -> dict[str, Any]:
    """The row of a dimension that answered `data`, without the columns of its run."""
    schema = rows_schema({"review": output})
    result = Result(dimension="review", item_id="a", status="ok", data=data)
    record = typed_row_record(Row(item=Item("a", "text"), results={"review": result}), schema)
    found: dict[str, Any] = table_row(record, schema, RUN, method, answer=False)["review"]
    return found


def cost_usd(nano_usd: int | None) -> Any:
    cost = CostRow(dimension="d", item_id="a", number=1, attempt=Attempt(model="m", cost_nano_usd=nano_usd))
    return table_row(cost_record(cost), COSTS_SCHEMA, RUN, "FILE_LOADS", answer=False)["cost_usd"]


def test_nano_dollars_become_dollars_of_nine_decimals() -> None:
    costs = [cost_usd(nano_usd) for nano_usd in (1, 0, 1_234_567_890_123_456_789, None)]
    assert costs == ["0.000000001", "0.000000000", "1234567890.123456789", None]


def test_integers_are_texts_so_that_no_reader_of_json_rounds_them() -> None:
    assert answer({"type": "integer"}, 2**62 + 1)["data"] == str(2**62 + 1)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_are_null(number: float) -> None:
    assert answer({"type": "number"}, number)["data"] is None


@pytest.mark.parametrize(
    ("method", "expected"), [("FILE_LOADS", {"b": 0.5, "a": 1.0}), ("STREAMING_INSERTS", '{"b":0.5,"a":1.0}')]
)
def test_a_load_job_takes_json_as_it_is_and_a_streaming_insert_as_text(method: WriteMethod, expected: Any) -> None:
    output = {"type": "object", "additionalProperties": {"type": "number"}}
    assert answer(output, {"b": 0.5, "a": 1}, method)["data"] == expected


def test_a_list_of_lists_is_json_with_its_nulls() -> None:
    assert answer(array(array({"type": "integer"})), [[1, 2], [None]])["data"] == [[1, 2], [None]]


def test_a_missing_list_is_an_empty_array() -> None:
    assert answer(array({"type": "string"}), None)["data"] == []


def test_nulls_are_left_out_of_arrays_and_the_reason_names_them() -> None:
    part = {"type": "object", "properties": {"tags": array({"type": "string"})}}
    found = answer(array(part), [{"tags": ["x", None]}, None, {"tags": []}])
    assert found["data"] == [{"tags": ["x"]}, {"tags": []}]
    assert found["reason"] == "not in this table, since an array of BigQuery holds no null: data[1], data[0].tags[1]"


def test_the_reason_of_a_global_names_what_was_left_out_of_its_array() -> None:
    schema = globals_schema(array({"type": "string"}))
    result = Result(dimension="overall", item_id="", status="ok", data=[None, "x"], reason="2 rows left out")
    found = table_row(global_record(result, schema), schema, RUN, "FILE_LOADS", answer=True)
    assert (found["data"], found["reason"]) == (
        ["x"],
        "2 rows left out; not in this table, since an array of BigQuery holds no null: data[0]",
    )


def test_a_field_of_the_users_is_not_taken_for_our_cost() -> None:
    output = {"type": "object", "properties": {"cost_nano_usd": {"type": "integer"}}}
    assert answer(output, {"cost_nano_usd": 5})["data"] == {"cost_nano_usd": "5"}


def test_metadata_keeps_its_types() -> None:
    schema = rows_schema({})
    record = typed_row_record(Row(item=Item("a", "text", {"n": 1, "deep": {"x": [None]}}), results={}), schema)
    found = table_row(record, schema, RUN, "STREAMING_INSERTS", answer=False)
    assert found["metadata"] == '{"n":1,"deep":{"x":[null]}}'
