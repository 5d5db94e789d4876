"""Jinja templates and expressions as functions."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest
from pydantic import BaseModel

from beam_llmdag.errors import GraphError
from beam_llmdag.records.item import Item
from beam_llmdag.run.user_code import Failed
from beam_llmdag.yaml.template import Expression, Template, Text


class Mood(BaseModel):
    label: str
    words: list[str] = []


def text(source: str, label: str = "prompt of dimension 'mood'") -> Text:
    return Text(source=source, file="x.dag.yaml", line=10, label=label)


def rendered(source: str, **values: Any) -> str:
    return Template(text(source))(**values)


def test_variables_are_parameters_in_the_order_of_their_first_use() -> None:
    template = Template(text("{% for word in mood.words %}{{ word }}{{ zebra }}{% endfor %}\n{{ apple }}{{ mood }}"))
    assert list(inspect.signature(template).parameters) == ["mood", "zebra", "apple"]
    assert template.lines == {"mood": 10, "zebra": 10, "apple": 11}


def test_data_is_never_a_template() -> None:
    content = "{{ 7 * 7 }} {% raw %} {braces} {0} %s"
    assert rendered("<{{ item.content }}>", item=Item("1", content)) == f"<{content}>"


def test_data_is_not_escaped() -> None:
    assert rendered("{{ item.content }}", item=Item("1", "<b> & 'x'")) == "<b> & 'x'"


def test_lines_with_blocks_alone_leave_nothing_behind() -> None:
    source = "Moods:\n{% for i, m in zip(items, mood) %}\n  {{ i.id }}: {{ m.label }}\n{% endfor %}\nEnd\n"
    assert rendered(source, items=[Item("1", ""), Item("2", "")], mood=[Mood(label="a"), Mood(label="b")]) == (
        "Moods:\n  1: a\n  2: b\nEnd"
    )


def test_tojson_writes_answers_and_metadata_as_they_are() -> None:
    assert rendered("{{ x | tojson }}", x=Mood(label="<ü>", words=["a"])) == '{"label": "<ü>", "words": ["a"]}'


def test_a_field_of_a_dict_comes_before_its_methods() -> None:
    assert rendered("{{ x.values }} {{ x['items'] }} {{ x.keys }}", x={"values": 1, "items": 2, "keys": 3}) == "1 2 3"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "\n{{ x.nothing }}",
            "UndefinedError: 'test_template.Mood object' has no attribute 'nothing' (x.dag.yaml, line 11)",
        ),
        ("{{ x.__class__ }}", "SecurityError: access to attribute '__class__' of 'Mood' object is unsafe"),
        ("{{ x.words.append(1) }}", "SecurityError: "),
        ("{{ x.label.count }}", "TypeError: 'count' is a method, and no field: call it, or name a field"),
        ("\n\n{{ x.label | round }}", "TypeError: "),
    ],
)
def test_what_a_template_may_not_do_is_an_error_that_names_the_line(source: str, said: str) -> None:
    with pytest.raises(Failed) as caught:
        rendered(source, x=Mood(label="good"))
    message = caught.value.error.message
    assert said.partition("test_template.")[0] in message
    assert message.startswith("prompt of dimension 'mood' raised ")
    assert message.endswith(f" (x.dag.yaml, line {10 + source.count(chr(10))})")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("\n{{ x", "x.dag.yaml:11: prompt of dimension 'mood': unexpected end of template"),
        ("{{ x | nosuch }}", "x.dag.yaml:10: prompt of dimension 'mood': No filter named 'nosuch'."),
        ("{{ x | random }}", "x.dag.yaml:10: prompt of dimension 'mood': No filter named 'random'."),
        ("{% include 'x' %}", "x.dag.yaml:10: prompt of dimension 'mood': a template of a dag file cannot include"),
        ("{% include x %}", "x.dag.yaml:10: prompt of dimension 'mood': a template of a dag file cannot include"),
    ],
)
def test_a_wrong_template_is_an_error_before_any_call(source: str, message: str) -> None:
    with pytest.raises(GraphError) as caught:
        Template(text(source))
    assert str(caught.value).startswith(message)


def test_an_expression_keeps_the_type_of_its_value() -> None:
    assert (
        Expression(text("mood.label == 'good' and mood.words | length > 1"))(mood=Mood(label="good", words=["a", "b"]))
        is True
    )
    assert Expression(text("mood.words"))(mood=Mood(label="x", words=["a"])) == ["a"]


def test_an_expression_over_a_field_that_is_not_there_is_an_error() -> None:
    with pytest.raises(Failed, match=r"has no attribute 'nothing' \(x.dag.yaml, line 10\)"):
        Expression(text("mood.nothing", "skip_if of dimension 'x'"))(mood=Mood(label="x"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ mood.label }}", "it is an expression: write it without the braces"),
        ("mood ==", "unexpected 'end of template'"),
        ("a) %}{{ b }}{% set c = (1", "unexpected ')'"),
    ],
)
def test_a_wrong_expression_is_an_error_before_any_call(source: str, message: str) -> None:
    with pytest.raises(GraphError) as caught:
        Expression(text(source, "skip_if of dimension 'x'"))
    assert str(caught.value) == f"x.dag.yaml:10: skip_if of dimension 'x': {message}"


def test_templates_and_expressions_travel_to_workers() -> None:
    template, expression = pickle.loads(pickle.dumps((Template(text("{{ a }}")), Expression(text("a + 1")))))
    assert (template(a=1), expression(a=1)) == ("1", 2)
