"""What may go into a dag, and what becomes of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from beam_llmdag import Dag, Item
from beam_llmdag.model import Request
from beam_llmdag.records.item import derived_id
from beam_llmdag.testing import ScriptedProvider


def prompt_of(request: Request) -> str:
    content = request.messages[0].content
    assert isinstance(content, str)
    return content


def joining_dag() -> tuple[Dag, ScriptedProvider]:
    """s and t about the content, u about both."""
    provider = ScriptedProvider(prompt_of)
    dag = Dag("door", model="scripted:m", providers={"scripted": provider})

    @dag.dimension
    def s(item: Item) -> str:
        return f"s:{item.content}"

    @dag.dimension
    def t(item: Item) -> str:
        return f"t:{item.content}"

    @dag.dimension
    def u(s: str, t: str) -> str:
        return f"u:{s}:{t}"

    return dag, provider


def global_dag() -> tuple[Dag, ScriptedProvider]:
    provider = ScriptedProvider(prompt_of)
    dag = Dag("door", model="scripted:m", providers={"scripted": provider})

    @dag.dimension(scope="global")
    def all_of(items: list[Item]) -> str:
        return " ".join(item.id for item in items)

    return dag, provider


def test_items_with_one_id_all_fail_and_nobody_pays_for_them(run: Any) -> None:
    """Case inputs-05, in a pipeline."""
    dag, provider = joining_dag()
    items = [{"id": "a", "content": "first"}, {"id": "b", "content": "x"}, {"id": "a", "content": "second"}]
    outcome = run.both(dag, items)
    assert [(row.item.id, row.item.content) for row in outcome.items] == [("a", "first"), ("a", "second"), ("b", "x")]
    assert [row.results["u"].status for row in outcome.items] == ["failed", "failed", "ok"]
    assert {failure.error_class for failure in outcome.failures} == {"duplicate_id"}
    assert [(failure.dimension, failure.item_id) for failure in outcome.failures] == [
        (dimension, "a") for dimension in "stu" for _ in range(2)
    ]
    assert "item 'a': duplicate id, 2 items have it" in outcome.failures[0].message
    assert {prompt_of(request) for request in provider.requests} == {"s:x", "t:x", "u:s:x:t:x"}
    assert outcome.counters["s"]["failures"] == 2


def test_duplicate_ids_are_told_also_where_no_dimension_could_fail(run: Any) -> None:
    dag, _ = global_dag()
    outcome = run.both(dag, [{"id": "a", "content": "1"}, {"id": "a", "content": "2"}, {"id": "b", "content": "3"}])
    assert [(failure.dimension, failure.item_id, failure.error_class) for failure in outcome.failures] == [
        ("input", "a", "duplicate_id"),
        ("input", "a", "duplicate_id"),
    ]
    assert [result.data for result in outcome.globals] == ["b"]
    assert [row.item.id for row in outcome.items] == ["a", "a", "b"]


def test_the_number_1_and_the_text_1_are_one_id(run: Any) -> None:
    """Case inputs-04, in a pipeline."""
    dag, _ = joining_dag()
    outcome = run.both(dag, [{"id": 1, "content": "x"}, {"id": "1", "content": "y"}, {"id": 2, "content": "z"}])
    assert [(row.item.id, row.results["u"].status) for row in outcome.items] == [
        ("1", "failed"),
        ("1", "failed"),
        ("2", "ok"),
    ]


def test_equal_texts_without_ids_are_numbered_and_all_answered(run: Any) -> None:
    dag, _ = joining_dag()
    outcome = run.both(dag, ["great", "great", "bad"])
    great = derived_id("great", {})
    assert sorted(row.item.id for row in outcome.items) == sorted([great, f"{great}-2", derived_id("bad", {})])
    assert {row.results["u"].data for row in outcome.items} == {"u:s:great:t:great", "u:s:bad:t:bad"}
    assert outcome.failures == []


def test_what_is_no_item_becomes_a_failure_and_the_others_go_on(run: Any) -> None:
    dag, _ = joining_dag()
    outcome = run.both(
        dag, [{"id": "a", "text": "no content"}, 42, {"id": None, "content": "x"}, {"id": "b", "content": "y"}]
    )
    assert [(row.item.id, row.results["u"].status) for row in outcome.items] == [("b", "ok")]
    assert {(failure.dimension, failure.item_id, failure.error_class) for failure in outcome.failures} == {
        ("input", "a", "bad_input"),
        ("input", "42", "bad_input"),
        ("input", "{'id': None, 'content': 'x'}", "bad_input"),
    }
    assert "element with id 'a': no field 'content'; its fields are 'id', 'text'" in outcome.failures[1].message


@pytest.mark.parametrize(
    "content",
    ["ü € 你 🎉", "نص عربي", "a\x00b", "\u2028\u2029\ufeff", "{braces} {{ jinja }} %s", "e\u0301", "line\r\nline"],
)
def test_any_unicode_reaches_the_model_and_comes_back_as_it_was(run: Any, content: str) -> None:
    dag, provider = joining_dag()
    outcome = run.both(dag, [{"id": content, "content": content}])
    [row] = outcome.items
    assert (row.item.id, row.item.content) == (content, content)
    assert row.results["u"].data == f"u:s:{content}:t:{content}"
    assert f"s:{content}" in {prompt_of(request) for request in provider.requests}


def test_a_lone_surrogate_in_id_content_and_metadata_is_replaced(run: Any) -> None:
    dag, provider = joining_dag()
    broken = Item("i\ud800", "c\udfff", {"m": "m\ud800"})
    outcome = run.both(dag, [broken])  # an Item: in a text or dict Beam's own coders refuse it
    [row] = outcome.items
    assert row.item == Item("i\ufffd", "c\ufffd", {"m": "m\ufffd"})
    assert row.results["s"].data == "s:c\ufffd"
    assert {prompt_of(request) for request in provider.requests} == {"s:c\ufffd", "t:c\ufffd", "u:s:c\ufffd:t:c\ufffd"}


def test_a_lone_surrogate_in_the_text_of_a_users_exception_does_not_end_the_pipeline(run: Any) -> None:
    dag = Dag("door", model="scripted:m", providers={"scripted": ScriptedProvider(["fine"])})

    @dag.dimension
    def s(item: Item) -> str:
        if item.id == "a":
            raise ValueError("bad \ud800 text")
        return "x"

    outcome = run.both(dag, [{"id": "a", "content": "x"}, {"id": "b", "content": "x"}])
    assert outcome.statuses("s") == {"a": "failed", "b": "ok"}


def test_five_megabytes_of_content_go_through_a_join(plan: Any) -> None:
    provider = ScriptedProvider(lambda request: str(len(prompt_of(request))))
    dag = Dag("door", model="scripted:m", providers={"scripted": provider})

    @dag.dimension
    def s(item: Item) -> str:
        return str(item.content)

    @dag.dimension
    def t(item: Item) -> str:
        return str(item.content)[:10]

    @dag.dimension
    def u(item: Item, s: str, t: str) -> str:
        return f"{s} {t} {item.content[-1]}"

    content = "ü" * 5_000_000
    report = dag.run([{"id": "big", "content": content}], plan=plan)
    assert report.items[0].item.content == content
    assert prompt_of(provider.requests[-1]) == "5000000 10 ü"


def test_bytes_content_stays_bytes(run: Any) -> None:
    provider = ScriptedProvider(prompt_of)
    dag = Dag("door", model="scripted:m", providers={"scripted": provider})

    @dag.dimension
    def s(item: Item) -> str:
        return f"{len(item.content)} bytes, first {item.content[0]}"

    @dag.dimension(scope="global")
    def all_of(items: list[Item], s: list[str]) -> str:
        return type(items[0].content).__name__

    outcome = run.both(dag, [{"id": "png", "content": b"\x89PNG\x00\xff"}])
    assert outcome.items[0].item.content == b"\x89PNG\x00\xff"
    assert outcome.data("s") == {"png": "6 bytes, first 137"}
    assert [result.data for result in outcome.globals] == ["bytes"]


def test_content_that_is_no_text_reaches_prompt_functions_as_data(run: Any) -> None:
    provider = ScriptedProvider(prompt_of)
    dag = Dag("door", model="scripted:m", providers={"scripted": provider})

    @dag.dimension
    def s(item: Item) -> str:
        return f"{item.content['rows'][1]} {item.metadata['n']}"

    @dag.dimension
    def t(item: Item, s: str) -> str:
        return f"{list(item.content)} {list(item.metadata)}"

    content = {"z": 1, "rows": [1.5, 2**70, None], "a": {"\x00bytes": "no bytes"}}
    outcome = run.both(dag, [{"id": "t", "content": content, "n": True, "b": None}])
    assert outcome.items[0].item == Item("t", content, {"n": True, "b": None})
    assert outcome.data("s") == {"t": f"{2**70} True"}
    assert outcome.data("t") == {"t": "['z', 'rows', 'a'] ['n', 'b']"}
