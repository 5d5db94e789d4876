"""Cases of the kind parsing: what stands in an answer besides the answer, and what JSON can do to a reader."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import pytest
from helpers.calls import ask, classes, make_caller, question
from pydantic import BaseModel

from beam_llmdag import CallError, Model
from beam_llmdag.outputs.output import Output
from beam_llmdag.outputs.reading import LONGEST_ANSWER, read_answer
from beam_llmdag.testing import ScriptedProvider


class Tone(BaseModel):
    tone: Literal["warm", "cold"]


class Counts(BaseModel):
    counts: list[int]


class Tally(BaseModel):
    tally: dict[str, int]


class Price(BaseModel):
    amount: Decimal
    parts: list[Decimal | None] = []
    by_shop: dict[str, Decimal] = {}
    inner: Price | None = None
    rate: float = 0.0
    note: Any = None


def error_of(text: str, output: Any) -> CallError:
    with pytest.raises(CallError) as raised:
        read_answer(text, Output(output))
    return raised.value


OPENINGS = [
    "<think >",
    '<thinking depth="2">',
    "<THINK\n>",
    "< think>",
    "[THINK]",
    "◁think▷",
    "<seed:think>",
    "<antthinking>",
    "<|think|>",
    "<|begin_of_thought|>",
    "<|START_THINKING|>",
    "<|channel|>analysis<|message|>",
    "<|channel|>commentary to=tool<|message|>",
    "<unused94>thought\n",
    "<thought_process>",
]
NOTES = ["<analysis>", "<reflection>", "<scratchpad>", "<chain_of_thought>"]
PAIRS = [
    ("<think\n>", "</think\n>"),
    ('<thinking depth="2">', "</thinking >"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<seed:think>", "</seed:think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<unused94>thought\n", "<unused95>"),
]


@pytest.mark.parametrize("opening", [*OPENINGS, *NOTES])
def test_a_draft_in_thinking_of_any_spelling_is_not_the_answer(opening: str) -> None:
    """Case parsing-51."""
    error = error_of(f'{opening}maybe {{"tone": "warm"}}, but then', Tone)
    assert error.error_class == "invalid_answer"
    assert "thinking" in error.message


@pytest.mark.parametrize(("opening", "closing"), [*PAIRS, ("<analysis>", "</analysis>")])
def test_the_answer_behind_thinking_of_any_spelling_is_found(opening: str, closing: str) -> None:
    """Case parsing-51."""
    text = f'{opening}maybe {{"tone": "warm"}}{closing}{{"tone": "cold"}}'
    assert read_answer(text, Output(Tone)) == {"tone": "cold"}


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
def test_thinking_of_any_spelling_is_no_part_of_a_text(opening: str, closing: str) -> None:
    """Case parsing-51."""
    assert read_answer(f"{opening}hm{closing}The parcel came late.", Output(str)) == "The parcel came late."
    assert "thinking" in error_of(f"{opening}all of it is thought", str).message


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Perhaps not.</think>The parcel came late.", "The parcel came late."),
        ("Perhaps not.</think>\nThe parcel came late.", "The parcel came late."),
        ("Write <think> in front.", "Write <think> in front."),
        ("It ends with </think>, as always.", "It ends with </think>, as always."),
        ("<analysis>Late.</analysis><verdict>bad</verdict>", "<analysis>Late.</analysis><verdict>bad</verdict>"),
        ("<thinker>Rodin</thinker>", "<thinker>Rodin</thinker>"),
        ("<think/>Fine.", "<think/>Fine."),
    ],
)
def test_a_text_keeps_tags_that_it_is_about(text: str, answer: str) -> None:
    """Case parsing-51."""
    assert read_answer(text, Output(str)) == answer


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("form", ["{}", "Here: {}", "```json\n{}\n```"])
def test_thousands_of_digits_name_the_field_and_the_remedy(form: str, sign: str) -> None:
    """Case parsing-52."""
    error = error_of(form.format('{"counts": [3, ' + sign + "7" * 6200 + "]}"), Counts)
    assert error.error_class == "invalid_answer"
    assert "counts[1]: a number of 6200 digits does not fit 64 bits" in error.message
    assert "set_int_max_str_digits" not in error.message
    assert "7" * 250 not in error.message


@pytest.mark.parametrize("digits", [25, 4000])
def test_a_number_beyond_64_bits_is_told_without_all_its_digits(digits: int) -> None:
    """Case parsing-52."""
    message = error_of('{"counts": [' + "7" * digits + "]}", Counts).message
    assert "64 bits" in message
    assert len(message) < 200


def test_thousands_of_digits_beside_the_answer_do_no_harm_or_are_named() -> None:
    """Case parsing-52."""
    assert "seed" in error_of('{"counts": [1], "seed": ' + "7" * 6200 + "}", Counts).message
    assert "seed" in error_of('{"counts": [1], "seed": ' + "7" * 6200 + "}", Counts.model_json_schema()).message


def test_a_model_is_told_that_its_number_is_too_large() -> None:
    """Case parsing-52."""
    provider = ScriptedProvider(['{"counts": [3, ' + "7" * 6200 + "]}", '{"counts": [3, 7]}'])
    [reply] = ask(
        make_caller({"scripted": provider}), question(output=Output(Counts), model=Model("scripted:a", attempts=2))
    )
    assert reply.data == {"counts": [3, 7]}
    assert classes(reply) == ["invalid_answer", None]
    complaint = str(provider.requests[1].messages[-1].content)
    assert "counts[1]: a number of 6200 digits" in complaint
    assert "set_int_max_str_digits" not in complaint


@pytest.mark.parametrize(
    "text",
    [
        r'{"tally": {"x\udc01": 1, "x\udc02": 2}}',
        r'Here: {"tally": {"x\udc01": 1, "x\udc02": 2}}',
        r'{"tally": [{"key": "x\udc01", "value": 1}, {"key": "x\udc02", "value": 2}]}',
    ],
)
@pytest.mark.parametrize("output", [Tally, Tally.model_json_schema()], ids=["class", "schema"])
def test_keys_that_become_one_lose_no_value(text: str, output: Any) -> None:
    """Case parsing-53."""
    error = error_of(text, output)
    assert error.error_class == "invalid_answer"
    assert "tally" in error.message
    assert "twice" in error.message


def test_keys_that_become_one_with_one_value_are_one() -> None:
    """Case parsing-53."""
    assert read_answer('{"tally": {"x\\udc01": 1, "x\ufffd": 1}}', Output(Tally)) == {"tally": {"x\ufffd": 1}}


def test_an_answer_beyond_all_bounds_is_not_read() -> None:
    """Also one that would be good."""
    text = '{"counts": [1]}' + " " * LONGEST_ANSWER
    error = error_of(text, Counts)
    assert error.error_class == "invalid_answer"
    assert f"{len(text):,} characters" in error.message
    assert error_of("x" * (LONGEST_ANSWER + 1), str).error_class == "invalid_answer"


def test_a_text_of_very_many_json_values_is_not_read_to_its_end() -> None:
    text = " ".join(f'{{"no": {number}}}' for number in range(1100))
    assert "1000 JSON values" in error_of(text, Counts).message


EXACT = "12345678901234567890.12"


@pytest.mark.parametrize("form", ["{}", "Here: {}", "```json\n{}\n```"])
@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        (f'{{"amount": {EXACT}}}', "amount", EXACT),
        (f'{{"amount": "{EXACT}"}}', "amount", EXACT),
        ('{"amount": 0.1234567890123456789012}', "amount", "0.1234567890123456789012"),
        ('{"amount": 1234567890123456789012345}', "amount", "1234567890123456789012345"),
        (f'{{"amount": 1, "parts": [1.5, {EXACT}, null]}}', "parts", ["1.5", EXACT, None]),
        (f'{{"amount": 1, "by_shop": {{"a": {EXACT}}}}}', "by_shop", {"a": EXACT}),
        (f'{{"amount": 1, "by_shop": [{{"key": "a", "value": {EXACT}}}]}}', "by_shop", {"a": EXACT}),
        (f'{{"amount": 1, "rate": {EXACT}}}', "rate", float(EXACT)),
        (f'{{"amount": 1, "note": [{EXACT}]}}', "note", [float(EXACT)]),
    ],
)
def test_a_decimal_is_exact_and_a_float_is_a_float(text: str, field: str, expected: Any, form: str) -> None:
    """Case parsing-41."""
    assert read_answer(form.format(text), Output(Price))[field] == expected


def test_a_decimal_in_an_object_in_an_object_is_exact() -> None:
    """Case parsing-41."""
    data = read_answer(f'{{"amount": 1, "inner": {{"amount": {EXACT}}}}}', Output(Price))
    assert data["inner"]["amount"] == EXACT
    assert read_answer(f'{{"value": {EXACT}}}', Output(Decimal)) == EXACT
    assert read_answer(EXACT, Output(Decimal)) == EXACT


def test_what_a_json_schema_calls_a_number_is_a_plain_float() -> None:
    """Kind of parsing-41: nothing of how it was read is left in the data."""
    output = {"type": "object", "properties": {"rate": {"type": "number"}}}
    assert type(read_answer(f'{{"rate": {EXACT}}}', Output(output))["rate"]) is float
