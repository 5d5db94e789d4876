"""What crosses a PCollection comes out as it went in."""

from __future__ import annotations

from typing import Any

import pytest
from apache_beam.coders.typecoders import registry

from beam_llmdag import Attempt, CostRow, Failure, Item, Result, Row, Usage
from beam_llmdag.beam import coders

coders.register()

ITEM = Item(
    "007",
    {"text": "ü\u2028", "n": [1, 1.5, None, True, 2**80], "nested": {"z": 1, "a": 2}},
    {"b": "x", "a": {"c": []}},
    source_ids=("1", "2"),
)
ATTEMPT = Attempt(
    model="openai:gpt-5-mini",
    error_class="overloaded",
    message="no \ud800 capacity",
    http_status=529,
    request_id="r1",
    usage=Usage(
        input_tokens=1,
        output_tokens=2,
        cache_read_tokens=3,
        cache_write_tokens=4,
        cache_write_1h_tokens=5,
        reasoning_tokens=6,
    ),
    cost_nano_usd=2**60,
    sent=False,
    raw_answer="not json",
    prompt="[user]\nWhat?",
)
UNKNOWN = Attempt(model="x:y", usage=None, cost_nano_usd=None)
RESULT = Result(
    dimension="d",
    item_id="007",
    status="fallback",
    data={"z": [1], "a": None},
    reason="why",
    error_class="timeout",
    message="late",
    model="x:y",
    attempts=(ATTEMPT, UNKNOWN),
    store_hit=True,
    left_out=("a", "b"),
)
VALUES: list[Any] = [
    ITEM,
    Item("bytes", b"\x00\xff", {}),
    Item("empty", "", {}),
    RESULT,
    Result(dimension="d", item_id="", status="skipped"),
    Row(item=ITEM, results={"d": RESULT, "a": Result(dimension="a", item_id="007", status="ok", data="text")}),
    Failure(dimension="d", item_id="1", error_class="auth", message="no key", attempts=(ATTEMPT,)),
    Failure(dimension="d", item_id="1", error_class="user_function", message="odd", traceback="line 1\nline 2"),
    Result(dimension="d", item_id="1", status="failed", error_class="user_function", message="odd", traceback="line 1"),
    CostRow(dimension="d", item_id="1", number=2, attempt=UNKNOWN),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_survives_its_registered_coder(value: Any) -> None:
    coder = registry.get_coder(type(value))
    assert isinstance(coder, coders.JsonCoder)
    assert coder.decode(coder.encode(value)) == value


def test_keys_keep_their_order_since_prompts_show_it() -> None:
    coder = registry.get_coder(Item)
    decoded = coder.decode(coder.encode(ITEM))
    assert list(decoded.content) == ["text", "n", "nested"]
    assert list(decoded.content["nested"]) == ["z", "a"]
    assert list(decoded.metadata) == ["b", "a"]


def test_equal_values_have_equal_bytes_where_they_are_keys() -> None:
    coder = registry.get_coder(Item)
    one, other = Item("1", "x", {"a": 1, "b": 2}), Item("1", "x", {"b": 2, "a": 1})
    assert one == other
    assert not coder.is_deterministic()
    sorting = coder.as_deterministic_coder("step")
    assert sorting.is_deterministic()
    assert sorting.encode(one) == sorting.encode(other)
    assert sorting.decode(sorting.encode(other)) == one


def test_the_same_value_has_the_same_bytes_every_time() -> None:
    coder = registry.get_coder(Row)
    assert coder.encode(VALUES[5]) == coder.encode(coder.decode(coder.encode(VALUES[5])))
