"""Which answers are taken from the text of a model, and which are refused."""

import json
import time
from typing import Any, Literal

import pytest
from pydantic import BaseModel, field_validator

from beam_llmdag.errors import CallError
from beam_llmdag.outputs.output import Output
from beam_llmdag.outputs.reading import read_answer


class Label(BaseModel):
    label: Literal["positive", "negative", "neutral"]


class Fix(BaseModel):
    fix: str
    safe: bool


class Text(BaseModel):
    text: str


class Score(BaseModel):
    score: float


LABEL = Output(Label)
TEXT = Output(Text)
PLAIN = Output(str)
ANY_OBJECT = Output({"type": "object"})


def refusal(text: str, output: Output) -> str:
    """The message with which `text` is refused."""
    with pytest.raises(CallError) as info:
        read_answer(text, output)
    assert info.value.error_class == "invalid_answer"
    return info.value.message


def outcome(text: str, output: Output) -> str:
    """`"ok"`, or the class of the error."""
    try:
        read_answer(text, output)
    except CallError as error:
        return error.error_class
    return "ok"


def test_a_bare_object_is_the_answer() -> None:
    assert read_answer('{"label": "neutral"}', LABEL) == {"label": "neutral"}


def test_a_fence_inside_a_string_stays() -> None:
    """Case parsing-01-fence-inside-a-string."""
    text = (
        "Sure, here is my review:\n```json\n"
        '{"fix": "Use\\n```sh\\npip install -U demo\\n```\\nthen retry", "safe": true}\n'
        "```\nAsk if you need more."
    )
    assert read_answer(text, Output(Fix)) == {"fix": "Use\n```sh\npip install -U demo\n```\nthen retry", "safe": True}


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"label": "neutral"}\n```',
        '```\n{"label": "neutral"}\n```',
        '```json{"label": "neutral"}```',
        '``` {"label": "neutral"} ```',
        '~~~json\n{"label": "neutral"}\n~~~',
        '````JSON\n{"label": "neutral"}\n````',
        'Here:\r\n```json\r\n{"label": "neutral"}\r\n```\r\n',
        '```json\n{"label": "neutral"}',
        '{"label": "neutral"}\n```',
        '```json\n{"label": "neutral"}\n```\nAgain:\n```json\n{ "label" : "neutral" }\n```',
    ],
)
def test_fences_are_taken_off(text: str) -> None:
    """Kind of parsing-01."""
    assert read_answer(text, LABEL) == {"label": "neutral"}


def test_a_tilde_fence_with_a_backtick_fence_in_a_string_keeps_the_string() -> None:
    """Kind of parsing-01."""
    assert read_answer('~~~json\n{"text": "```\\n~~~\\n```"}\n~~~', TEXT) == {"text": "```\n~~~\n```"}


def test_a_raw_line_break_in_a_string_means_itself() -> None:
    assert read_answer('{"text": "one\ntwo\tthree"}', TEXT) == {"text": "one\ntwo\tthree"}


def test_a_fence_around_a_plain_value_is_taken_off() -> None:
    assert read_answer('```json\n"a"\n```', Output(Literal["a", "b"])) == "a"


def test_the_fences_of_a_text_output_are_content() -> None:
    assert read_answer("```sh\nls\n```", PLAIN) == "```sh\nls\n```"


@pytest.mark.parametrize(
    "text",
    [
        'Result: {"label": "neutral"}. This follows rule [2] of the guide {v3}.',
        'By rule [2] of the guide {v3}: {"label": "neutral"}',
        'The interval [0, 1) and the set {a, b} say {"label": "neutral"} (see [3, 4]).',
        'A smiley :{ and then {"label": "neutral"} and }',
        'The template {{name}} is filled in. {"label": "neutral"}',
        'In [[Home]] I read ["quoted"](http://x): {"label": "neutral"}',
        '{"label": "neutral"} with the keys {"label"} and nothing else',
        '[Answer: {"label": "neutral"}]',
        'Here you are: {"label": "neutral"} \U0001f340 {}',
        '<answer>{"label": "neutral"}</answer>',
        '{"label": "neutral"}}',
        'Cost: {1, 2}, list [true, false], object {}; answer {"label": "neutral"}.',
    ],
)
def test_brackets_in_the_prose_are_prose(text: str) -> None:
    """Case parsing-02-bracket-in-the-prose-after, and its kind."""
    assert read_answer(text, LABEL) == {"label": "neutral"}


@pytest.mark.parametrize(
    "text",
    [
        '{"topics": ["billing", "shipping"',
        '{"topics": ["billing", "shipping"]',
        '{"topics": ["billing", "ship',
        'Here: {"topics": ["billing", "shipping"',
        '```json\n{"topics": ["billing", "shipping"\n```',
        '{"topics": ["billing", "shipping"\n\nI hope this helps! }',
    ],
)
def test_a_cut_answer_is_not_closed(text: str) -> None:
    """Kind of parsing-03-cut-list-is-not-repaired: the same where the stop reason says nothing."""

    class Topics(BaseModel):
        topics: list[str] = []

    assert "broken JSON" in refusal(text, Output(Topics))


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "neutral",}',
        "{'label': 'neutral'}",
        "{“label”: “neutral”}",
        '{label: "neutral"}',
        '{"label": "neutral" // sure\n}',
        '{"label" "neutral"}',
        '{"label": neutral}',
        '{"label": None, "label": "neutral"}',
    ],
)
def test_broken_json_is_not_mended(text: str) -> None:
    assert "broken JSON" in refusal(text, LABEL)


@pytest.mark.parametrize(
    "text",
    [
        '{"draft": {"label": "positive"}, "label": ',
        '{"draft": {"label": "positive"},}',
        '[{"label": "positive"}, {"label": "neg',
        '[{"label": "positive"},]',
        '["a", {"label": "positive"},]',
        '[1, {"label": "positive"}, ',
        '{draft: {"label": "positive"}}',
        '{\'draft\': {"label": "positive"}}',
        '{“draft”: {"label": "positive"}}',
        '{{"label": "positive"}}',
        '{draft: "a } in a string", other: {"label": "positive"}}',
    ],
)
def test_what_stands_inside_broken_json_is_not_the_answer(text: str) -> None:
    assert "broken JSON" in refusal(text, LABEL)


def test_an_answer_behind_a_broken_one_is_not_taken() -> None:
    assert "broken JSON" in refusal('{"label": "positive",}\n\n{"label": "negative"}', LABEL)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", '"NaN"', '"Infinity"'])
def test_a_score_that_is_no_number_is_refused(number: str) -> None:
    """Case parsing-04-nan-and-infinity."""
    assert "score" in refusal(f'{{"score": {number}}}', Output(Score))


def test_a_number_that_is_none_is_found_in_lists_and_maps() -> None:
    """Kind of parsing-04."""

    class Scores(BaseModel):
        by_name: dict[str, list[float]]

    assert "by_name.a[1]" in refusal('{"by_name": {"a": [1.0, NaN]}}', Output(Scores))


def test_a_number_that_is_none_is_found_where_the_schema_allows_anything() -> None:
    """Kind of parsing-04."""
    assert "x.y[0]" in refusal('{"x": {"y": [Infinity]}}', ANY_OBJECT)


def test_a_draft_in_the_thinking_is_not_the_answer() -> None:
    """Case parsing-05-json-inside-the-thinking."""
    text = (
        '<think>\nFirst idea: {"label": "positive"}.\nBut "not bad at all, until it broke" turns.\n</think>\n\n'
        '{"label": "negative"}'
    )
    assert read_answer(text, LABEL) == {"label": "negative"}


@pytest.mark.parametrize(
    "text",
    [
        '<thinking>{"label": "positive"}</thinking>{"label": "negative"}',
        '<THINK>{"label": "positive"}</THINK>\n```json\n{"label": "negative"}\n```',
        '<reasoning>a</reasoning><think>{"label": "positive"}</think> So: {"label": "negative"}',
        'First {"label": "positive"}, no.\n</think>\n{"label": "negative"}',
        '<think>one <think> two </think> {"label": "positive"} </think> {"label": "negative"}',
        'Let me see. <think>{"label": "positive"}</think> {"label": "negative"}',
        '{"label": "negative"}\n<think>Or {"label": "positive"}?</think>',
        '<think>{"label": "positive", "</think>{"label": "negative"}',
        '<think></think>{"label": "negative"}',
    ],
)
def test_thinking_in_all_its_forms_is_not_the_answer(text: str) -> None:
    """Kind of parsing-05."""
    assert read_answer(text, LABEL) == {"label": "negative"}


@pytest.mark.parametrize(
    "text",
    [
        '<think>\nFirst idea: {"label": "positive"}.',
        '<think>{"label": "positive"}',
        '<think>{"label": "positive"}</think>',
        '<think>{"label": "positive"}</think>\n\nI am not sure.',
        'Well, <thinking> perhaps {"label": "positive"}',
        '{"label": "positive"} perhaps </think>',
    ],
)
def test_thinking_without_an_answer_is_no_answer(text: str) -> None:
    """Kind of parsing-05."""
    refusal(text, LABEL)


@pytest.mark.parametrize("text", ["use <think> and </think>", "</think>", "<think>", "a <thinking> b"])
@pytest.mark.parametrize("form", ["{}", "Here: {}", "```json\n{}\n```", "<think>hm</think>{}", "{} Done [1]."])
def test_a_thinking_tag_in_a_string_is_content(text: str, form: str) -> None:
    """Kind of parsing-05."""
    assert read_answer(form.format(json.dumps({"text": text})), TEXT) == {"text": text}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>hm</think>\n\nFine.", "Fine."),
        ("hm, hm\n</think>\n\nFine.", "Fine."),
        ("Write <think> and </think> around it.", "Write <think> and </think> around it."),
        ("Close it with </think> at the end.", "Close it with </think> at the end."),
    ],
)
def test_a_text_answer_loses_the_thinking_in_front_only(text: str, answer: str) -> None:
    """Kind of parsing-05."""
    assert read_answer(text, PLAIN) == answer


@pytest.mark.parametrize("text", ["<think>hm</think>", "<think>never closed"])
@pytest.mark.parametrize("output", [PLAIN, LABEL], ids=["text", "JSON"])
def test_an_answer_that_was_only_thought_is_not_called_empty(text: str, output: Output) -> None:
    """Case parsing-51."""
    assert refusal(text, output) == "all of the answer is thinking, and none of it the answer"


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_text_is_no_answer(text: str) -> None:
    """Kind of parsing-06-refusal-with-empty-text: empty without a refusal."""
    assert refusal(text, PLAIN) == "the answer is empty"
    assert "empty" in refusal(text, LABEL) or "no JSON" in refusal(text, LABEL)


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "positive"}\n\nAlternatively, if sarcasm is meant:\n\n{"label": "negative"}',
        '{"label": "positive"}{"label": "negative"}',
        '```json\n{"label": "positive"}\n```\n```json\n{"label": "negative"}\n```',
        'Either {"label": "positive"} or {"label": "negative"} or {"label": "neutral"}',
    ],
)
def test_two_different_answers_are_no_answer(text: str) -> None:
    """Case parsing-07-two-answers, and its kind."""
    assert "ambiguous: more than one answer" in refusal(text, LABEL)


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "positive"}\nIn short:\n{"label":"positive"}',
        '{"label": "positive"} {"label": "positive"} {"label": "positive"}',
        '{"verdict": 1} {"label": "positive"}',
    ],
)
def test_equal_answers_and_objects_of_another_kind_leave_one_answer(text: str) -> None:
    """Kind of parsing-07."""
    assert read_answer(text, LABEL) == {"label": "positive"}


def test_a_key_with_two_values_is_refused() -> None:
    """Kind of parsing-07: two answers in one object."""
    assert "'label' stands twice" in refusal('{"label": "positive", "label": "negative"}', LABEL)
    assert "'label' stands twice" in refusal('So: {"label": "positive", "label": "negative"}', LABEL)


def test_a_key_that_stands_twice_with_one_value_is_read() -> None:
    assert read_answer('{"label": "positive", "label": "positive"}', LABEL) == {"label": "positive"}


def test_an_escaped_emoji_is_one_character() -> None:
    """Case parsing-08-escaped-emoji."""
    assert read_answer(r'{"text": "fresh \ud83c\udf40 \u00e9"}', TEXT) == {"text": "fresh \U0001f340 é"}


@pytest.mark.parametrize("escaped", [r"a\ud83cb", r"a\udf40b", r"a\udf40\ud83cb", "a\ud83cb"])
def test_half_an_emoji_is_replaced(escaped: str) -> None:
    """Kind of parsing-08."""
    replaced = read_answer(f'{{"text": "{escaped}"}}', TEXT)["text"]
    assert set(replaced) == {"a", "\ufffd", "b"}


def test_half_an_emoji_is_replaced_in_keys_and_without_a_class() -> None:
    """Kind of parsing-08."""
    assert read_answer(r'{"\ud83c": ["\udf40"]}', ANY_OBJECT) == {"\ufffd": ["\ufffd"]}


def test_a_nineteen_digit_number_stays_exact() -> None:
    """Case parsing-09-nineteen-digit-id."""

    class Order(BaseModel):
        order_id: int
        quoted_id: str

    text = '```json\n{"order_id": 2512292042121000001, "quoted_id": "0042"}\n```'
    assert read_answer(text, Output(Order)) == {"order_id": 2512292042121000001, "quoted_id": "0042"}


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0, -1])
def test_an_integer_of_64_bits_stays_exact(number: int) -> None:
    """Kind of parsing-09."""
    assert read_answer(f'{{"x": [{number}]}}', ANY_OBJECT) == {"x": [number]}


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1" * 5000])
def test_an_integer_beyond_64_bits_is_refused(number: str) -> None:
    """Kind of parsing-09: no sink holds it exactly."""
    refusal(f'{{"x": [{number}]}}', ANY_OBJECT)


def test_the_field_of_an_integer_beyond_64_bits_is_named() -> None:
    """Kind of parsing-09."""
    assert refusal('{"x": [9223372036854775808]}', ANY_OBJECT) == "x[0]: 9223372036854775808 does not fit 64 bits"


@pytest.mark.parametrize(
    "text", ['\ufeff{"label": "neutral"}', '\ufeff \n{"label": "neutral"}', ' \ufeff{"label": "neutral"}']
)
def test_a_byte_order_mark_is_taken_off(text: str) -> None:
    assert read_answer(text, LABEL) == {"label": "neutral"}


def test_json_that_is_a_text_in_json_is_read() -> None:
    assert read_answer(json.dumps('{"label": "neutral"}'), LABEL) == {"label": "neutral"}


def test_json_in_a_text_is_not_read_where_a_text_is_asked_for() -> None:
    class Note(BaseModel):
        text: str

    assert read_answer(json.dumps({"text": '{"a": 1}'}), Output(Note)) == {"text": '{"a": 1}'}
    assert read_answer('"{}"', Output(Literal["{}", "[]"])) == "{}"


def test_a_list_at_the_root_is_read_bare_and_in_its_object() -> None:
    output = Output(list[str])
    assert read_answer('["a", "b"]', output) == ["a", "b"]
    assert read_answer('{"value": ["a", "b"]}', output) == ["a", "b"]
    assert read_answer('The list: ["a", "b"].', output) == ["a", "b"]


@pytest.mark.parametrize("text", ["I cannot say.", "neutral", "null", "[]", '[{"label": "neutral"}]', '{"value": 1}'])
def test_what_does_not_fit_is_refused(text: str) -> None:
    refusal(text, LABEL)


def test_the_fields_that_do_not_fit_are_named() -> None:
    assert "label: Input should be 'positive', 'negative' or 'neutral'" in refusal('{"label": "great"}', LABEL)


def test_the_error_of_the_object_is_told_and_not_that_of_a_citation() -> None:
    assert refusal('{"label": "great"} as in [2]', LABEL).startswith("label: Input should be")


@pytest.mark.parametrize("output", [LABEL, ANY_OBJECT, Output(list[Any]), Output(dict[str, Any])])
@pytest.mark.parametrize("depth", [400, 900, 100_000])
def test_deep_nesting_is_an_error_and_no_crash(output: Output, depth: int) -> None:
    for text in ("[" * depth + "]" * depth, "[" * depth, '{"a":' * depth + "1" + "}" * depth):
        assert outcome(text, output) in ("ok", "invalid_answer")


@pytest.mark.parametrize(
    "brackets",
    [
        "{",
        "[",
        "{ ",
        "}{",
        "{}",
        "[]",
        "{x} ",
        "{x: ",
        "{{x}} ",
        "[0, 1) ",
        "[x] ",
        "[2] ",
        '["x] ',
        '{"x} ',
        "<think>{",
        "{'x} ",
        "[1, ",
    ],
)
@pytest.mark.parametrize("ending", ['{"label": "neutral"}', '\n<think>no</think>{"label": "neutral"}'])
def test_a_hundred_thousand_brackets_are_read_in_a_moment(brackets: str, ending: str) -> None:
    text = brackets * 100_000 + ending
    started = time.process_time()
    assert outcome(text, LABEL) in ("ok", "invalid_answer")
    assert time.process_time() - started < 3


def test_a_hundred_thousand_blanks_in_a_fence_are_read_in_a_moment() -> None:
    started = time.process_time()
    refusal("```json\n{" + " " * 100_000 + "\n```", LABEL)
    assert time.process_time() - started < 3


def test_an_exception_of_a_validator_is_the_users() -> None:
    class Odd(BaseModel):
        a: int

        @field_validator("a")
        @classmethod
        def divide(cls, value: int) -> int:
            return 1 // value

    with pytest.raises(CallError) as info:
        read_answer('{"a": 0}', Output(Odd))
    assert info.value.error_class == "user_function"
    assert "ZeroDivisionError" in info.value.message
