import pyarrow as pa

from beam_llmdag.records.arrow_schemas import COSTS_SCHEMA, FAILURES_SCHEMA, globals_schema, rows_schema
from beam_llmdag.records.item import Item
from beam_llmdag.records.records import cost_record, failure_record, global_record, json_text, row_record
from beam_llmdag.records.result import Attempt, CostRow, Failure, Result, Row
from beam_llmdag.usage import Usage

USAGE = Usage(input_tokens=10, output_tokens=5)
GOOD = Attempt(model="test:m", usage=USAGE, cost_nano_usd=20, request_id="r1", latency_seconds=1.5)
LOST = Attempt(model="test:m", error_class="timeout", message="no answer\ud800", http_status=None)

TOKENS = {
    "input_tokens": 10,
    "output_tokens": 5,
    "cache_read_tokens": 0,
    "cache_write_tokens": 0,
    "cache_write_1h_tokens": 0,
    "reasoning_tokens": 0,
}
GOOD_RECORD = {
    "model": "test:m",
    "error_class": None,
    "message": None,
    "http_status": None,
    "request_id": "r1",
    "sent": True,
    **TOKENS,
    "cost_nano_usd": 20,
    "raw_answer": None,
    "prompt": None,
}
LOST_RECORD = {
    **GOOD_RECORD,
    "error_class": "timeout",
    "message": "no answer\ufffd",
    "request_id": None,
    **dict.fromkeys(TOKENS),
    "cost_nano_usd": None,
}


def data_of(value, data_schema):
    """What a file holds for an answer, and the note about what it does not hold."""
    schema = rows_schema({"d": data_schema})
    row = Row(item=Item("a", "x"), results={"d": Result(dimension="d", item_id="a", status="ok", data=value)})
    [read] = pa.Table.from_pylist([row_record(row, schema)], schema=schema).to_pylist()
    return read["d"]["data"], read["d"]["reason"]


def struct(**properties):
    return {"type": "object", "properties": properties}


def test_a_row_fits_its_schema():
    schema = rows_schema({"label": struct(name={"type": "string"}), "other": None})
    result = Result(
        dimension="label",
        item_id="a",
        status="ok",
        data={"name": "x"},
        model="test:m",
        attempts=(LOST, GOOD),
    )
    item = Item("a", {"text": "ü"}, {"lang": "de", "stars": 5, "gap": None, "tags": ["x"]}, source_ids=("s1",))
    record = row_record(Row(item=item, results={"label": result}), schema)
    assert record == {
        "id": "a",
        "content": '{"text":"ü"}',
        "metadata": [("lang", "de"), ("stars", "5"), ("gap", None), ("tags", '["x"]')],
        "source_ids": ["s1"],
        "label": {
            "status": "ok",
            "data": {"name": "x"},
            "reason": None,
            "error_class": None,
            "message": None,
            "model": "test:m",
            "store_hit": False,
            **TOKENS,
            "cost_nano_usd": None,
            "attempts": [LOST_RECORD, GOOD_RECORD],
        },
        "other": None,
    }
    assert pa.Table.from_pylist([record], schema=schema).to_pylist() == [record]


def test_content_of_bytes_is_null():
    assert row_record(Row(item=Item("a", b"\x89PNG")), rows_schema({}))["content"] is None


def test_an_integer_of_nineteen_digits_stays_exact():
    """Case parsing-09."""
    value = {"order_id": 2512292042121000001, "quoted_id": "0042"}
    assert data_of(value, struct(order_id={"type": "integer"}, quoted_id={"type": "string"})) == (value, None)


def test_an_emoji_stays_one_character():
    """Case parsing-08."""
    value = {"text": "fresh 🍀 é"}
    assert data_of(value, struct(text={"type": "string"})) == (value, None)


def test_a_map_and_a_list_of_structs_are_written_as_such():
    schema = struct(
        counts={"type": "object", "additionalProperties": {"type": "integer"}},
        parts={"type": "array", "items": struct(a={"type": "number"})},
    )
    value = {"counts": {"x": 1, "y": 2}, "parts": [{"a": 1}, {"a": 0.5}]}
    assert data_of(value, schema) == ({"counts": [("x", 1), ("y", 2)], "parts": [{"a": 1.0}, {"a": 0.5}]}, None)


def test_free_form_data_is_written_as_json_text():
    value = {"any": {"b": [1, "ü"], "a": None}}
    assert data_of(value, struct(any={})) == ({"any": '{"b":[1,"ü"],"a":null}'}, None)


def test_a_whole_float_is_an_integer_as_json_schema_says():
    assert data_of({"n": 2.0}, struct(n={"type": "integer"})) == ({"n": 2}, None)


def test_what_a_column_cannot_hold_is_left_out_and_named():
    value = {"n": 2**63, "flag": 1, "extra": "x", "kept": "y"}
    schema = struct(n={"type": "integer"}, flag={"type": "boolean"}, kept={"type": "string"})
    note = "not in this file, since its column cannot hold it: data.extra, data.n, data.flag"
    assert data_of(value, schema) == ({"n": None, "flag": None, "kept": "y"}, note)


def test_json_text_has_no_nan_and_no_lone_surrogate():
    """Case parsing-04, the sink."""
    assert json_text({"a": float("nan"), "b": [float("inf"), 1.5], "c": "\ud800ü"}) == (
        '{"a":null,"b":[null,1.5],"c":"\ufffdü"}'
    )


def test_a_global_result_fits_its_schema():
    schema = globals_schema(None)
    result = Result(dimension="sum", item_id="", status="ok", data="text", attempts=(GOOD,), left_out=("b", "c"))
    record = global_record(result, schema)
    assert (record["data"], record["cost_nano_usd"], record["left_out"]) == ("text", 20, ["b", "c"])
    assert pa.Table.from_pylist([record], schema=schema).to_pylist() == [record]


def test_a_failure_fits_its_schema():
    failure = Failure(dimension="d", item_id="a", error_class="timeout", message="x\ud800", attempts=(LOST,))
    record = failure_record(failure)
    assert record == {
        "dimension": "d",
        "item_id": "a",
        "error_class": "timeout",
        "message": "x\ufffd",
        "traceback": None,
        "attempts": [LOST_RECORD],
    }
    assert pa.Table.from_pylist([record], schema=FAILURES_SCHEMA).to_pylist() == [record]


def test_a_line_of_the_bill_fits_its_schema():
    record = cost_record(CostRow(dimension="d", item_id="a", number=2, attempt=GOOD))
    paid = {name: value for name, value in GOOD_RECORD.items() if name not in ("raw_answer", "prompt")}
    assert record == {"dimension": "d", "item_id": "a", "attempt": 2, **paid}
    assert pa.Table.from_pylist([record], schema=COSTS_SCHEMA).to_pylist() == [record]
