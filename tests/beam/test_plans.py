"""What a dag does to items: each behaviour in both plans, with the same results."""

from __future__ import annotations

from typing import Any, Literal

import apache_beam as beam
import pytest
from apache_beam.runners.portability.flink_runner import FlinkRunner
from pydantic import BaseModel

from beam_llmdag import CallError, Dag, Item, LLMDag
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider


def prompt_of(request: Request) -> str:
    content = request.messages[0].content
    assert isinstance(content, str)
    return content


def echo(request: Request) -> Any:
    """Says what it was asked; a prompt that contains `fail` gets an error that does not pass."""
    prompt = prompt_of(request)
    if "fail" in prompt:
        return CallError("bad_request", "the vendor said no", http_status=400)
    return f"<{prompt}>"


def scripted(answers: Any = echo, **options: Any) -> tuple[Dag, ScriptedProvider]:
    provider = ScriptedProvider(answers, **options)
    return Dag("test", model="scripted:m", providers={"scripted": provider}), provider


def texts(*ids: str) -> list[dict[str, str]]:
    return [{"id": name, "content": f"text of {name}"} for name in ids]


def prompts(provider: ScriptedProvider) -> list[str]:
    return sorted(prompt_of(request) for request in provider.requests)


def test_a_join_sees_the_answers_of_all_its_branches_about_its_own_item(run: Any) -> None:
    dag, _ = scripted()

    @dag.dimension
    def a(item: Item) -> str:
        return f"a {item.id}"

    @dag.dimension
    def b(item: Item) -> str:
        return f"b {item.id}"

    @dag.dimension
    def c(item: Item, a: str, b: str) -> str:
        return f"c {item.id} {a} {b}"

    outcome = run.everywhere(dag, texts("1", "2"))
    assert outcome.data("c") == {"1": "<c 1 <a 1> <b 1>>", "2": "<c 2 <a 2> <b 2>>"}
    assert [list(row.results) for row in outcome.items] == [["a", "b", "c"]] * 2


def test_a_skip_passes_on_to_all_that_need_it_with_its_reason(run: Any) -> None:
    dag, provider = scripted()

    @dag.dimension
    def first(item: Item) -> str:
        return item.id

    @dag.dimension(skip_if=lambda first: first == "<1>")
    def second(item: Item) -> str:
        return f"second {item.id}"

    @dag.dimension
    def third(second: str) -> str:
        return f"third {second}"

    outcome = run.everywhere(dag, texts("1", "2"))
    assert outcome.statuses("third") == {"1": "skipped", "2": "ok"}
    assert outcome.items[0].results["second"].reason == "its skip_if is true"
    assert outcome.items[0].results["third"].reason == "needs 'second', which was skipped (its skip_if is true)"
    assert prompts(provider) == sorted(["1", "2", "second 2", "third <second 2>"] * 3)
    assert outcome.failures == []


def test_a_failed_dimension_costs_its_siblings_nothing(run: Any) -> None:
    dag, _ = scripted()

    @dag.dimension
    def good(item: Item) -> str:
        return item.id

    @dag.dimension
    def bad(item: Item) -> str:
        return "fail" if item.id == "1" else "fine"

    @dag.dimension
    def behind_bad(bad: str) -> str:
        return bad

    outcome = run.everywhere(dag, texts("1", "2"))
    assert outcome.statuses("good") == {"1": "ok", "2": "ok"}
    assert outcome.statuses("bad") == {"1": "failed", "2": "ok"}
    assert outcome.statuses("behind_bad") == {"1": "skipped", "2": "ok"}
    [failure] = outcome.failures
    assert (failure.dimension, failure.item_id, failure.error_class) == ("bad", "1", "bad_request")
    assert "the vendor said no" in failure.message
    assert [attempt.http_status for attempt in failure.attempts] == [400]


def test_on_failure_supplies_a_value_that_is_marked_and_used(run: Any) -> None:
    dag, _ = scripted()

    @dag.dimension(output=Literal["yes", "no"], on_failure="no")
    def constant(item: Item) -> str:
        return "fail"

    @dag.dimension(on_failure=lambda item, error: f"{item.id}: {error.error_class}")
    def computed(item: Item) -> str:
        return "fail"

    @dag.dimension
    def user(constant: str, computed: str) -> str:
        return f"{constant} {computed}"

    outcome = run.everywhere(dag, texts("1"))
    assert outcome.statuses("constant") == {"1": "fallback"}
    assert outcome.data("constant") == {"1": "no"}
    assert outcome.data("computed") == {"1": "1: bad_request"}
    assert outcome.data("user") == {"1": "<no 1: bad_request>"}
    assert outcome.failures == []
    assert len(outcome.costs) == 3


def test_a_global_sees_all_rows_ordered_by_id_and_items_after_it_see_its_answer(run: Any) -> None:
    dag, provider = scripted()

    @dag.dimension
    def each(item: Item) -> str:
        return item.id

    @dag.dimension(scope="global")
    def all_of(items: list[Item], each: list[str]) -> str:
        return " ".join(f"{item.id}={answer}" for item, answer in zip(items, each, strict=True))

    @dag.dimension
    def after(item: Item, all_of: str) -> str:
        return f"{item.id} {all_of}"

    outcome = run.everywhere(dag, texts("b", "c", "a"))
    assert [(result.dimension, result.item_id, result.data) for result in outcome.globals] == [
        ("all_of", "", "<a=<a> b=<b> c=<c>>")
    ]
    assert outcome.data("after")["b"] == "<b <a=<a> b=<b> c=<c>>>"
    assert len(provider.requests) == 3 * 7


def test_a_global_leaves_out_and_names_rows_without_an_answer(run: Any) -> None:
    dag, _ = scripted()

    @dag.dimension(skip_if=lambda item: item.id == "s")
    def each(item: Item) -> str:
        return "fail" if item.id == "f" else item.id

    @dag.dimension(scope="global")
    def all_of(items: list[Item], each: list[str]) -> str:
        return " ".join(item.id for item in items)

    [result] = run.everywhere(dag, texts("a", "f", "s")).globals
    assert (result.data, result.left_out) == ("<a>", ("f", "s"))
    assert result.reason == "2 of 3 items left out: they have no answers"


def test_a_dag_of_globals_alone_delivers_its_items_and_their_answers(run: Any) -> None:
    dag, provider = scripted()

    @dag.dimension(scope="global")
    def all_of(items: list[Item]) -> str:
        return " ".join(item.content for item in items)

    @dag.dimension(scope="global")
    def of_that(all_of: str) -> str:
        return f"again {all_of}"

    outcome = run.everywhere(dag, texts("1", "2"))
    assert [(row.item.id, row.results) for row in outcome.items] == [("1", {}), ("2", {})]
    assert [result.data for result in outcome.globals] == ["<text of 1 text of 2>", "<again <text of 1 text of 2>>"]
    assert len(provider.requests) == 3 * 2


def test_a_grouped_global_answers_once_per_group_and_each_item_sees_its_own(run: Any) -> None:
    dag, _ = scripted()

    @dag.dimension
    def kind(item: Item) -> str:
        return item.id[0]

    @dag.dimension(scope="global", per=lambda kind: kind)
    def digest(items: list[Item], kind: list[str]) -> str:
        return "+".join(item.id for item in items)

    @dag.dimension
    def after(item: Item, digest: str) -> str:
        return f"{item.id}: {digest}"

    outcome = run.everywhere(dag, texts("x1", "y1", "x2"))
    assert {result.item_id: result.data for result in outcome.globals} == {"<x>": "<x1+x2>", "<y>": "<y1>"}
    assert outcome.data("after") == {"x1": "<x1: <x1+x2>>", "x2": "<x2: <x1+x2>>", "y1": "<y1: <y1>>"}


class Groups(BaseModel):
    groups: dict[str, list[str]]


def regrouping_dag(groups: dict[str, list[str]]) -> tuple[Dag, ScriptedProvider]:
    def answers(request: Request) -> Any:
        return {"groups": groups} if prompt_of(request).startswith("group") else echo(request)

    dag, provider = scripted(answers)

    @dag.dimension
    def classify(item: Item) -> str:
        return item.id

    @dag.dimension(output=Groups, scope="global")
    def group(items: list[Item], classify: list[str]) -> str:
        return "group " + " ".join(classify)

    @dag.regroup
    def by_group(items: list[Item], group: Groups) -> dict[str, list[str]]:
        return group.groups

    @dag.dimension(over=by_group)
    def analyze(item: Item) -> str:
        return f"{item.id}: {item.content}"

    @dag.dimension(scope="global")
    def overall(items: list[Item], analyze: list[str]) -> str:
        return "overall " + " ".join(f"{item.id}={answer}" for item, answer in zip(items, analyze, strict=True))

    return dag, provider


def test_a_regroup_makes_new_items_that_know_their_sources_and_a_global_follows(run: Any) -> None:
    dag, _ = regrouping_dag({"late": ["1", "3"], "broken": ["2"]})
    outcome = run.everywhere(dag, texts("1", "2", "3"))
    assert [(row.item.id, row.item.content, row.item.source_ids) for row in outcome.regrouped["by_group"]] == [
        ("broken", "text of 2", ("2",)),
        ("late", "text of 1\n\ntext of 3", ("1", "3")),
    ]
    assert [row.results["analyze"].data for row in outcome.regrouped["by_group"]] == [
        "<broken: text of 2>",
        "<late: text of 1\n\ntext of 3>",
    ]
    answers = {result.dimension: result.data for result in outcome.globals}
    assert answers["overall"] == "<overall broken=<broken: text of 2> late=<late: text of 1\n\ntext of 3>>"
    assert answers["by_group"]["groups"] == {"broken": ["2"], "late": ["1", "3"]}
    assert [list(row.results) for row in outcome.items] == [["classify"]] * 3


def test_a_regroup_reports_ids_that_the_model_invented_dropped_or_repeated(run: Any) -> None:
    """Case graph-03."""
    dag, _ = regrouping_dag({"late": ["r1", "r9", "r2"], "broken": ["r2", " r3"]})
    outcome = run.everywhere(dag, texts("r1", "r2", "r3", "r4"))
    [report] = [result.data for result in outcome.globals if result.dimension == "by_group"]
    assert report["unknown"] == ["r9", " r3"]
    assert report["left_out"] == ["r3", "r4"]
    assert report["in_several"] == ["r2"]
    assert [(row.item.id, row.item.source_ids) for row in outcome.regrouped["by_group"]] == [
        ("broken", ("r2",)),
        ("late", ("r1", "r2")),
    ]


def test_a_regroup_without_its_global_makes_no_items_and_says_why(run: Any) -> None:
    def answers(request: Request) -> Any:
        return CallError("refused", "no") if prompt_of(request).startswith("group") else echo(request)

    dag, _ = regrouping_dag({})
    dag.providers["scripted"] = ScriptedProvider(answers)
    outcome = run.everywhere(dag, texts("1"))
    results = {result.dimension: (result.status, result.reason) for result in outcome.globals}
    assert results["by_group"] == ("skipped", "needs 'group', which failed (refused)")
    assert results["overall"] == ("skipped", "no items")
    assert outcome.seen["regrouped by_group"] == []


def test_no_items_mean_no_call_and_a_skipped_global_that_says_so(run: Any) -> None:
    """Case inputs-09, in a pipeline."""
    dag, provider = regrouping_dag({})
    outcome = run.everywhere(dag, [])
    assert provider.requests == []
    assert outcome.items == []
    assert {result.dimension: result.status for result in outcome.globals} == {
        "by_group": "skipped",
        "group": "skipped",
        "overall": "skipped",
    }
    assert [result.reason for result in outcome.globals if result.dimension == "group"] == ["no items"]
    assert outcome.costs == []
    assert outcome.failures == []


def test_item_dimensions_after_a_global_do_not_run_when_the_global_failed(run: Any) -> None:
    dag, provider = scripted()

    @dag.dimension(scope="global")
    def all_of(items: list[Item]) -> str:
        return "fail"

    @dag.dimension
    def after(item: Item, all_of: str) -> str:
        return f"after {all_of}"

    outcome = run.everywhere(dag, texts("1", "2"))
    assert outcome.statuses("after") == {"1": "skipped", "2": "skipped"}
    assert [failure.dimension for failure in outcome.failures] == ["all_of"]
    assert prompts(provider) == ["fail"] * 3


def test_every_attempt_is_a_line_of_the_bill_whatever_came_of_it(run: Any) -> None:
    def answers(request: Request) -> Any:
        return "nonsense" if len(request.messages) == 1 else '"yes"'

    dag, _ = scripted(answers)

    @dag.dimension(output=Literal["yes", "no"])
    def verdict(item: Item) -> str:
        return item.id

    outcome = run.everywhere(dag, texts("1"))
    assert [(cost.dimension, cost.item_id, cost.number, cost.attempt.error_class) for cost in outcome.costs] == [
        ("verdict", "1", 1, "invalid_answer"),
        ("verdict", "1", 2, None),
    ]
    assert outcome.costs[0].attempt.usage is not None


@pytest.mark.parametrize(
    ("store", "plan", "warns"),
    [("redis://host:6379/0", "pipelined", False), ("postgresql://host/x", "pipelined", False), (False, "staged", True)],
)
def test_on_other_machines_the_plan_is_staged_unless_they_share_a_store(
    store: Any, plan: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    dag, _ = scripted()

    @dag.dimension
    def first(item: Item) -> str:
        return str(item.content)

    @dag.dimension
    def second(item: Item, first: str) -> str:
        return first

    labels = {}
    for made in ("auto", "staged", "pipelined"):
        pipeline = beam.Pipeline(runner=FlinkRunner())
        pipeline | beam.Create(texts("a")) | LLMDag(dag, plan=made, store=store)  # type: ignore[arg-type]
        labels[made] = sorted(pipeline.applied_labels)
    assert labels["auto"] == labels[plan]
    assert labels["staged"] != labels["pipelined"]
    assert ("share no answer store" in caplog.text) == warns
