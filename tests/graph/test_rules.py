"""Bad graphs, and the messages that name the dimension and the remedy."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
from helpers.graphs import add, function_of, new_dag

from beam_llmdag.dag import Dag
from beam_llmdag.errors import GraphError


def message_of(build: Callable[[Dag], Any]) -> str:
    """The error that a dag built by `build` ends with, when it is declared or when it is validated."""
    dag = new_dag("reviews")

    def build_and_validate() -> None:
        build(dag)
        dag.validate()

    with pytest.raises(GraphError) as info:
        build_and_validate()
    return str(info.value)


async def async_prompt(item: Any) -> str:
    return "x"


class CallableAnswer:
    def __init__(self, item: Any) -> None:
        self.item = item


DECLARATIONS: list[tuple[str, Callable[[Dag], Any], str]] = [
    (
        "args",
        lambda dag: dag.dimension(lambda *args: "x", name="a"),
        "prompt of dimension 'a' takes *args: its parameters name what it needs, so each must have a name",
    ),
    (
        "kwargs",
        lambda dag: add(dag, "a", skip_if=lambda **needs: False),
        "skip_if of dimension 'a' takes **needs: its parameters name what it needs, so each must have a name",
    ),
    (
        "positional-only",
        lambda dag: dag.dimension(lambda item, /: "x", name="a"),
        "prompt of dimension 'a' takes item, /: its parameters name what it needs, so each must have a name",
    ),
    (
        "async",
        lambda dag: dag.dimension(async_prompt, name="a"),
        "prompt of dimension 'a' is async: write it with a plain 'def'; the library makes the calls itself",
    ),
    (
        "no function",
        lambda dag: add(dag, "a", skip_if=True),
        "skip_if of dimension 'a' must be a function, not bool: True",
    ),
    (
        "function without known parameters",
        lambda dag: add(dag, "a", skip_if=min),
        "skip_if of dimension 'a': Python does not know its parameters; wrap it in a lambda that names them",
    ),
    (
        "class in place of a function",
        lambda dag: dag.dimension(CallableAnswer),
        f"@dag.dimension stands above a function; its other arguments need their names, not {CallableAnswer!r}",
    ),
    (
        "text in place of a function",
        lambda dag: dag.dimension("a"),
        "@dag.dimension stands above a function; its other arguments need their names, not 'a'",
    ),
    (
        "lambda without a name",
        lambda dag: dag.dimension(lambda item: "x"),
        "dimension '<lambda>': a name is a Python identifier; give one with name='…'",
    ),
    (
        "keyword as a name",
        lambda dag: add(dag, "class"),
        "dimension 'class': that is a reserved word of Python, which no parameter can be; choose another name",
    ),
    (
        "reserved name",
        lambda dag: add(dag, "items"),
        "dimension 'items': the name is taken by the package (content, error, id, input, item, items, metadata, parts, "
        "source_ids); choose another",
    ),
    (
        "name of a column",
        lambda dag: dag.regroup(function_of("items"), name="content"),
        "regroup 'content': the name is taken by the package (content, error, id, input, item, items, metadata, parts, "
        "source_ids); choose another",
    ),
    (
        "duplicate",
        lambda dag: [add(dag, "a"), add(dag, "a")],
        "dimension 'a' is declared twice in dag 'reviews': give one of them another name. In a notebook, "
        "first run the cell that makes the Dag again",
    ),
    (
        "duplicate of a regroup",
        lambda dag: [add(dag, "a"), dag.regroup(function_of("items", "a"), name="a")],
        "regroup 'a' is declared twice in dag 'reviews': give one of them another name. In a notebook, "
        "first run the cell that makes the Dag again",
    ),
    (
        "ill-formed model",
        lambda dag: add(dag, "a", model="claude"),
        "dimension 'a': model 'claude': write it as 'provider:name', for example 'anthropic:claude-haiku-4-5'",
    ),
    (
        "model that is none",
        lambda dag: add(dag, "a", model=3),
        "model of dimension 'a' must be a function, not int: 3",
    ),
    (
        "bad scope",
        lambda dag: add(dag, "a", scope="all"),
        "dimension 'a': scope is 'item' or 'global', not 'all'",
    ),
    (
        "bad on_missing",
        lambda dag: add(dag, "a", on_missing="ignore"),
        "dimension 'a': on_missing is 'run', 'skip' or 'fail', not 'ignore'",
    ),
    (
        "per without global",
        lambda dag: add(dag, "a", per=lambda item: item.id),
        "dimension 'a': per= makes one answer per group, so it needs scope='global'",
    ),
    (
        "max_prompt_tokens without global",
        lambda dag: add(dag, "a", max_prompt_tokens=10),
        "dimension 'a': max_prompt_tokens splits the rows of a global; an item's prompt is not split",
    ),
    ("attempts", lambda dag: add(dag, "a", attempts=0), "dimension 'a': attempts must be positive, not 0"),
    (
        "deadline",
        lambda dag: add(dag, "a", deadline_seconds=-1),
        "dimension 'a': deadline_seconds must be positive, not -1",
    ),
    (
        "items where an item is meant",
        lambda dag: dag.dimension(function_of("items"), name="a"),
        "prompt of dimension 'a': it is called for each item: its parameter is 'item', not 'items' "
        "(that one is for scope='global')",
    ),
    (
        "item where items are meant",
        lambda dag: dag.dimension(function_of("item"), name="a", scope="global"),
        "prompt of dimension 'a': it is called once for all items: its parameter is 'items', not 'item'",
    ),
    (
        "items in per",
        lambda dag: add(dag, "a", scope="global", per=lambda items: "x"),
        "per of dimension 'a': it is called for each item: its parameter is 'item', not 'items' "
        "(that one is for scope='global')",
    ),
    (
        "item in a regroup",
        lambda dag: dag.regroup(function_of("item", "b"), name="a"),
        "regroup 'a': it is called once for all items: its parameter is 'items', not 'item'",
    ),
    (
        "error outside of on_failure",
        lambda dag: add(dag, "a", "error"),
        "prompt of dimension 'a': only on_failure has a parameter 'error'",
    ),
    (
        "parts outside of a merge",
        lambda dag: add(dag, "a", "parts", scope="global"),
        "prompt of dimension 'a': only a merge has a parameter 'parts'",
    ),
    (
        "item with a default",
        lambda dag: dag.dimension(lambda item=None: "x", name="a"),
        "prompt of dimension 'a': the parameter 'item' has a default value, so it would never be filled in",
    ),
    (
        "merge of an item dimension",
        lambda dag: add(dag, "a").merge(lambda parts: parts),
        "merge of dimension 'a': only a global dimension has parts to merge",
    ),
    (
        "merge of other parameters",
        lambda dag: add(dag, "a", scope="global").merge(lambda answers: answers),
        "merge of dimension 'a' takes one parameter, 'parts', not answers",
    ),
    (
        "after is a text",
        lambda dag: [add(dag, "first"), add(dag, "a", after="first")],
        "after of dimension 'a' is a list: write ['first']",
    ),
    (
        "after is a step",
        lambda dag: add(dag, "a", after=add(dag, "first")),
        "after of dimension 'a' is a list: write ['first']",
    ),
    (
        "after something else",
        lambda dag: add(dag, "a", after=[3]),
        "after of dimension 'a': name a declared step, or give it, not int: 3",
    ),
    (
        "over something else",
        lambda dag: add(dag, "a", over=3),
        "over of dimension 'a': name a declared step, or give it, not int: 3",
    ),
    (
        "output",
        lambda dag: add(dag, "a", output=3),
        "dimension 'a': an output is a pydantic class, an Enum, a Literal, a JSON schema or str, not 3: "
        "Unable to generate pydantic-core schema for 3. Set `arbitrary_types_allowed=True` in the model_config to "
        "ignore this error or implement `__get_pydantic_core_schema__` on your type to fully support it.",
    ),
    (
        "JSON schema",
        lambda dag: add(dag, "a", output={"type": "objekt"}),
        "dimension 'a': the output is no valid JSON schema: type: 'objekt' is not valid under any of the given schemas",
    ),
    (
        "on_failure that does not fit",
        lambda dag: add(dag, "a", output=Literal["b", "c"], on_failure="d"),
        "dimension 'a': the value of on_failure does not fit its output: Input should be 'b' or 'c'",
    ),
    (
        "on_failure of a text",
        lambda dag: add(dag, "a", on_failure=None),
        "dimension 'a': the value of on_failure does not fit its output: a text is asked for, not NoneType: None",
    ),
]


def regrouped(dag: Dag) -> None:
    """classify → group → by_category → analyze."""
    add(dag, "classify")
    add(dag, "group", "classify", scope="global")
    dag.regroup(function_of("items", "group"), name="by_category")
    add(dag, "analyze", over="by_category")


GRAPHS: list[tuple[str, Callable[[Dag], Any], str]] = [
    ("empty", lambda dag: None, "dag 'reviews' has no dimensions: declare one with @dag.dimension"),
    (
        "unknown, with a name that is near",
        lambda dag: [add(dag, "sentiment"), add(dag, "a", "sentimnt")],
        "dimension 'a' needs 'sentimnt', which is no dimension of dag 'reviews'; did you mean 'sentiment'?",
    ),
    (
        "unknown, near to the item",
        lambda dag: dag.dimension(function_of("itm"), name="a"),
        "dimension 'a' needs 'itm', which is no dimension of dag 'reviews'; did you mean 'item'?",
    ),
    (
        "unknown, with nothing near",
        lambda dag: [add(dag, "sentiment"), add(dag, "a", "xyz")],
        "dimension 'a' needs 'xyz', which is no dimension of dag 'reviews'; there are: sentiment, a",
    ),
    (
        "unknown among many",
        lambda dag: [add(dag, f"d{n}") for n in range(12)] + [add(dag, "a", "xyz")],
        "dimension 'a' needs 'xyz', which is no dimension of dag 'reviews'; there are: "
        "d0, d1, d2, d3, d4, d5, d6, d7, d8, d9, …",
    ),
    (
        "unknown after",
        lambda dag: [add(dag, "first"), add(dag, "a", after=["frist"])],
        "dimension 'a' needs 'frist', which is no dimension of dag 'reviews'; did you mean 'first'?",
    ),
    (
        "unknown over",
        lambda dag: add(dag, "a", over="xyz"),
        "dimension 'a' needs 'xyz', which is no dimension of dag 'reviews'; there are: a",
    ),
    (
        "default value on a parameter that names a dimension",
        lambda dag: [add(dag, "topics"), dag.dimension(lambda item, topics=None: "x", name="a")],
        "prompt of dimension 'a': the parameter 'topics' has a default value, so the answer of the dimension of that "
        "name would never be filled in; remove the default, or rename the parameter",
    ),
    (
        "needs itself",
        lambda dag: add(dag, "a", "a"),
        "the dimensions form a cycle: a → a; remove one of these dependencies",
    ),
    (
        "cycle",
        lambda dag: [add(dag, "start", "a"), add(dag, "a", "b"), add(dag, "b", "c"), add(dag, "c", "a")],
        "the dimensions form a cycle: a → b → c → a; remove one of these dependencies",
    ),
    (
        "cycle by skip_if and after",
        lambda dag: [add(dag, "a", skip_if=lambda b: b), add(dag, "b", after=["a"])],
        "the dimensions form a cycle: a → b → a; remove one of these dependencies",
    ),
    (
        "cycle through a regroup",
        lambda dag: [
            add(dag, "a", over="made"),
            add(dag, "group", "a", scope="global"),
            dag.regroup(function_of("items", "group"), name="made"),
        ],
        "the dimensions form a cycle: a → made → group → a; remove one of these dependencies",
    ),
    (
        "over a dimension",
        lambda dag: [add(dag, "b"), add(dag, "a", over="b")],
        "dimension 'a': over='b' is no regroup; declare one with @dag.regroup",
    ),
    (
        "a regroup as a parameter",
        lambda dag: [regrouped(dag), add(dag, "a", "by_category")],
        "dimension 'a' has a parameter 'by_category', which is a regroup: it makes items; use over='by_category'",
    ),
    (
        "regroup without a global",
        lambda dag: [add(dag, "a"), dag.regroup(function_of("items", "a"), name="made")],
        "regroup 'made' needs no global dimension: a regroup is made of the answer of one",
    ),
    (
        "two sets of items",
        lambda dag: [regrouped(dag), add(dag, "a", "classify", "analyze")],
        "dimension 'a' needs 'classify' over the items that go in and 'analyze' over the items of 'by_category': an "
        "answer about one set of items has no counterpart in the other; take one of them through a global",
    ),
    (
        "another set of items than over says",
        lambda dag: [regrouped(dag), add(dag, "a", "classify", over="by_category")],
        "dimension 'a' is over the items of 'by_category', but needs 'classify', which is over the items that go in: "
        "take it through a global",
    ),
    (
        "order across sets of items",
        lambda dag: [regrouped(dag), add(dag, "a", after=["analyze"])],
        "dimension 'a' is over the items that go in, but needs 'analyze', which is over the items of 'by_category': "
        "take it through a global",
    ),
    (
        "per names a global",
        lambda dag: [add(dag, "total", scope="global"), add(dag, "a", scope="global", per=lambda total: total)],
        "dimension 'a': per names 'total'; the group of an item comes from item dimensions",
    ),
    (
        "the answer of another item's group",
        lambda dag: [
            regrouped(dag),
            add(dag, "digest", scope="global", per=lambda classify: classify),
            add(dag, "a", "digest", over="by_category"),
        ],
        "dimension 'a' needs 'digest', which answers per group of other items: which group is meant? take it through a "
        "global",
    ),
]

MANY = {what: (build, told) for what, build, told in (*DECLARATIONS, *GRAPHS)}


@pytest.mark.parametrize("what", MANY)
def test_a_bad_graph_is_told_with_its_dimension_and_the_remedy(what: str) -> None:
    build, told = MANY[what]
    assert message_of(build) == told


def test_a_dimension_without_a_model_is_told_the_remedy() -> None:
    with pytest.raises(GraphError) as info:
        add(Dag("reviews"), "a")
    assert str(info.value) == "dimension 'a' has no model: give it one, or give one to the dag"


def test_a_failed_declaration_leaves_the_dag_as_it_was() -> None:
    dag = new_dag()
    with pytest.raises(GraphError):
        add(dag, "a", attempts=0)
    add(dag, "a")
    dag.validate()


def test_a_long_cycle_needs_no_stack() -> None:
    dag = new_dag()
    for number in range(1500):
        add(dag, f"d{number}", f"d{(number + 1) % 1500}")
    with pytest.raises(GraphError, match="the dimensions form a cycle: d0 → d1 → d2 "):
        dag.validate()


def test_a_dimension_over_the_items_of_a_regroup_is_known_by_what_it_needs() -> None:
    dag = new_dag()
    regrouped(dag)
    add(dag, "advise", "analyze")
    add(dag, "total", "advise", scope="global")
    assert '"name": "advise",\n      "kind": "item",\n      "over": "by_category"' in dag.to_json()
    assert '"name": "total",\n      "kind": "global",\n      "over": "by_category"' in dag.to_json()
