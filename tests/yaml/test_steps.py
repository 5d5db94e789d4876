"""Computed steps and samples in dag files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from beam_llmdag import GraphError, Item
from beam_llmdag.testing import ScriptedProvider
from beam_llmdag.yaml.build import parse_dag

ITEMS = [Item("1", "good"), Item("2", "bad")]

MOODS = """
name: x
model: openai:m
dimensions:
  mood:
    output: {type: object, properties: {label: {enum: [good, bad]}}, required: [label]}
    prompt: "{{ item.content }}"
  praise:
    skip_if: mood.label == "bad"
    prompt: "praise {{ item.id }}"
  comfort:
    skip_if: mood.label == "good"
    prompt: "comfort {{ item.id }}"
"""


@pytest.fixture(autouse=True)
def _functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "steps_in_yaml.py").write_text(
        "def longest(answers):\n    return max(answers, key=len)\n\n"
        "def shout(praise, comfort):\n    return (praise or comfort).upper()\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def results_of(run: Any, text: str) -> Any:
    dag = parse_dag(text, "x.dag.yaml")

    def answer(request: Any) -> Any:
        said = str(request.messages[-1].content) + "!" * request.sample
        return {"label": said.rstrip("!")} if request.output else said

    dag.providers["openai"] = ScriptedProvider(answer)
    return run.everywhere(dag, ITEMS)


def test_an_expression_makes_a_value_of_others(run: Any) -> None:
    done = results_of(
        run,
        f"""{MOODS}
  reply:
    compute: praise or comfort
    on_missing: run
    output: text
  card:
    compute: '{{"id": item.id, "text": reply | upper}}'
  tally:
    scope: global
    compute: mood | map(attribute="label") | list | sort
  per_mood:
    scope: global
    per: mood.label
    compute: items | length
  rank:
    prompt: "{{{{ card.text }}}} of {{{{ tally | length }}}}"
""",
    )
    assert done.data("reply") == {"1": "praise 1", "2": "comfort 2"}
    assert done.data("card")["1"] == {"id": "1", "text": "PRAISE 1"}
    assert done.data("rank") == {"1": "PRAISE 1 of 2", "2": "COMFORT 2 of 2"}
    results = {(result.dimension, result.item_id): result.data for result in done.globals}
    assert results == {("tally", ""): ["bad", "good"], ("per_mood", "bad"): 1, ("per_mood", "good"): 1}


def test_a_python_function_makes_a_value_or_votes(run: Any) -> None:
    done = results_of(
        run,
        f"""{MOODS}
  reply:
    compute: {{function: steps_in_yaml.shout}}
    on_missing: run
  often: {{samples: 3, prompt: "{{{{ item.id }}}}"}}
  elected: {{samples: 3, vote: majority, prompt: "{{{{ item.id }}}}"}}
  longest:
    samples: 3
    vote: {{function: steps_in_yaml.longest}}
    prompt: "{{{{ item.id }}}}"
""",
    )
    assert done.data("reply") == {"1": "PRAISE 1", "2": "COMFORT 2"}
    assert done.data("often") == {"1": ["1", "1!", "1!!"], "2": ["2", "2!", "2!!"]}
    assert done.data("elected") == {"1": "1", "2": "2"}
    assert done.data("longest") == {"1": "1!!", "2": "2!!"}


def test_an_expression_that_fails_names_its_line(run: Any) -> None:
    done = results_of(run, f"{MOODS}  broken:\n    compute: item.metadata.nothing.there\n")
    [failure] = [failure for failure in done.failures if failure.item_id == "1"]
    assert (failure.error_class, failure.dimension) == ("user_function", "broken")
    assert "x.dag.yaml, line 15" in failure.message


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("compute: mod.label", "'mod' is no dimension of this file; did you mean 'mood'"),
        ("compute: mood.lable", "label"),
        ("compute: '{{ mood.label }}'", "write it without the braces"),
        ("compute: mood.label\n    model: openai:m", "unknown key 'model'"),
        ("compute: mood.label\n    scop: global", "unknown key 'scop'; did you mean 'scope'?"),
        ("compute: {function: steps_in_yaml.nothing}", "steps_in_yaml"),
        ("compute: bad", "the dimensions form a cycle: bad → bad"),
        ("prompt: x\n    samples: 2\n    vote: median", "vote of dimension 'bad'"),
        ("prompt: x\n    vote: majority", "needs samples=3"),
    ],
)
def test_a_wrong_step_fails_when_the_file_is_loaded(step: str, told: str) -> None:
    with pytest.raises(GraphError) as caught:
        parse_dag(f"{MOODS}  bad:\n    {step}\n", "x.dag.yaml")
    assert str(caught.value).startswith("x.dag.yaml:1")
    assert told in str(caught.value)
