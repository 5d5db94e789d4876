"""YAML as plain data with lines."""

from __future__ import annotations

import pytest

from beam_llmdag.errors import GraphError
from beam_llmdag.yaml.document import parse_yaml


def error_of(text: str) -> str:
    with pytest.raises(GraphError) as caught:
        parse_yaml(text, "x.dag.yaml")
    return str(caught.value)


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "007", "12:30", "2026-01-01", "1_000", "0x1f", ".inf", "y"])
def test_what_only_yaml_1_1_reads_as_something_else_is_text(word: str) -> None:
    assert parse_yaml(f"key: {word}\n{word}: key", "f").value == {"key": word, word: "key"}


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("False", False), ("3", 3), ("-0.5", -0.5), ("1e3", 1000.0), ("null", None), ("~", None)],
)
def test_numbers_truth_and_null_are_what_json_has(text: str, value: object) -> None:
    read = parse_yaml(f"key: {text}", "f").value["key"]
    assert (read, type(read)) == (value, type(value))


def test_quotes_make_a_text_of_everything() -> None:
    assert parse_yaml("a: '3'\nb: \"true\"\nc: !!str 7", "f").value == {"a": "3", "b": "true", "c": "7"}


def test_every_value_knows_its_line_and_every_text_the_line_of_its_first_line() -> None:
    document = parse_yaml("a:\n  - x: 1\n    y: |\n      first\n\n  - z: 'text'\n", "f")
    assert document.lines[("a", 0, "y")] == 3
    assert document.first_lines[("a", 0, "y")] == 4
    assert document.first_lines[("a", 1, "z")] == document.line(("a", 1, "z", "deeper")) == 6


def test_an_alias_stands_for_what_it_names() -> None:
    assert parse_yaml("a: &x [1]\nb: *x", "f").value == {"a": [1], "b": [1]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "x.dag.yaml:3: the key 'a' is there twice, see line 1"),
        ("a:\n  1: x", "x.dag.yaml:2: the key 1 is no text; put it in quotes"),
        ("a:\n  [x]: 1", "x.dag.yaml:2: a key is no text; put it in quotes"),
        (
            "a: !!python/name:os.system x",
            "x.dag.yaml:1: the tag 'tag:yaml.org,2002:python/name:os.system' is not known",
        ),
        ("a: !!int x", "x.dag.yaml:1: 'x' is no int"),
        ("a: &x\n  b: *x", "x.dag.yaml:2: an alias stands inside of what it names"),
        ("a: *x", "x.dag.yaml:1: no YAML: found undefined alias 'x'"),
        ("a:\n\t- b", "x.dag.yaml:2: no YAML: while scanning for the next token found character '\\t'"),
        ("a: [1", "x.dag.yaml:1: no YAML: while parsing a flow sequence"),
        ("a: 1\n---\nb: 1", "x.dag.yaml:2: no YAML: expected a single document"),
        ("a: \x00", "x.dag.yaml:1: no YAML: "),
        ("# nothing", "x.dag.yaml:1: the file is empty"),
    ],
)
def test_errors_name_file_and_line(text: str, message: str) -> None:
    assert error_of(text).startswith(message)
