"""Computed steps: answers that functions make of others, the same in both plans, in `dag.run` and in panes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any, Literal

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.testing import test_stream
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from helpers.dags import answered, make_dag
from pydantic import BaseModel

from beam_llmdag import GraphError, Item
from beam_llmdag.beam.io.bigquery.schema import table_fields
from beam_llmdag.records.arrow_schemas import rows_schema

ITEMS = [Item("1", "good"), Item("2", "bad")]


class Mood(BaseModel):
    label: Literal["good", "bad"]


def moods() -> tuple[Any, Any]:
    """mood of an item; praise where it is good, comfort where it is bad."""

    def answer(prompt: str) -> Any:
        kind, _, text = prompt.partition(" ")
        return {"label": text} if kind == "mood" else prompt

    dag, provider = make_dag(answered(answer))
    dag.dimension(lambda item: f"mood {item.content}", name="mood", output=Mood)
    dag.dimension(lambda item, mood: f"praise {item.id}", name="praise", skip_if=lambda mood: mood.label == "bad")
    dag.dimension(lambda item, mood: f"comfort {item.id}", name="comfort", skip_if=lambda mood: mood.label == "good")
    return dag, provider


def test_two_branches_of_which_one_was_skipped_become_one_value(run: Any) -> None:
    dag, provider = moods()

    @dag.compute(output=str, on_missing="run")
    def reply(praise: str | None, comfort: str | None) -> str:
        return praise or comfort or "nothing"

    dag.dimension(lambda item, reply: f"check {reply}", name="check")
    done = run.everywhere(dag, ITEMS)
    assert done.data("reply") == {"1": "praise 1", "2": "comfort 2"}
    assert done.data("check") == {"1": "check praise 1", "2": "check comfort 2"}
    assert len(provider.requests) == 3 * 6


def test_it_is_a_result_without_calls_cost_or_model(run: Any) -> None:
    dag, provider = make_dag(["never"])
    dag.compute(lambda item: len(item.content), name="length", output=int)
    done = run.everywhere(dag, ITEMS)
    result = done.items[0].results["length"]
    assert (result.status, result.data, result.model) == ("ok", 4, None)
    assert (result.attempts, result.cost_nano_usd, result.store_hit) == ((), 0, False)
    assert (done.costs, provider.requests) == ([], [])
    assert done.counters["length"] == {"results": 2}


def test_what_others_see_of_it_is_of_the_type_of_its_output(run: Any) -> None:
    dag, _ = moods()
    dag.compute(lambda mood: mood, name="same", output=Mood)
    dag.compute(lambda mood: mood, name="plain")
    dag.compute(lambda same, plain: [same.label, plain["label"]], name="both")
    assert run.everywhere(dag, ITEMS).data("both") == {"1": ["good", "good"], "2": ["bad", "bad"]}


def test_any_value_that_json_can_hold_is_an_answer(run: Any) -> None:
    values: dict[str, tuple[Any, Any]] = {
        "nothing": (None, None),
        "false": (False, False),
        "nested": ([1, 2.5, "x", {"a": None}], [1, 2.5, "x", {"a": None}]),
        "pair": ((1, 2), [1, 2]),
        "exact": (Decimal("1.10"), "1.10"),
        "not_a_number": (float("nan"), None),
        "typed": ({"mood": Mood(label="good")}, {"mood": {"label": "good"}}),
    }
    dag, _ = make_dag(["never"])
    for name, (value, _) in values.items():
        dag.compute(lambda item, value=value: value, name=name)
    dag.compute(lambda nothing, false, typed: [nothing, false, typed], name="seen")
    [row] = run.everywhere(dag, ITEMS[:1]).items
    assert {name: row.results[name].data for name in values} == {name: data for name, (_, data) in values.items()}
    assert row.results["seen"].data == [None, False, {"mood": {"label": "good"}}]


def test_what_goes_wrong_in_it_is_the_users_function(run: Any) -> None:
    dag, _ = make_dag(["never"])
    dag.compute(lambda item: {}["key"], name="raises")
    dag.compute(lambda item: "many", name="unlike", output=int)
    dag.compute(lambda item: object(), name="odd")
    dag.compute(lambda unlike: unlike, name="behind")
    done = run.everywhere(dag, ITEMS[:1])
    told = {failure.dimension: failure.message for failure in done.failures}
    assert {failure.error_class for failure in done.failures} == {"user_function"}
    assert {failure.attempts for failure in done.failures} == {()}
    assert all(message.startswith(f"computed step '{name}', item '1': ") for name, message in told.items())
    assert "computed step 'raises' raised KeyError: 'key' (test_computed.py, line" in told["raises"]
    assert "what it returned does not fit the output" in told["unlike"]
    assert "object" in told["odd"]
    assert done.statuses("behind") == {"1": "skipped"}


def test_on_missing_says_what_a_skipped_branch_means(run: Any) -> None:
    dag, _ = moods()
    expected = {"skip": "skipped", "fail": "failed", "run": "ok"}
    for on_missing in expected:
        dag.compute(lambda praise: praise, name=f"if_{on_missing}", on_missing=on_missing)
    done = run.everywhere(dag, ITEMS)
    for on_missing, status in expected.items():
        assert done.statuses(f"if_{on_missing}") == {"1": "ok", "2": status}


def test_skip_if_skips_it(run: Any) -> None:
    dag, _ = moods()
    dag.compute(lambda mood: mood.label, name="kept", skip_if=lambda item: item.id == "2")
    done = run.everywhere(dag, ITEMS)
    assert done.statuses("kept") == {"1": "ok", "2": "skipped"}
    assert done.items[1].results["kept"].reason == "its skip_if is true"


def test_a_global_one_sees_all_rows_and_says_which_were_left_out(run: Any) -> None:
    dag, _ = moods()

    @dag.compute(scope="global")
    def tally(items: list[Item], praise: list[str]) -> dict[str, int]:
        return {"praised": len(praise)}

    dag.dimension(lambda item, tally: f"rank {item.id} of {tally['praised']}", name="rank")
    done = run.everywhere(dag, ITEMS)
    [result] = done.globals
    assert (result.data, result.left_out) == ({"praised": 1}, ("2",))
    assert result.reason == "1 of 2 items left out: they have no answers"
    assert done.data("rank") == {"1": "rank 1 of 1", "2": "rank 2 of 1"}


def test_one_per_group_and_one_over_new_items(run: Any) -> None:
    dag, _ = moods()
    items = [*ITEMS, Item("3", "good")]
    dag.compute(lambda items, mood: [i.id for i in items], name="ids", scope="global", per=lambda mood: mood.label)
    dag.compute(lambda ids: ids, name="groups", scope="global")
    by_mood = dag.regroup(lambda items, groups: groups, name="by_mood")
    dag.compute(lambda item: len(item.source_ids), name="size", over=by_mood)
    done = run.everywhere(dag, items)
    assert {result.item_id: result.data for result in done.globals if result.dimension == "ids"} == {
        "bad": ["2"],
        "good": ["1", "3"],
    }
    assert [(row.item.id, row.results["size"].data) for row in done.regrouped["by_mood"]] == [("bad", 1), ("good", 2)]


def test_in_a_stream_it_is_about_the_rows_of_its_pane(run: Any) -> None:
    dag, _ = moods()
    dag.compute(lambda item, mood: mood.label, name="label", output=str)
    dag.compute(lambda items, label: sorted(label), name="labels", scope="global")
    dag.compute(lambda item, labels: f"{item.id} of {len(labels)}", name="place")
    events = [
        TimestampedValue(item, number) for item, number in zip([*ITEMS, Item("3", "good")], (1, 2, 11), strict=True)
    ]
    stream = test_stream.TestStream().advance_watermark_to(0).add_elements(events).advance_watermark_to_infinity()
    source = stream | beam.WindowInto(FixedWindows(10))
    streamed = partial(run, runner=BundleBasedDirectRunner(), flags=["--streaming"])
    done = streamed(dag, source, plan="pipelined")
    assert [result.data for result in done.globals] == [["bad", "good"], ["good"]]
    assert done.data("place") == {"1": "1 of 2", "2": "2 of 2", "3": "3 of 1"}


def test_it_has_a_column_in_files_and_tables(run: Any, tmp_path: Any) -> None:
    dag, _ = moods()
    dag.compute(lambda mood: {"as": mood.label}, name="free")
    dag.compute(lambda mood: mood, name="typed", output=Mood)
    report = dag.run(ITEMS, progress=False)
    [first, _] = report.to_rows()
    assert (first["free"]["data"], first["typed"]["data"]) == ('{"as":"good"}', {"label": "good"})
    schema = rows_schema({name: step.output.data_schema for name, step in dag.dimensions.items()})
    columns = {column["name"]: column for column in table_fields(schema)}
    assert next(field["type"] for field in columns["free"]["fields"] if field["name"] == "data") == "JSON"


def test_the_report_counts_it_without_calls() -> None:
    dag, _ = moods()
    dag.compute(lambda mood: mood.label, name="label")
    report = dag.run(ITEMS, progress=False)
    total = report.summary.by_dimension["label"]
    assert (total.items, total.calls, total.cost_nano_usd) == (2, 0, 0)
    assert report.answers("label") == {"1": "good", "2": "bad"}
    assert "label" in repr(report)


def test_a_dag_of_computed_steps_alone_needs_no_model(run: Any) -> None:
    dag, _ = make_dag(["never"], model=None)
    dag.compute(lambda item: item.content.upper(), name="loud")
    assert run.everywhere(dag, ITEMS).data("loud") == {"1": "GOOD", "2": "BAD"}


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (lambda dag: dag.compute(lambda items: 1, name="x"), "computed step 'x': it is called for each item"),
        (lambda dag: dag.compute(lambda item: 1, name="x", per=lambda item: 1), "computed step 'x': per="),
        (lambda dag: dag.compute(lambda item, other: 1, name="x"), "computed step 'x' needs 'other'"),
        (lambda dag: dag.compute(lambda x: 1, name="x"), "cycle"),
        (lambda dag: dag.compute(lambda items: 1, name="x", scope="global").merge(len), "merge of computed step 'x'"),
    ],
    ids=["items", "per", "unknown", "itself", "merge"],
)
def test_a_wrong_one_is_refused_before_any_call(declare: Any, told: str) -> None:
    dag, _ = make_dag(["never"])

    def build() -> None:
        declare(dag)
        dag.validate()

    with pytest.raises(GraphError, match=told):
        build()


@pytest.mark.parametrize(
    ("output", "made", "data"),
    [
        (Any, {"mean": np.float64(1.5), "n": np.int64(3)}, {"mean": 1.5, "n": 3}),
        (dict, {"mean": np.float32(1.5), "all": np.array([1, 2])}, {"mean": 1.5, "all": [1, 2]}),
        ({"type": "object"}, {"n": np.int64(3)}, {"n": 3}),
        (Any, Mood(label="good"), {"label": "good"}),
        (Any, {"when": date(2025, 1, 2), "price": Decimal("1.10")}, {"when": "2025-01-02", "price": "1.10"}),
    ],
)
def test_numbers_of_numpy_are_numbers_and_what_has_a_type_is_plain(output: Any, made: Any, data: Any) -> None:
    dag, _ = make_dag(["never"])
    dag.compute(lambda item: made, name="found", output=output)
    assert dag.run(ITEMS, store=False, progress=False).items[0].results["found"].data == data


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({1: "a", "1": "b"}, "what it returned: two keys are '1' as text"),
        ({"a": {"f": object()}}, "what it returned.a.f: a value of type builtins.object is not JSON-like"),
    ],
)
def test_what_no_json_can_hold_is_told_and_nothing_is_lost(made: Any, told: str) -> None:
    dag, _ = make_dag(["never"])
    dag.compute(lambda item: made, name="found")
    result = dag.run(ITEMS, store=False, progress=False).items[0].results["found"]
    assert (result.status, result.error_class) == ("failed", "user_function")
    assert told in str(result.message)
