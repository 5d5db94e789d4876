"""Rules with gold answers."""

from __future__ import annotations

import json

import pytest

from beam_llmdag.testing import Reply, Rule, Simulator, load_rules
from beam_llmdag.testing.simulator.answers import RuleBook


def test_the_first_rule_whose_texts_all_occur_answers(raw):
    rules = [
        Rule(["spam?", "cheap pills"], answer={"spam": True}),
        Rule(["spam?"], answer={"spam": False}),
        Rule(["cheap"], answer="never reached by a spam question"),
    ]
    with Simulator(rules) as sim:
        assert raw.ask(sim, prompt="spam? buy cheap pills").text == '{"spam": true}'
        assert raw.ask(sim, prompt="spam? dear friend").text == '{"spam": false}'


def test_rules_look_at_the_system_text_too(raw, protocol):
    with Simulator([Rule(["You judge", "late"], answer="yes")]) as sim:
        assert raw.ask(sim, protocol, "It came late.", system="You judge reviews.").text == "yes"


def test_a_request_without_a_rule_is_a_bad_request_that_says_so(raw):
    with Simulator([Rule(["a"], answer="x"), Rule(["b"], answer="y")]) as sim:
        got = raw.ask(sim, prompt="c")
    assert got.status == 400
    assert got.json["error"]["message"] == "None of the simulator's 2 rules matches this request."


def test_a_rule_without_texts_matches_what_is_left_and_without_answer_makes_one_up(raw, label_schema):
    with Simulator([Rule(["known"], answer="x"), Rule([])]) as sim:
        assert raw.ask(sim, prompt="known").text == "x"
        assert json.loads(raw.ask(sim, prompt="?", schema=label_schema).text)["label"] in ("a", "b")


def test_a_rule_may_answer_with_a_reply(raw):
    with Simulator([Rule(["a"], answer=Reply(status=529))]) as sim:
        assert raw.ask(sim, prompt="a").status == 529


def test_a_gold_file_is_read_line_by_line(tmp_path):
    path = tmp_path / "gold.jsonl"
    path.write_text(
        '{"when": ["a", "é"], "answer": {"n": 12345678901234567890}}\n\n'
        '{"when": ["b"], "answer": "text"}\n{"when": ["c"], "answer": 3}\n{"when": []}\n',
        encoding="utf-8",
    )
    assert load_rules(path) == [
        Rule(["a", "é"], answer={"n": 12345678901234567890}),
        Rule(["b"], answer="text"),
        Rule(["c"], answer="3"),
        Rule([]),
    ]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"answer": 1}', '{"when": "a", "answer": 1}', '{"when": [], "anwser": 1}']
)
def test_a_line_that_is_no_rule_is_an_error_with_its_place(tmp_path, line):
    path = tmp_path / "gold.jsonl"
    path.write_text('{"when": ["a"], "answer": 1}\n' + line + "\n")
    with pytest.raises(ValueError, match=r"gold\.jsonl:2: "):
        load_rules(path)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("art", "party"),
        ("he quick brown f", "the quick brown fox"),
        ("naïve café au", "un naïve café aux"),
        ("!", "a!b"),
        ("foo_bar baz-qux", "xfoo_bar baz-quxy"),
        (" lone ", "a lone wolf"),
        ("line\nbreak here", "a line\nbreak here."),
    ],
)
def test_the_index_finds_every_text_that_contains_the_part(part, text):
    rules = [Rule([f"other {number} words here"], answer="no") for number in range(5)]
    assert RuleBook([*rules, Rule([part], answer="yes")]).find(text).answer == "yes"


def test_the_index_agrees_with_a_plain_search():
    sentences = [f"review {n % 7} says word{n % 13} and word{n % 5} is item{n}" for n in range(60)]
    rules = [Rule([f"word{n % 13} and", f"says word{n % 6}"], answer=str(n)) for n in range(80)]
    rules += [Rule([f"{n} says word{n % 13} and"], answer=f"second {n}") for n in range(20)]
    book = RuleBook(rules)
    plain = [next((r for r in rules if all(part in text for part in r.when)), None) for text in sentences]
    assert [book.find(text) for text in sentences] == plain
    assert any(rule is not None for rule in plain)
    assert any(rule is None for rule in plain)
