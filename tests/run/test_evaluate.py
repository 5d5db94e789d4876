import sys
from enum import Enum
from typing import Any, Literal

import pytest
from helpers.dags import answered, make_dag, prompt_of, walked
from pydantic import BaseModel, field_validator

from beam_llmdag.errors import CallError
from beam_llmdag.model import Message, Model
from beam_llmdag.records.item import Item

A, B = Item("a", "fine"), Item("b", "bad")


class Label(BaseModel):
    label: Literal["good", "bad"]


class Color(Enum):
    RED = "red"


def by_content(prompt: str) -> Any:
    """Answers prompts of `label`; those about `bad` are refused."""
    if prompt == "bad":
        raise CallError("refused", "not that", http_status=400)
    return {"label": "good"}


def labelled(on_missing: Any = "skip", **options: Any):
    """A dag: `label`, refused for item b, and `next` that needs it."""
    dag, provider = make_dag(answered(by_content))

    @dag.dimension(output=Label, **options)
    def label(item):
        return item.content

    @dag.dimension(on_missing=on_missing)
    def follow(item, label):
        return f"next {label and label.label}"

    return dag, provider


def test_a_dimension_without_a_dependency_that_it_needs_is_skipped_with_the_reason():
    dag, _ = labelled()
    results = walked(dag, A, B)
    assert results["a"]["follow"].status == "ok"
    assert results["b"]["follow"].status == "skipped"
    assert results["b"]["follow"].reason == "needs 'label', which failed (refused)"


def test_a_dimension_that_runs_all_the_same_gets_none():
    dag, provider = labelled("run")
    assert walked(dag, B)["b"]["follow"].status == "ok"
    assert prompt_of(provider.requests[-1]) == "next None"


def test_a_dimension_that_fails_without_its_dependency_names_it():
    dag, provider = labelled("fail")
    result = walked(dag, B)["b"]["follow"]
    assert (result.status, result.error_class) == ("failed", "dependency")
    assert result.message == "dimension 'follow', item 'b': it needs 'label', which failed (refused)"
    assert len(provider.requests) == 1


def test_a_failed_predecessor_in_after_does_not_matter():
    dag, provider = make_dag(answered(by_content))

    @dag.dimension(output=Label)
    def label(item):
        return item.content

    @dag.dimension(after=[label])
    def later(item):
        return "later"

    assert walked(dag, B)["b"]["later"].status == "ok"
    assert [prompt_of(request) for request in provider.requests] == ["bad", "later"]


def test_skip_if_is_asked_before_anything_is_paid():
    dag, provider = make_dag(["yes"])

    @dag.dimension(skip_if=lambda item: item.content == "bad")
    def check(item):
        return item.content

    results = walked(dag, A, B)
    assert (results["a"]["check"].status, results["b"]["check"].status) == ("ok", "skipped")
    assert results["b"]["check"].reason == "its skip_if is true"
    assert len(provider.requests) == 1


class Odd:
    """What pandas.NA and arrays are: neither true nor false."""

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize(
    ("skip_if", "told"),
    [(lambda item: item.metadata["x"], "KeyError: 'x'"), (lambda item: Odd(), "TypeError: boolean value of NA")],
)
def test_skip_if_that_raises_fails_the_item_and_names_itself(skip_if, told):
    dag, provider = make_dag(["yes"])

    @dag.dimension(skip_if=skip_if)
    def check(item):
        return "?"

    result = walked(dag, A)["a"]["check"]
    assert (result.status, result.error_class) == ("failed", "user_function")
    for word in ("check", "'a'", "skip_if", told):
        assert word in result.message
    assert provider.requests == []


def test_an_exception_is_told_with_dimension_item_name_and_the_line_of_the_users_function():
    dag, _ = make_dag(["yes"])

    @dag.dimension
    def analyze(item):
        return int(item.content)

    line = analyze.function.call.__code__.co_firstlineno + 2
    message = walked(dag, A)["a"]["analyze"].message
    for word in ("'analyze'", "item 'a'", "ValueError", "'fine'", f"test_evaluate.py, line {line}"):
        assert word in message


def test_the_line_is_the_users_where_a_library_raised():
    import json

    dag, _ = make_dag(["yes"])

    @dag.dimension
    def analyze(item):
        return json.loads(item.content)

    assert "(test_evaluate.py, line" in walked(dag, A)["a"]["analyze"].message


def test_an_exit_in_a_users_function_costs_one_item():
    dag, _ = make_dag(["yes"])

    @dag.dimension
    def analyze(item):
        return sys.exit("bye") if item.content == "bad" else item.content

    results = walked(dag, A, B)
    assert results["a"]["analyze"].status == "ok"
    assert "SystemExit: bye" in results["b"]["analyze"].message


def test_a_long_exception_text_is_cut():
    dag, _ = make_dag(["yes"])

    @dag.dimension
    def analyze(item):
        raise ValueError("x" * 100_000)

    message = walked(dag, A)["a"]["analyze"].message
    assert len(message) < 1000
    assert "test_evaluate.py, line" in message


@pytest.mark.parametrize("prompt", [None, 42, {"a": 1}, b"bytes", [1], [None]])
def test_what_is_no_prompt_fails_and_says_what_one_is(prompt):
    dag, provider = make_dag(["yes"])

    @dag.dimension
    def analyze(item):
        return prompt

    result = walked(dag, A)["a"]["analyze"]
    assert (result.status, result.error_class) == ("failed", "user_function")
    assert (
        "dimension 'analyze', item 'a': a prompt is a text, or a list of texts, Images and Messages" in result.message
    )
    assert provider.requests == []


@pytest.mark.parametrize(
    "prompt", ["", " \n\t ", [], ["", " "], "\u00a0\u2003", [Message("user", " ")], Message("system", "x")]
)
def test_a_blank_prompt_fails_before_a_call(prompt):
    dag, provider = make_dag(["yes"])

    @dag.dimension
    def analyze(item):
        return prompt

    result = walked(dag, A)["a"]["analyze"]
    assert (result.status, result.error_class) == ("failed", "bad_input")
    assert "empty or blank" in result.message
    assert provider.requests == []


def test_system_texts_of_model_dimension_and_prompt_come_in_this_order():
    dag, provider = make_dag(["yes"], model=Model("scripted:x", system="One."))

    @dag.dimension(system="Two.")
    def analyze(item):
        return [Message("system", "Three."), item.content]

    walked(dag, A)
    assert provider.requests[0].system == "One.\n\nTwo.\n\nThree."


def test_a_model_is_picked_per_item_and_tuned_by_the_dimension():
    dag, provider = make_dag(["yes"])

    @dag.dimension(
        model=lambda item: "scripted:small" if item.content == "fine" else Model("scripted:big"), max_tokens=7
    )
    def analyze(item):
        return item.content

    results = walked(dag, A, B)
    assert {item_id: result["analyze"].model for item_id, result in results.items()} == {
        "a": "scripted:small",
        "b": "scripted:big",
    }
    assert {request.model.max_tokens for request in provider.requests} == {7}


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (None, "NoneType"),
        (42, "42"),
        ("claude", "claude"),
        ("nobody:x", "nobody"),
        ("", "''"),
        (KeyError("k"), "KeyError"),
    ],
)
def test_a_function_that_picks_no_model_fails_the_item(chosen, told):
    def pick(item):
        if isinstance(chosen, Exception):
            raise chosen
        return chosen

    dag, provider = make_dag(["yes"])

    @dag.dimension(model=pick)
    def analyze(item):
        return item.content

    result = walked(dag, A)["a"]["analyze"]
    assert (result.status, result.data) == ("failed", None)
    assert "analyze" in result.message
    assert told in result.message
    assert provider.requests == []


def test_on_failure_supplies_a_value_that_others_use_and_keeps_the_cause():
    dag, _ = labelled(on_failure={"label": "bad"})
    results = walked(dag, B)["b"]
    label = results["label"]
    assert (label.status, label.data, label.error_class) == ("fallback", {"label": "bad"}, "refused")
    assert "not that" in label.message
    assert [attempt.error_class for attempt in label.attempts] == ["refused"]
    assert results["follow"].status == "ok"


def test_on_failure_may_be_a_typed_value():
    dag, _ = labelled(on_failure=Label(label="bad"))
    assert walked(dag, B)["b"]["label"].data == {"label": "bad"}


def test_on_failure_may_be_a_function_that_sees_the_error():
    dag, _ = labelled(on_failure=lambda item, error: {"label": "bad" if error.error_class == "refused" else "good"})
    assert walked(dag, B)["b"]["label"].data == {"label": "bad"}


def broken(error):
    raise RuntimeError("also broken")


@pytest.mark.parametrize(
    ("on_failure", "told"),
    [
        (lambda error: {"label": "ugly"}, "label: Input should be 'good' or 'bad'"),
        (lambda error: None, "the value of on_failure does not fit"),
        (broken, "RuntimeError: also broken"),
    ],
)
def test_on_failure_that_does_not_help_leaves_the_failure_and_says_so(on_failure, told):
    dag, _ = labelled(on_failure=on_failure)
    result = walked(dag, B)["b"]["label"]
    assert (result.status, result.data, result.error_class) == ("failed", None, "refused")
    assert "not that" in result.message
    assert told in result.message


def test_on_failure_helps_against_a_users_own_exception_and_not_against_a_skip():
    dag, _ = make_dag(["yes"])

    @dag.dimension(on_failure="none", skip_if=lambda item: item.content == "fine")
    def analyze(item):
        return item.metadata["x"]

    results = walked(dag, A, B)
    assert (results["a"]["analyze"].status, results["b"]["analyze"].status) == ("skipped", "fallback")
    assert results["b"]["analyze"].data == "none"


def test_a_validator_that_breaks_on_the_value_of_on_failure_fails_the_item():
    class Strict(BaseModel):
        label: str

        @field_validator("label")
        @classmethod
        def check(cls, value):
            if value == "odd":
                raise KeyError(value)
            return value

    dag, _ = make_dag(answered(by_content))

    @dag.dimension(output=Strict, on_failure=lambda error: {"label": "odd"})
    def label(item):
        return item.content

    result = walked(dag, B)["b"]["label"]
    assert result.status == "failed"
    assert "KeyError: 'odd'" in result.message


def test_a_prompt_function_sees_typed_answers():
    dag, provider = make_dag(answered(lambda prompt: {"value": "red"} if prompt == "color" else "ok"))

    @dag.dimension(output=Color)
    def color(item):
        return "color"

    @dag.dimension
    def follow(item, color):
        return f"{color is Color.RED}"

    results = walked(dag, A)["a"]
    assert results["color"].data == "red"
    assert prompt_of(provider.requests[-1]) == "True"


def test_an_answer_that_is_null_is_an_answer():
    dag, provider = make_dag(answered(lambda prompt: {"value": None} if prompt == "maybe" else "ok"))

    @dag.dimension(output=int | None)
    def maybe(item):
        return "maybe"

    @dag.dimension
    def follow(item, maybe):
        return f"next {maybe}"

    results = walked(dag, A)["a"]
    assert (results["maybe"].status, results["maybe"].data, results["follow"].status) == ("ok", None, "ok")
    assert prompt_of(provider.requests[-1]) == "next None"
