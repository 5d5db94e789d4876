"""`strict=True`: the first failure ends the run, and says what it was."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from beam_llmdag import CallError, Dag, InputError, Item, StrictModeError
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider


def failing_dag(**options: Any) -> tuple[Dag, ScriptedProvider]:
    def answers(request: Request) -> Any:
        return CallError("refused", "it will not") if request.messages[0].content == "b" else "fine"

    provider = ScriptedProvider(answers, **options)
    dag = Dag("strict", model="scripted:m", providers={"scripted": provider})

    @dag.dimension
    def analyze(item: Item) -> str:
        return item.id

    return dag, provider


ITEMS = [{"id": name, "content": "x"} for name in "abc"]


def test_dag_run_raises_what_failed() -> None:
    dag, _ = failing_dag()
    with pytest.raises(StrictModeError, match=r"dimension 'analyze', item 'b': .*it will not"):
        dag.run(ITEMS, strict=True)


def test_a_pipeline_ends_with_the_words_of_the_failure(run: Any, plan: Any) -> None:
    dag, _ = failing_dag()
    with pytest.raises(Exception, match=r"dimension 'analyze', item 'b': .*it will not"):
        run(dag, ITEMS, plan=plan, strict=True)


def test_the_other_calls_are_cancelled(run: Any, engine: Any) -> None:
    dag, provider = failing_dag(latency_seconds=lambda request: 0.3 if request.messages[0].content == "b" else 30.0)
    with pytest.raises(RuntimeError):
        run(dag, ITEMS, plan=engine, strict=True)
    assert (provider.cancelled, provider.in_flight) == (2, 0)


def test_nothing_failed_and_nothing_is_raised(run: Any, engine: Any) -> None:
    dag, _ = failing_dag()
    assert [row.item.id for row in run(dag, ITEMS[:1], plan=engine, strict=True).items] == ["a"]


def test_a_failure_that_on_failure_made_good_is_none(run: Any, engine: Any) -> None:
    provider = ScriptedProvider([CallError("refused", "no")])
    dag = Dag("strict", model="scripted:m", providers={"scripted": provider})

    @dag.dimension(on_failure="unknown")
    def analyze(item: Item) -> str:
        return "x"

    assert run(dag, ITEMS[:1], plan=engine, strict=True).data("analyze") == {"a": "unknown"}


def test_a_failed_global_counts(run: Any, engine: Any) -> None:
    provider = ScriptedProvider([CallError("refused", "no summary today")])
    dag = Dag("strict", model="scripted:m", providers={"scripted": provider})

    @dag.dimension(scope="global")
    def all_of(items: list[Item]) -> str:
        return "x"

    with pytest.raises(RuntimeError, match=r"dimension 'all_of': .*no summary today"):
        run(dag, ITEMS, plan=engine, strict=True)


def test_a_failed_regroup_counts(run: Any, engine: Any) -> None:
    provider = ScriptedProvider(["fine"])
    dag = Dag("strict", model="scripted:m", providers={"scripted": provider})

    @dag.dimension(scope="global")
    def group(items: list[Item]) -> str:
        return "x"

    @dag.regroup
    def by_group(items: list[Item], group: str) -> Any:
        raise KeyError("no such group")

    with pytest.raises(RuntimeError, match=r"regroup 'by_group'.*no such group"):
        run(dag, ITEMS, plan=engine, strict=True)


def test_duplicate_ids_count_in_a_pipeline(run: Any, plan: Any) -> None:
    dag, provider = failing_dag()
    with pytest.raises(Exception, match=r"item 'a': duplicate id, 2 items"):
        run(dag, [{"id": "a", "content": "1"}, {"id": "a", "content": "2"}], plan=plan, strict=True)
    assert provider.requests == []


def test_an_element_that_is_no_item_counts_in_a_pipeline(run: Any, plan: Any) -> None:
    dag, provider = failing_dag()
    with pytest.raises(Exception, match=r"element with id 'a': no field 'content'"):
        run(dag, [{"id": "a"}], plan=plan, strict=True)
    assert provider.requests == []


def test_dag_run_looks_for_duplicate_ids_before_it_starts() -> None:
    dag, provider = failing_dag()
    with pytest.raises(InputError, match=r"duplicate ids: .*'a'"):
        dag.run([{"id": "a", "content": "1"}, {"id": "a", "content": "2"}])
    assert provider.requests == []


class Label(BaseModel):
    label: str


def broken_dag(kind: str) -> Dag:
    """A dag that fails for item b."""
    not_found = CallError("bad_request", "model: claude-haiku-9\n(not_found_error)", http_status=404)
    for_b = {"bad_request": not_found, "invalid_answer": "not json", "user_function": {"label": "x"}}[kind]

    def answers(request: Request) -> Any:
        return for_b if request.messages[0].content == "b" else {"label": "x"}

    dag = Dag("strict", model="scripted:m", providers={"scripted": ScriptedProvider(answers)})

    @dag.dimension(output=Label, attempts=1)
    def analyze(item: Item) -> str:
        if kind == "user_function" and item.id == "b":
            raise KeyError("stars")
        return item.id

    return dag


BROKEN = {
    "bad_request": ("bad_request (HTTP 404)", "claude-haiku-9"),
    "invalid_answer": ("invalid_answer",),
    "user_function": ("user_function", "KeyError", "stars"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_the_last_line_names_the_class_the_dimension_the_item_and_the_words(run: Any, plan: Any, kind: str) -> None:
    """Case errors-59."""
    with pytest.raises(StrictModeError) as stopped:
        broken_dag(kind).run(ITEMS, strict=True, store=False)
    with pytest.raises(RuntimeError) as told:
        run(broken_dag(kind), ITEMS, plan=plan, strict=True)
    for error in (stopped, told):
        last_line = str(error.value).split("\n")[-1]
        assert all(words in last_line for words in (*BROKEN[kind], "dimension 'analyze'", "item 'b'")), last_line


def test_an_input_that_is_none_is_named_with_its_class(run: Any) -> None:
    """Case errors-59, its kind."""
    dag, _ = failing_dag()
    with pytest.raises(RuntimeError, match=r"^duplicate_id: item '1'"):
        run(dag, [{"id": "1", "content": "x"}, {"id": "1", "content": "y"}], strict=True)
    with pytest.raises(RuntimeError, match=r"^bad_input: .*content"):
        run(dag, [{"id": "1"}], strict=True)
