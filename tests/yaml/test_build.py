"""Dag files → the `Dag` of the Python API."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from helpers.places import ROOT
from pydantic import BaseModel

from beam_llmdag import Dag, GraphError, Item, Message, Model, Price, load_dag
from beam_llmdag.graph.dimension import Function
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider
from beam_llmdag.yaml.build import parse_dag
from beam_llmdag.yaml.file_model import ComputeFile, DimensionFile, ModelFile, PriceFile, dag_file_schema
from pipelines.models import Models
from pipelines.review_analysis import Sentiment, Spam, Summary, Topics, review_dag

CHEAP = Model("anthropic:claude-haiku-4-5", fallbacks=["openai:gpt-5-mini"])
STRONG = Model("anthropic:claude-sonnet-4-5", fallbacks=["openai:gpt-5-mini"])


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the user's that dag files can name."""
    (tmp_path / "named_in_yaml.py").write_text(NAMED, encoding="utf-8")
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('no licence')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


NAMED = """
from enum import Enum
from beam_llmdag.testing import ScriptedProvider

class Outer:
    class Mood(Enum):
        GOOD = "good"
        BAD = "bad"

def join(parts):
    return "; ".join(parts)

def groups(items, overview):
    return {"all": [item.id for item in items]}

def answer(request):
    return request.messages[-1].content

echo = ScriptedProvider(answer)
number = 3
"""


def dag_of(text: str) -> Dag:
    return parse_dag(text, "x.dag.yaml")


def error_of(dimensions: str, head: str = "name: x\nmodel: openai:gpt-5-mini\n") -> str:
    """The error of a dag file whose dimensions begin on line 4."""
    with pytest.raises(GraphError) as caught:
        dag_of(f"{head}dimensions:\n{dimensions}")
    return str(caught.value)


@pytest.mark.parametrize("plan", ["staged", "pipelined"])
def test_the_example_is_the_dag_of_the_review_pipeline(plan: Any) -> None:
    from_file = load_dag(ROOT / "examples/reviews.dag.yaml")
    from_python = review_dag(Models(first=CHEAP, main=STRONG))
    assert from_file.explain(plan) == from_python.explain(plan)
    assert json.loads(from_file.to_json()) == json.loads(from_python.to_json())
    assert {n: d.models for n, d in from_file.dimensions.items()} == {
        n: d.models for n, d in from_python.dimensions.items()
    }


def test_the_prompts_of_the_example_are_those_of_the_review_pipeline() -> None:
    from_file = load_dag(ROOT / "examples/reviews.dag.yaml")
    from_python = review_dag(Models(first=CHEAP, main=STRONG))
    known = {
        "item": Item("1", "Boils {fast}.\nFine & dandy."),
        "filter_spam": Spam(kind="review"),
        "sentiment": Sentiment(label="positive", confidence=1),
        "topics": Topics(topics=["speed", "noise"]),
        "summary": Summary(summary="Good."),
    }

    def prompts(dag: Dag) -> list[Any]:
        return [called(step.function, known) for step in dag.dimensions.values()]

    assert prompts(from_file) == prompts(from_python)


def called(function: Function, known: dict[str, Any]) -> Any:
    return function.call(**{name: known[name] for name in function.parameters})


def test_a_file_knows_every_option_of_the_python_api() -> None:
    options = set(inspect.signature(Dag.dimension).parameters) - {"self", "function", "name"}
    assert set(DimensionFile.model_fields) == options | {"prompt", "merge"}
    computed = set(inspect.signature(Dag.compute).parameters) - {"self", "function", "name"}
    assert set(ComputeFile.model_fields) == computed | {"compute"}
    for file, known in ((ModelFile, Model), (PriceFile, Price)):
        assert set(file.model_fields) == {field.name for field in dataclasses.fields(known)}


@pytest.mark.parametrize(("file", "known"), [(ModelFile, Model), (PriceFile, Price)])
def test_defaults_of_a_file_are_those_of_the_python_api(file: type[BaseModel], known: Any) -> None:
    defaults = {f.name: f.default for f in dataclasses.fields(known) if f.default is not dataclasses.MISSING}
    shown = {name: field.default for name, field in file.model_fields.items() if not field.is_required()}
    assert {name: shown[name] for name in defaults if defaults[name] != ()} == {
        n: d for n, d in defaults.items() if d != ()
    }


def test_options_reach_the_dimension(named: None) -> None:
    dag = dag_of(
        """
name: x
prices: {"scripted:a": {input: 1, output: 2.5, since: 2026-01-31}}
providers: {scripted: named_in_yaml.echo}
dimensions:
  first:
    model: {spec: "scripted:a", temperature: 0, fallbacks: ["scripted:b", {spec: "scripted:c", max_tokens: 9}]}
    output: named_in_yaml.Outer.Mood
    on_failure: bad
    deadline_seconds: 3.5
    system: Be brief.
    prompt: "{{ item.content }}"
  second:
    model: scripted:a
    after: [first]
    on_missing: run
    prompt: x
"""
    )
    first, second = dag.dimensions.values()
    assert isinstance(first.model, Model)
    assert [(m.spec, m.temperature, m.max_tokens) for m in first.model.chain()] == [
        ("scripted:a", 0, None),
        ("scripted:b", None, None),
        ("scripted:c", None, 9),
    ]
    assert (first.on_failure, first.deadline_seconds, first.system) == ("bad", 3.5, "Be brief.")
    assert (second.after, second.on_missing, second.output.is_text) == (("first",), "run", True)
    assert dag.prices.own["scripted:a"] == Price(input=1, output=2.5, since=date(2026, 1, 31))


def test_null_is_a_value_of_on_failure_and_leaving_it_out_is_none() -> None:
    shape = "output: {type: [object, 'null'], properties: {a: {type: string}}}"
    dag = dag_of(
        f"name: x\nmodel: openai:m\ndimensions:\n  a: {{prompt: x, on_failure: null, {shape}}}\n  b: {{prompt: x}}"
    )
    assert dag.dimensions["a"].on_failure is None
    assert repr(dag.dimensions["b"].on_failure) == "ABSENT"


def run(text: str, items: Sequence[Any], answers: Any) -> Any:
    """Runs a dag file whose models are all scripted."""
    provider = ScriptedProvider(answers)
    dag = dag_of(text)
    dag.providers["openai"] = provider
    return dag.run(items, store=False, progress=False)


def last(request: Request) -> str:
    return str(request.messages[-1].content)


GLOBAL = """
name: x
model: openai:m
dimensions:
  mood:
    output: {type: string, enum: [yes, no]}
    prompt: "{{ item.content }}"
  reply:
    skip_if: mood == "no"
    model:
      - if: item.metadata.big
        use: openai:big
      - use: openai:small
    prompt:
      - {role: system, content: "Item {{ item.id }}"}
      - {role: user, content: "Say {{ mood }}"}
  overview:
    scope: global
    per: mood
    prompt: |
      {% for i, m in zip(items, mood) %}
      {{ i.id }}={{ m }}
      {% endfor %}
"""


def test_a_dag_file_runs_as_any_dag_does() -> None:
    def answer(request: Request) -> str:
        content = last(request)
        return json.dumps({"value": content}) if request.output else f"{request.model.name} {request.system} {content}"

    report = run(GLOBAL, [Item("1", "yes", {"big": True}), Item("2", "yes", {"big": False}), Item("3", "no")], answer)
    replies = [row.results["reply"] for row in sorted(report.items, key=lambda row: row.item.id)]
    assert [reply.data for reply in replies] == ["big Item 1 Say yes", "small Item 2 Say yes", None]
    assert replies[2].reason == "its skip_if is true"
    assert {g.item_id: g.data for g in report.globals} == {"yes": "m None 1=yes\n2=yes", "no": "m None 3=no"}


def test_a_long_global_is_merged_by_a_template() -> None:
    text = """
name: x
model: openai:m
dimensions:
  overview:
    scope: global
    max_prompt_tokens: 40
    prompt: "{% for item in items %}{{ item.content }} {% endfor %}"
    merge: "Join: {% for part in parts %}{{ part }},{% endfor %}"
"""
    report = run(text, [Item(str(n), "word " * 10) for n in range(4)], lambda request: last(request)[:5].strip())
    assert [result.data for result in report.globals] == ["Join:"]


def test_merges_and_regroups_can_be_python_functions(named: None) -> None:
    dag = dag_of(
        """
name: x
model: openai:m
dimensions:
  overview: {scope: global, prompt: "{{ items | length }}", merge: {function: named_in_yaml.join}}
  about: {over: groups, prompt: "{{ item.content }}"}
regroups:
  groups: {function: named_in_yaml.groups}
"""
    )
    merge = dag.dimensions["overview"].merge_prompt
    assert merge is not None
    assert merge.call(["a", "b"]) == "a; b"
    assert dag.levels() == [["overview"], ["groups"], ["about"]]


def test_messages_keep_their_roles_and_name_what_they_need() -> None:
    dag = dag_of(GLOBAL)
    prompt = dag.dimensions["reply"].function
    assert set(prompt.parameters) == {"item", "mood"}
    assert called(prompt, {"item": Item("1", ""), "mood": "yes"}) == [
        Message("system", "Item 1"),
        Message("user", "Say yes"),
    ]


@pytest.mark.parametrize(
    ("dimensions", "message"),
    [
        ("  a:\n    promt: x", "5: dimension 'a': unknown key 'promt'; did you mean 'prompt'?"),
        ("  a: {prompt: x, zzz: 1}", "4: dimension 'a': unknown key 'zzz'; known ones are prompt, output, scope, over"),
        ("  a:\n    prompt: x\n    attempts: yes", "6: attempts of dimension 'a': Input should be a valid integer"),
        ("  a:\n    scope: item", "4: dimension 'a': 'prompt' is missing"),
        ("  a: 3", "4: dimension 'a': a mapping is asked for: keys with their values"),
        ("  a: {prompt: x}\n  a: {prompt: y}", "5: the key 'a' is there twice, see line 4"),
        (
            "  a:\n    prompt: |\n\n      x\n      {{ b.x }}",
            "8: prompt of dimension 'a': 'b' is no dimension of this file",
        ),
        (
            "  abc: {prompt: x}\n  b:\n    prompt: x\n    skip_if: abd",
            "7: skip_if of dimension 'b': 'abd' is no dimension of this file; did you mean 'abc'?",
        ),
        (
            "  a:\n    prompt: '{{ items }}'",
            "5: prompt of dimension 'a': it is called for each item: its parameter is 'item'",
        ),
        ("  a:\n    prompt: x\n    after: [b]", "4: dimension 'a' needs 'b', which is no dimension of dag 'x'"),
        ("  b: {prompt: '{{ a }}'}\n  a: {prompt: '{{ b }}'}", "4: the dimensions form a cycle: b → a → b"),
        (
            "  a:\n    prompt: x\n    effort: lots",
            "6: effort of dimension 'a': Input should be 'minimal', 'low', 'medium' or 'high'",
        ),
        ("  a:\n    prompt: x\n    attempts: 0", "6: dimension 'a': attempts must be positive, not 0"),
        ("  a:\n    prompt: x\n    on_failure: 3", "6: dimension 'a': the value of on_failure does not fit its output"),
        ("  a:\n    prompt: x\n    system: Hi {{ item.id }}", "6: system of dimension 'a' is no template"),
        ("  a:\n    prompt: x\n    on_failure: '{{ item.id }}'", "6: on_failure of dimension 'a' is no template"),
        ("  a:\n    prompt: x\n    output: {type: objct}", "6: dimension 'a': the output is no valid JSON schema"),
        ("  a:\n    prompt: x\n    output: Sentiment", "6: output of dimension 'a': 'Sentiment' is no dotted path"),
        (
            "  a:\n    prompt: x\n    output: nosuch.Sentiment",
            "6: output of dimension 'a': 'nosuch.Sentiment': there is no module 'nosuch' here",
        ),
        (
            "  a:\n    prompt: x\n    output: named_in_yaml.Outer.Moos",
            "6: output of dimension 'a': 'named_in_yaml.Outer.Moos': the object 'named_in_yaml.Outer' has no 'Moos'",
        ),
        (
            "  a:\n    prompt: x\n    output: broken_module.X",
            "6: output of dimension 'a': 'broken_module.X': importing 'broken_module' raised RuntimeError: no",
        ),
        ("  a:\n    prompt: x\n    output: named_in_yaml.number", "6: dimension 'a': an output is a pydantic class"),
        (
            "  a:\n    prompt: x\n    merge: '{{ parts }}'",
            "6: merge of dimension 'a': only a global dimension has parts to merge",
        ),
        (
            "  a:\n    prompt: x\n    scope: global\n    merge: '{{ bits }}'",
            "7: merge of dimension 'a' takes one parameter, 'parts', not bits",
        ),
        (
            "  a:\n    prompt: x\n    scope: global\n    merge: {function: named_in_yaml.number}",
            "7: merge of dimension 'a': 'named_in_yaml.number' is a int",
        ),
        ("  a:\n    prompt: x\n    model: gpt", "6: dimension 'a': model 'gpt': write it as 'provider:name'"),
        (
            "  a:\n    prompt: x\n    model: {spec: 'nobody:m'}",
            "6: dimension 'a', model 'nobody:m': no provider 'nobody'",
        ),
        (
            "  a:\n    prompt: x\n    model:\n    - {use: 'openai:m'}\n    - {use: 'openai:n'}",
            "7: model of dimension 'a': every choice of a model has an 'if'",
        ),
        ("  a:\n    prompt: x\n    model: []", "6: model of dimension 'a': the list of choices is empty"),
        ("  zip: {prompt: x}", "4: dimension 'zip': templates have a function of that name; choose another"),
        ("  item: {prompt: x}", "4: dimension 'item': the name is taken by the package"),
        ("  a-b: {prompt: x}", "4: dimension 'a-b': a name is a Python identifier"),
    ],
)
def test_errors_name_file_line_and_dimension(named: None, dimensions: str, message: str) -> None:
    assert error_of(dimensions).startswith(f"x.dag.yaml:{message}")


def test_all_wrong_keys_and_values_are_told_at_once() -> None:
    assert error_of("  a: {prompt: x, scope: all}\n  b:\n    prompt: 3").splitlines() == [
        "x.dag.yaml:4: scope of dimension 'a': Input should be 'item' or 'global'",
        "x.dag.yaml:6: prompt of dimension 'b': Input should be a valid string",
    ]


def test_a_file_that_is_no_dag_is_an_error() -> None:
    with pytest.raises(GraphError, match=r"x.dag.yaml:1: a mapping is asked for"):
        dag_of("- a")
    with pytest.raises(GraphError, match=r"x.dag.yaml:1: unknown key 'pipeline'; known ones are name, model"):
        dag_of("pipeline:\n  type: chain")


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"nothing.yaml: the file cannot be read: FileNotFoundError"):
        load_dag(tmp_path / "nothing.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: Käse".encode("latin-1"))
    with pytest.raises(GraphError, match=r"latin.yaml: the file is no UTF-8 text"):
        load_dag(tmp_path / "latin.yaml")


def test_the_shipped_json_schema_is_that_of_the_code() -> None:
    """If this fails: `llmdag schema > beam_llmdag/yaml/dag.schema.json`."""
    shipped = json.loads((ROOT / "beam_llmdag/yaml/dag.schema.json").read_text(encoding="utf-8"))
    assert shipped == dag_file_schema()


def test_the_json_schema_accepts_the_examples_and_rejects_a_wrong_key() -> None:
    import jsonschema
    import yaml

    validator = jsonschema.Draft202012Validator(dag_file_schema())
    example = yaml.safe_load((ROOT / "examples/reviews.dag.yaml").read_text(encoding="utf-8"))
    assert list(validator.iter_errors(example)) == []
    example["dimensions"]["sentiment"]["promt"] = "x"
    [error] = validator.iter_errors(example)
    told = [inner.message for inner in error.context if inner.validator == "additionalProperties"]
    assert "('promt' was unexpected)" in told[0]


def test_every_key_is_described_to_editors() -> None:
    schema = dag_file_schema()
    parts: list[Literal["properties"] | Any] = [schema, *schema["$defs"].values()]
    assert [name for part in parts for name, key in part["properties"].items() if "description" not in key] == []
