from typing import Any

import pytest
from helpers.dags import make_dag, not_ok, row

from beam_llmdag.records.item import Item
from beam_llmdag.records.result import Result
from beam_llmdag.run.evaluate_global import NO_GROUP
from beam_llmdag.run.regroup import regroup_rows

ROWS = [row("r1", "one"), row("r2", "two"), row("3", "three")]


def regrouped(function: Any, rows: Any = ROWS, sides: Any = None):
    """New items and report of a regroup."""
    dag, _ = make_dag(["x"])
    dag.dimension(lambda item: "?", name="kind")
    dag.dimension(lambda items: "?", scope="global", name="group")
    step = dag.regroup(function, name="by_group")
    if sides is None:
        sides = {"group": {NO_GROUP: Result(dimension="group", item_id="", status="ok", data="G")}}
    return regroup_rows(step, rows, sides, dag)


def test_new_items_carry_the_joined_content_and_the_ids_of_their_sources():
    items, report = regrouped(lambda items: {"all": ["r2", "r1"]})
    assert items == [Item("all", "two\n\none", source_ids=("r2", "r1"))]
    assert report.data == {
        "groups": {"all": ["r2", "r1"]},
        "unknown": [],
        "left_out": ["3"],
        "in_several": [],
        "empty": [],
    }
    assert (report.status, report.reason) == ("ok", None)


def test_the_function_sees_items_in_order_of_their_ids_and_the_answer_of_the_global():
    seen = []
    regrouped(lambda items, group: seen.append(([item.id for item in items], group)) or {})
    assert seen == [(["3", "r1", "r2"], "G")]


def test_ids_may_be_numbers_and_a_repeated_one_counts_once():
    items, report = regrouped(lambda items: {7: [3, 3.0, "3", "r1"]})
    assert [(item.id, item.source_ids) for item in items] == [("7", ("3", "r1"))]
    assert report.data["in_several"] == []


def test_unknown_missing_and_repeated_ids_are_reported():
    items, report = regrouped(lambda items: {"x": ["r1", "r9", None, ""], "y": ["r1", " r2", 9]})
    assert [item.source_ids for item in items] == [("r1",), ("r1",)]
    assert report.data == {
        "groups": {"x": ["r1"], "y": ["r1"]},
        "unknown": ["r9", "", " r2", "9"],
        "left_out": ["3", "r2"],
        "in_several": ["r1"],
        "empty": [],
    }


def test_a_group_without_a_known_item_becomes_no_item_and_is_reported():
    items, report = regrouped(lambda items: {"x": [], "y": ["r9"], "z": ["r1"]})
    assert [item.id for item in items] == ["z"]
    assert report.data["empty"] == ["x", "y"]


@pytest.mark.parametrize("blank", ["", " \t", None])
def test_a_group_without_a_name_becomes_no_item_and_its_ids_are_left_out(blank):
    items, report = regrouped(lambda items: {blank: ["r1"], "z": ["r2"]})
    assert [item.id for item in items] == ["z"]
    assert report.data["left_out"] == ["3", "r1"]
    assert report.reason == "groups without a name, which became no item: 1"


def test_new_items_may_be_made_by_the_function():
    made = [Item("x", "X", {"n": 1}, source_ids=("r1",)), Item("free", "F"), Item("lost", "L", source_ids=("r9",))]
    items, report = regrouped(lambda items: made)
    assert items == made[:2]
    assert report.data["empty"] == ["lost"]
    assert report.data["unknown"] == ["r9"]


def test_an_item_as_the_value_of_a_dict_gets_the_key_as_its_id():
    items, _ = regrouped(lambda items: {"x": Item("other", "X", source_ids=("r1",))})
    assert items == [Item("x", "X", source_ids=("r1",))]


def test_one_item_alone_will_do():
    items, _ = regrouped(lambda items: Item("x", "X"))
    assert items == [Item("x", "X")]


def test_values_of_new_items_are_converted_like_those_that_are_read():
    from datetime import date

    items, _ = regrouped(lambda items: [Item(1, "a\ud83d", {"day": date(2026, 1, 2)}, source_ids=[3])])
    assert items == [Item("1", "a\ufffd", {"day": "2026-01-02"}, source_ids=("3",))]


def raises(items):
    raise KeyError("gone")


def yields_and_raises(items):
    yield Item("x", "X")
    raise KeyError("gone")


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda items: None, "not NoneType: None"),
        (lambda items: "late", "not str: 'late'"),
        (lambda items: 42, "not int: 42"),
        (lambda items: [["r1"]], "not list: [['r1']]"),
        (lambda items: {"x": "r1"}, "the new item 'x' needs a list of source ids or an Item, not str: 'r1'"),
        (lambda items: {"x": 1}, "not int: 1"),
        (lambda items: [Item("x", "1"), Item("x", "2")], "duplicate new ids: 'x'"),
        (lambda items: {1: ["r1"], "1": ["r2"]}, "duplicate new ids: '1'"),
        (lambda items: [Item("", "1")], "id is missing"),
        (lambda items: [Item("x", object())], "content"),
        (raises, "KeyError: 'gone' (test_regroup.py, line"),
        (yields_and_raises, "KeyError: 'gone' (test_regroup.py, line"),
        (lambda items: {"x": (1 // 0 for _ in "x")}, "ZeroDivisionError"),
    ],
)
def test_a_function_that_makes_something_else_fails_and_says_what(function, told):
    items, report = regrouped(function)
    assert items == []
    assert (report.status, report.error_class, report.data) == ("failed", "user_function", None)
    assert report.message.startswith("regroup 'by_group': ")
    assert told in report.message


def test_contents_that_are_bytes_are_not_joined():
    items, report = regrouped(lambda items: {"x": ["r1"]}, [row("r1", b"\x89PNG")])
    assert items == []
    assert "bytes: return Items" in report.message


def test_contents_that_are_data_are_joined_as_json():
    items, _ = regrouped(lambda items: {"x": ["a", "b"]}, [row("a", {"k": "ü"}), row("b", "text")])
    assert items[0].content == '{"k": "ü"}\n\ntext'


def test_a_global_without_an_answer_skips_the_regroup_with_the_reason():
    sides = {"group": {NO_GROUP: not_ok("group")}}
    items, report = regrouped(lambda group: {"x": group.ids}, sides=sides)
    assert items == []
    assert (report.status, report.reason) == ("skipped", "needs 'group', which failed (refused)")


def test_no_rows_skip_the_regroup():
    items, report = regrouped(raises, [])
    assert (items, report.status, report.reason) == ([], "skipped", "no items")


def test_rows_without_an_answer_that_the_function_asks_for_are_left_out():
    rows = [row("a", kind="x"), row("b", kind=not_ok("kind", "b"))]
    items, report = regrouped(lambda items, kind: {k: [i.id] for i, k in zip(items, kind, strict=True)}, rows)
    assert [(item.id, item.source_ids) for item in items] == [("x", ("a",))]
    assert report.data["left_out"] == ["b"]
