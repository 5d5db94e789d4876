"""The kind `graph`: joins behind skips, what makes a stored answer miss, groups that a model made up."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from conftest import Runner
from helpers.dags import answered, make_dag, prompt_of
from pydantic import BaseModel, Field

from beam_llmdag.dag import Dag
from beam_llmdag.errors import CallError
from beam_llmdag.model import Image, Model
from beam_llmdag.records.item import Item
from beam_llmdag.testing import Reply, ScriptedProvider, Simulator

ITEMS = [Item("1", "skip b"), Item("2", "all")]


def diamond(on_missing: Any, d_scope: str = "item", spoil: str = "skip"):
    """a; b needs a and has no answer for item 1; c needs a; d needs b and c."""

    def answer(prompt: str) -> Any:
        if prompt.startswith("b") and "skip b" in prompt and spoil == "fail":
            raise CallError("refused", "not this one", http_status=400)
        return prompt

    dag, provider = make_dag(answered(answer))
    dag.dimension(lambda item: f"a {item.content}", name="a")
    skip_if = (lambda item, a: item.content == "skip b") if spoil == "skip" else None
    dag.dimension(lambda item, a: f"b {item.content}", name="b", skip_if=skip_if)
    dag.dimension(lambda item, a: f"c {item.content}", name="c")
    if d_scope == "item":
        dag.dimension(lambda item, b, c: f"d {b} {c}", name="d", on_missing=on_missing)
    else:
        dag.dimension(lambda items, b, c: f"d {b} {c}", name="d", on_missing=on_missing, scope="global")
    return dag, provider


@pytest.mark.parametrize("spoil", ["skip", "fail"])
def test_a_join_behind_a_missing_branch_is_skipped_by_default(run, spoil):
    """graph-01-join-behind-a-skip, default"""
    done = run.everywhere(diamond("skip", spoil=spoil)[0], ITEMS)
    assert done.statuses("d") == {"1": "skipped", "2": "ok"}
    assert "'b'" in done.items[0].results["d"].reason
    assert done.statuses("c") == {"1": "ok", "2": "ok"}


@pytest.mark.parametrize("spoil", ["skip", "fail"])
def test_a_join_that_runs_all_the_same_gets_none(run, spoil):
    """graph-01-join-behind-a-skip, run"""
    done = run.everywhere(diamond("run", spoil=spoil)[0], ITEMS)
    assert done.data("d") == {"1": "d None c skip b", "2": "d b all c all"}


@pytest.mark.parametrize("spoil", ["skip", "fail"])
def test_a_join_that_fails_names_the_branch(run, spoil):
    """graph-01-join-behind-a-skip, fail"""
    done = run.everywhere(diamond("fail", spoil=spoil)[0], ITEMS)
    assert done.statuses("d") == {"1": "failed", "2": "ok"}
    [failure] = [failure for failure in done.failures if failure.dimension == "d"]
    assert (failure.item_id, failure.error_class) == ("1", "dependency")
    assert "'b'" in failure.message


@pytest.mark.parametrize("spoil", ["skip", "fail"])
def test_a_global_join_leaves_the_item_out_and_says_so(run, spoil):
    """graph-01-join-behind-a-skip, global, default"""
    [result] = run.everywhere(diamond("skip", "global", spoil)[0], ITEMS).globals
    assert result.data == "d ['b all'] ['c all']"
    assert result.left_out == ("1",)
    assert "1 of 2 items left out" in result.reason


def test_a_global_join_that_runs_all_the_same_gets_none_for_the_item(run):
    """graph-01-join-behind-a-skip, global, run"""
    [result] = run.everywhere(diamond("run", "global")[0], ITEMS).globals
    assert result.data == "d [None, 'b all'] ['c skip b', 'c all']"
    assert result.left_out == ()


def test_a_global_join_that_fails_names_the_item(run):
    """graph-01-join-behind-a-skip, global, fail"""
    done = run.everywhere(diamond("fail", "global")[0], ITEMS)
    [result] = done.globals
    assert (result.status, result.error_class) == ("failed", "dependency")
    assert "1 items have no answer of what it needs: '1'" in result.message


# ---- graph-02


class Base(BaseModel):
    label: Literal["a", "b"]
    note: str = Field(description="why")


class FieldRenamed(BaseModel):
    label: Literal["a", "b"]
    remark: str = Field(description="why")


class Described(BaseModel):
    label: Literal["a", "b"]
    note: str = Field(description="the reason")


NAMES = {
    "anthropic": ("anthropic:claude-haiku-4-5", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
    "openai": ("openai:gpt-5-mini", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
    "google": ("google:gemini-2.5-flash", "GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY"),
}
OTHER_MODEL = {"anthropic": "anthropic:claude-sonnet-4-5", "openai": "openai:gpt-5", "google": "google:gemini-2.5-pro"}


@pytest.fixture(params=NAMES)
def vendor(request, monkeypatch, simulator):
    """Each vendor, whose address comes from the environment."""
    _, url_variable, key_variable = NAMES[request.param]
    monkeypatch.setenv(url_variable, simulator.base_url(request.param))
    monkeypatch.setenv(key_variable, "k-0123456789")
    return request.param


def run_once(vendor: str, store: Any, **changed: Any) -> Any:
    """One run with one item; returns its result."""
    options = {"spec": NAMES[vendor][0], "output": Base, "system": None, "name": "analyze", "image": None, "id": "r1"}
    options |= {name: changed.pop(name) for name in tuple(changed) if name in options}
    dag = Dag("case", model=Model(options["spec"], **changed))

    @dag.dimension(output=options["output"], system=options["system"], name=options["name"])
    def analyze(item):
        text = f"Analyse: {item.content}"
        return [text, Image(options["image"])] if options["image"] else text

    report = dag.run([Item(options["id"], "It arrived late.")], store=store, progress=False)
    return report.items[0].results[options["name"]]


CHANGES: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.3},
    "max_tokens": {"max_tokens": 100},
    "a field renamed": {"output": FieldRenamed},
    "a description": {"output": Described},
    "system": {"system": "Be kind."},
    "effort": {"effort": "low"},
    "thinking": {"extra_body": {"thinking": {"budget_tokens": 1024}}},
    "an image": {"image": b"\x89PNG"},
}


def test_what_can_change_the_answer_makes_the_store_miss(vendor, simulator, tmp_path):
    """graph-02-cache-key, changes"""
    store = tmp_path / "answers.sqlite"
    run_once(vendor, store)
    changes = {**CHANGES, "model": {"spec": OTHER_MODEL[vendor]}}
    for count, (what, changed) in enumerate(changes.items(), start=2):
        result = run_once(vendor, store, **changed)
        assert (result.status, result.store_hit, len(simulator.requests)) == ("ok", False, count), what


@pytest.mark.parametrize("by", ["environment", "model"])
def test_another_server_makes_the_store_miss(vendor, simulator, tmp_path, monkeypatch, by):
    """graph-02-cache-key, base_url of the provider, also where the environment names it"""
    store = tmp_path / "answers.sqlite"
    run_once(vendor, store)
    with Simulator() as other:
        if by == "environment":
            monkeypatch.setenv(NAMES[vendor][1], other.base_url(vendor))
            run_once(vendor, store)
        else:
            run_once(vendor, store, base_url=other.base_url(vendor))
        assert (len(simulator.requests), len(other.requests)) == (1, 1)


def test_what_cannot_change_the_answer_is_served_from_the_store(vendor, simulator, tmp_path):
    """graph-02-cache-key, same"""
    store = tmp_path / "answers.sqlite"
    run_once(vendor, store, extra_body={"x": 1, "y": 2})
    for changed in (
        {},
        {"id": "r2"},
        {"name": "renamed"},
        {"attempts": 9, "timeout_seconds": 7.0, "max_in_flight": 3},
        {"extra_body": {"y": 2, "x": 1}},
        {"base_url": simulator.base_url(vendor)},
    ):
        result = run_once(vendor, store, **{"extra_body": {"x": 1, "y": 2}, **changed})
        assert (result.status, result.store_hit, result.cost_nano_usd, result.attempts) == ("ok", True, 0, ()), changed
    assert len(simulator.requests) == 1


def test_a_hit_is_counted_as_one_and_its_tokens_are_not(simulator, run, tmp_path):
    """graph-02-cache-key, must not: tokens counted as paid again"""
    dag, _ = make_dag(["yes"])
    dag.dimension(lambda item: item.content, name="analyze")
    first, second = (run(dag, [Item("a", "x")], store=tmp_path / "answers.sqlite") for _ in range(2))
    assert first.counters["analyze"]["calls"] == 1
    counters = second.counters["analyze"]
    assert counters["store_hits"] == 1
    assert not {"calls", "input_tokens", "output_tokens", "cost_nano_usd"} & set(counters)
    assert second.costs == []


@pytest.mark.parametrize(
    "bad",
    [
        Reply(status=400, message="no"),
        Reply({"label": "a", "note": ""}, stop="length"),
        Reply({"label": "a", "note": ""}, stop="refusal"),
        Reply({"label": "c", "note": ""}),
    ],
    ids=["failed", "truncated", "refused", "invalid"],
)
def test_a_bad_answer_is_not_served_on_the_next_run(vendor, simulator, tmp_path, bad):
    """graph-02-cache-key, must not"""
    store = tmp_path / "answers.sqlite"
    simulator.script([bad, Reply({"label": "b", "note": ""})])
    assert run_once(vendor, store, attempts=1).status == "failed"
    result = run_once(vendor, store, attempts=1)
    assert (result.status, result.data["label"], result.store_hit) == ("ok", "b", False)


# ---- graph-03


class Group(BaseModel):
    name: str
    ids: list[str]


class Groups(BaseModel):
    groups: list[Group]


def grouping(answer: Any):
    """group → regroup → analyze, over the items r1 to r4."""
    dag, provider = make_dag(answered(lambda prompt: answer if prompt.startswith("Group") else prompt))
    dag.dimension(lambda items: "Group these", scope="global", output=Groups, name="group")
    by_group = dag.regroup(lambda items, group: {g.name: g.ids for g in group.groups}, name="by_group")
    dag.dimension(lambda item: f"About {item.content}", over=by_group, name="analyze")
    return dag, provider


SOURCE = [Item(f"r{n}", f"text {n}") for n in range(1, 5)]


def test_ids_that_a_model_invented_dropped_or_repeated_are_reported(run):
    """graph-03-regroup-with-wrong-ids"""
    answer = {"groups": [{"name": "late", "ids": ["r1", "r9", "r2"]}, {"name": "broken", "ids": ["r2", " r3"]}]}
    done = run.everywhere(grouping(answer)[0], SOURCE)
    rows = {row.item.id: row for row in done.regrouped["by_group"]}
    assert {name: row.item.source_ids for name, row in rows.items()} == {"late": ("r1", "r2"), "broken": ("r2",)}
    assert rows["late"].results["analyze"].data == "About text 1\n\ntext 2"
    [report] = [result for result in done.globals if result.dimension == "by_group"]
    assert report.data == {
        "groups": {"late": ["r1", "r2"], "broken": ["r2"]},
        "unknown": ["r9", " r3"],
        "left_out": ["r3", "r4"],
        "in_several": ["r2"],
        "empty": [],
    }


@pytest.mark.parametrize(
    ("groups", "made", "reported"),
    [
        ([], {}, {"left_out": ["r1", "r2", "r3", "r4"]}),
        ([{"name": "x", "ids": []}], {}, {"empty": ["x"]}),
        ([{"name": "x", "ids": ["R1", "1"]}], {}, {"unknown": ["R1", "1"], "empty": ["x"]}),
        ([{"name": "", "ids": ["r1"]}], {}, {"left_out": ["r1", "r2", "r3", "r4"]}),
        ([{"name": "x", "ids": ["r1", "r1"]}], {"x": ("r1",)}, {"in_several": []}),
        (
            [{"name": " x", "ids": ["r4"]}, {"name": "x", "ids": ["r3"]}],
            {" x": ("r4",), "x": ("r3",)},
            {"in_several": []},
        ),
    ],
)
def test_odd_groups_are_taken_as_they_are_and_reported(run, groups, made, reported):
    """graph-03-regroup-with-wrong-ids: other ways to get a list wrong"""
    done = run(grouping({"groups": groups})[0], SOURCE)
    assert {row.item.id: row.item.source_ids for row in done.regrouped.get("by_group", [])} == made
    [report] = [result for result in done.globals if result.dimension == "by_group"]
    assert report.status == "ok"
    assert {name: report.data[name] for name in reported} == reported


def test_a_grouping_that_failed_makes_no_items_and_says_why(run):
    """graph-03-regroup-with-wrong-ids: no answer at all"""
    dag, provider = make_dag(answered(lambda prompt: "not json"), model=Model("scripted:x", attempts=1))
    dag.dimension(lambda items: "Group these", scope="global", output=Groups, name="group")
    by_group = dag.regroup(lambda items, group: {g.name: g.ids for g in group.groups}, name="by_group")
    dag.dimension(lambda item: f"About {item.content}", over=by_group, name="analyze")
    done = run.everywhere(dag, SOURCE)
    report = {result.dimension: result for result in done.globals}
    assert (report["group"].status, report["by_group"].status) == ("failed", "skipped")
    assert "'group', which failed (invalid_answer)" in report["by_group"].reason
    assert {prompt_of(request)[:5] for request in provider.requests} == {"Group"}


def test_the_reason_of_a_skip_does_not_grow_with_the_chain(run: Runner) -> None:
    """Case graph-52."""
    provider = ScriptedProvider(["yes"])
    dag = Dag("chain", model="scripted:x", providers={"scripted": provider})
    dag.dimension(lambda item: "Q", name="d0", skip_if=lambda item: True)
    for number in range(1, 41):
        function = eval(f"lambda item, d{number - 1}: 'Q'")
        dag.dimension(function, name=f"d{number}")
    [row] = run.everywhere(dag, [{"id": "1", "content": "x"}]).items
    assert provider.requests == []
    assert {result.status for result in row.results.values()} == {"skipped"}
    assert row.results["d1"].reason == "needs 'd0', which was skipped (its skip_if is true)"
    assert row.results["d2"].reason == "needs 'd1' and so 'd0', which was skipped (its skip_if is true)"
    assert row.results["d40"].reason == "needs 'd39' and so 'd0', which was skipped (its skip_if is true)"
