"""How a dag is declared."""

import copy
import functools
import pickle
import subprocess
import sys
import unicodedata
from typing import Any, Literal

import pytest
from apache_beam.internal import cloudpickle_pickler
from helpers.graphs import SHAPES, Answer, add, function_of, new_dag
from pydantic import BaseModel

from beam_llmdag.dag import Dag
from beam_llmdag.errors import GraphError
from beam_llmdag.graph.dimension import ABSENT, Dimension, Function, Regroup
from beam_llmdag.model import Model
from beam_llmdag.testing import ScriptedProvider


def test_the_parameters_of_a_prompt_name_what_it_needs() -> None:
    dag = new_dag()

    @dag.dimension(output=Answer)
    def topics(item: Any) -> str:
        return item.content

    @dag.dimension
    def summary(item: Any, topics: Any) -> str:
        return f"{item.content} {topics.text}"

    assert dag.needs("topics") == ()
    assert dag.needs("summary") == ("topics",)
    assert list(dag.dimensions) == ["topics", "summary"]


def test_a_decorator_works_with_and_without_arguments() -> None:
    dag = new_dag()
    bare = dag.dimension(function_of("item"), name="bare")
    called = dag.dimension(output=Literal["a", "b"])(named("called"))
    assert isinstance(bare, Dimension)
    assert bare.output.is_text
    assert called.name == "called"
    assert not called.output.is_text


def named(name: str, *parameters: str) -> Any:
    function = function_of(*(parameters or ("item",)))
    function.__name__ = name
    return function


def test_the_parameters_of_all_functions_are_dependencies() -> None:
    dag = new_dag()
    for name in "abcde":
        add(dag, name)
    add(
        dag,
        "all_of_them",
        "a",
        skip_if=lambda b: b,
        model=lambda item, c: "scripted:small",
        on_failure=lambda item, d, error: "none",
        after=["e"],
    )
    step = dag.dimensions["all_of_them"]
    assert step.needs == ("a", "b", "c", "d", "e")
    assert step.required == ("a", "b", "c")


def test_the_parameters_of_per_are_dependencies() -> None:
    assert SHAPES["per_group"]().needs("digest") == ("detail", "classify")


def test_a_parameter_with_a_default_value_is_no_dependency() -> None:
    dag = new_dag()
    labels = ["a", "b"]
    dag.dimension(lambda item, labels=labels, *, more=3: "x", name="classify")
    dag.validate()
    assert dag.needs("classify") == ()


def test_a_partial_function_and_a_callable_object_name_what_they_need() -> None:
    class Prompt:
        def __call__(self, item: Any, topics: Any) -> str:
            return "x"

    def greet(item: Any, topics: Any, greeting: str) -> str:
        return greeting

    dag = new_dag()
    add(dag, "topics")
    dag.dimension(Prompt(), name="one")
    dag.dimension(functools.partial(greet, greeting="hi"), name="two")
    dag.validate()
    assert dag.needs("one") == dag.needs("two") == ("topics",)


def test_a_dimension_may_be_declared_before_what_it_needs() -> None:
    dag = new_dag()
    add(dag, "b", "a")
    add(dag, "a")
    assert dag.levels() == [["a"], ["b"]]


def test_a_diamond_is_no_cycle() -> None:
    SHAPES["diamond"]().validate()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_valid(shape: str) -> None:
    SHAPES[shape]().validate()


def test_after_and_over_take_steps_and_names() -> None:
    dag = new_dag()
    first = add(dag, "first")
    add(dag, "second", after=[first, "first"])
    add(dag, "group", scope="global")
    made = dag.regroup(function_of("items", "group"), name="made")
    assert isinstance(made, Regroup)
    add(dag, "third", over=made, after=[made])
    add(dag, "fourth", over="made")
    add(dag, "fifth", after=["made"])
    dag.validate()
    assert [dag.needs(name) for name in ("second", "third", "fourth", "fifth")] == [
        ("first",),
        ("made",),
        ("made",),
        ("made",),
    ]


def test_the_model_of_the_dag_is_that_of_dimensions_without_one() -> None:
    dag = new_dag(model=Model("scripted:large"))
    assert add(dag, "a").model == Model("scripted:large")
    assert add(dag, "b", model="scripted:small").model == Model("scripted:small")
    assert isinstance(add(dag, "c", model=lambda item: "scripted:small").model, Function)


def test_the_settings_of_a_dimension_hold_for_its_model_and_the_fallbacks() -> None:
    dag = new_dag()
    model = Model("scripted:a", temperature=1, attempts=2, fallbacks=[Model("scripted:b", timeout_seconds=9)])
    dimension = add(dag, "a", model=model, temperature=0, max_tokens=50, timeout_seconds=7, attempts=3, effort="low")
    expected = {"temperature": 0, "max_tokens": 50, "timeout_seconds": 7, "attempts": 3, "effort": "low"}
    assert dimension.tuned(model) == Model("scripted:a", **expected, fallbacks=[Model("scripted:b", **expected)])


def test_a_dimension_without_settings_leaves_its_model_alone() -> None:
    model = Model("scripted:a", temperature=1)
    assert add(new_dag(), "a").tuned(model) is model


def test_a_merge_is_declared_on_its_global() -> None:
    dag = new_dag()
    group = add(dag, "group", scope="global")

    @group.merge
    def merge(parts: list[str]) -> str:
        return "\n".join(parts)

    assert group.merge_prompt.call is merge
    assert merge(["a", "b"]) == "a\nb"


def test_a_notebook_shows_a_picture_of_a_valid_dag_and_the_name_of_another() -> None:
    dag = new_dag("mine")
    assert dag._repr_mimebundle_() == {"text/plain": "Dag('mine': no dimensions yet)"}
    add(dag, "a")
    assert dag._repr_mimebundle_() == {"text/plain": "Dag('mine': a)", "text/vnd.mermaid": dag.to_mermaid()}


def test_explain_says_what_an_api_cannot_express() -> None:
    dag = Dag("reviews", model="openai:gpt-5-mini")

    class Counts(BaseModel):
        by_word: dict[str, int]

    dag.dimension(function_of("item"), name="count", output=Counts)
    assert dag.explain() == (
        "dag 'reviews', pipelined plan\n"
        "1. per item: count — over the items\n"
        "   count: openai:gpt-5-mini\n"
        "     openai:gpt-5-mini: by_word: a map is asked for as a list of key/value pairs"
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_dag_survives_pickling_with_its_functions(shape: str) -> None:
    dag = SHAPES[shape]()
    copied = cloudpickle_pickler.loads(cloudpickle_pickler.dumps(dag))
    assert copied.to_json() == dag.to_json()
    assert copied.explain("staged") == dag.explain("staged")


def test_what_is_absent_is_absent_in_a_copy() -> None:
    assert pickle.loads(pickle.dumps(ABSENT)) is ABSENT
    assert cloudpickle_pickler.loads(cloudpickle_pickler.dumps(add(new_dag(), "a"))).on_failure is ABSENT


MAIN_SCRIPT = """
import enum, sys
from apache_beam.internal import cloudpickle_pickler
from pydantic import BaseModel
from beam_llmdag import Dag

GREETING = "hello"

class Mood(enum.Enum):
    GOOD = "good"

class Review(BaseModel):
    mood: Mood

dag = Dag("main", model="anthropic:claude-haiku-4-5")

def declared(word):
    @dag.dimension(output=Review, skip_if=lambda item: item == word)
    def review(item):
        return f"{GREETING} {word} {item}"

declared("world")
sys.stdout.buffer.write(cloudpickle_pickler.dumps(dag))
"""


def test_a_dag_of_the_main_script_works_in_another_process() -> None:
    """Kind of beam-01-classes-of-the-main-script."""
    pickled = subprocess.run([sys.executable, "-c", MAIN_SCRIPT], capture_output=True, check=True).stdout
    review = cloudpickle_pickler.loads(pickled).dimensions["review"]
    assert review.function.call("item") == "hello world item"
    assert review.skip_if.call("world")
    assert review.output.rebuild({"mood": "good"}).mood.value == "good"


def test_a_dimension_of_an_unknown_provider_is_an_error_when_it_is_declared() -> None:
    with pytest.raises(
        GraphError, match=r"dimension 'a', model 'nobody:x': no provider 'nobody': known ones are anthropic, "
    ):
        add(new_dag(), "a", model="nobody:x")


def test_a_fallback_of_an_unknown_provider_is_an_error_when_it_is_declared() -> None:
    with pytest.raises(GraphError, match="dimension 'a', model 'nobody:x': no provider 'nobody'"):
        add(new_dag(), "a", model=Model("scripted:small", fallbacks=["nobody:x"]))


CELL = """
@dag.dimension({options})
def sentiment({subject}):
    return "{prompt}"
"""


def run_cell(names: dict[str, Any], prompt: str, *, file: str, line: int = 1, options: str = "") -> None:
    """Runs a cell that declares the dimension `sentiment`."""
    subject = "items" if "global" in options else "item"
    cell = "\n" * (line - 1) + CELL.format(prompt=prompt, options=options, subject=subject)
    exec(compile(cell, file, "exec"), names)


@pytest.mark.parametrize("files", [("<cell>", "<cell>"), ("<cell 2>", "<cell 5>"), ("/t/1.py", "/t/2.py")])
def test_a_cell_that_runs_again_replaces_its_dimension(files: tuple[str, str]) -> None:
    """Case beam-46."""
    names = {"dag": new_dag(), "__name__": "__main__"}
    dag = names["dag"]
    run_cell(names, "first", file=files[0])
    add(dag, "other")
    run_cell(names, "second", file=files[1], line=4)
    assert list(dag.steps) == ["sentiment", "other"]
    assert dag.dimensions["sentiment"].function.call(item=None) == "second"


def test_a_global_that_is_declared_again_keeps_its_merge() -> None:
    """Kind of beam-46: the merge may stand in another cell."""
    names = {"dag": new_dag(), "__name__": "__main__"}
    run_cell(names, "first", file="<cell>", options='scope="global"')
    merge = names["sentiment"].merge(lambda parts: parts[0])
    run_cell(names, "second", file="<cell>", options='scope="global"')
    assert names["dag"].dimensions["sentiment"].merge_prompt.call is merge


def test_two_functions_of_one_file_are_not_one() -> None:
    """Case beam-46: a second one is a slip."""
    names = {"dag": new_dag(), "__name__": "__main__"}
    run_cell(names, "first", file="/t/job.py")
    with pytest.raises(GraphError, match="dimension 'sentiment' is declared twice"):
        run_cell(names, "second", file="/t/job.py", line=9)


def test_what_is_declared_after_a_copy_is_not_in_it() -> None:
    dag = new_dag()
    add(dag, "a")
    snapshot = copy.copy(dag)
    add(dag, "b")
    assert (list(snapshot.steps), list(dag.steps)) == (["a"], ["a", "b"])


def test_names_that_differ_in_case_only_are_an_error() -> None:
    """Case graph-51 a."""
    dag = new_dag()
    add(dag, "Topics")
    with pytest.raises(GraphError, match="dimension 'topics' and 'Topics' differ in capital letters only"):
        add(dag, "topics")


@pytest.mark.parametrize("name", ["class", "from", "None"])
def test_a_reserved_word_is_no_name_and_the_message_says_so(name: str) -> None:
    """Case graph-51 b."""
    with pytest.raises(GraphError, match=f"dimension {name!r}: that is a reserved word of Python") as raised:
        add(new_dag(), name)
    assert "name='…'" not in str(raised.value)


def test_a_name_is_the_same_however_its_letters_are_typed() -> None:
    """Case graph-51 c: Python normalises the names of parameters."""
    dag = new_dag()
    apart = unicodedata.normalize("NFD", "größe")
    add(dag, apart)
    add(dag, "next", "größe", after=[apart])
    dag.validate()
    assert dag.needs("next") == ("größe",)


@pytest.mark.parametrize("model", ["anthropik:x", "antrhopci:x", Model("scripted:a", fallbacks=["scriptd:b"])])
def test_a_dag_with_a_model_of_no_provider_fails_at_once(model):
    """Case graph-51, e."""
    with pytest.raises(GraphError, match=r"did you mean '(anthropic|scripted)"):
        Dag("x", model=model, providers={"scripted": ScriptedProvider(["a"])})
