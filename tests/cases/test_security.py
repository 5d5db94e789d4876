"""Cases of the kind security: what a hostile or broken server could do to everybody else."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from pydantic import BaseModel

from beam_llmdag import CallError
from beam_llmdag.outputs.output import Output
from beam_llmdag.outputs.reading import read_answer
from beam_llmdag.providers.http.reply import description


class Answer(BaseModel):
    a: str


ANSWER = Output(Answer)
TEXT = Output(str)
SLOW: dict[str, Callable[[int], str]] = {
    "escaped quotes": lambda size: '{"a": "' + '\\"' * 20_000 * size,
    "back-ticks": lambda size: "`" * 6_000 * size,
    "back-ticks and a letter": lambda size: "`" * 3_000 * size + "x",
    "tildes": lambda size: "~" * 6_000 * size + "\n",
    "thoughts": lambda size: "<think>a</think>" * 60_000 * size + '{"a": "x"}',
    "braces": lambda size: "{" * 50_000 * size,
    "brackets": lambda size: "[" * 50_000 * size,
    "opening tags": lambda size: "<think>" * 50_000 * size,
    "closing tags": lambda size: "</think>" * 50_000 * size,
    "tags that do not end": lambda size: "<think " * 50_000 * size,
    "keys": lambda size: '{"a": ' * 5_000 * size + '"x"',
    "broken JSON, deep": lambda size: '{"a": ' * 5_000 * size + "x" + "}" * 5_000 * size,
    "broken JSON in thinking": lambda size: "<think>" + '{"a": ' * 5_000 * size + "x" + "}" * 5_000 * size,
    "quotes": lambda size: '"' * 50_000 * size,
    "lists that do not end": lambda size: "[1, " * 20_000 * size,
    "quotes in broken keys": lambda size: "{'a\\\"" * 20_000 * size,
}


def seconds_for(text: str, output: Output) -> float:
    """Seconds of the processor's time that reading takes, the best of three."""

    def once() -> float:
        start = time.process_time()
        with suppress(CallError):
            read_answer(text, output)
        return time.process_time() - start

    return min(once() for _ in range(3))


@pytest.mark.parametrize("output", [ANSWER, TEXT], ids=["JSON", "text"])
@pytest.mark.parametrize("name", SLOW)
def test_reading_an_answer_takes_time_by_its_length_and_no_more(name: str, output: Output) -> None:
    """Case security-52. Four times the text takes sixteen times the time where it is quadratic."""
    short, long = seconds_for(SLOW[name](1), output), seconds_for(SLOW[name](4), output)
    assert long < 8 * short + 0.02


def test_the_answer_behind_very_many_thoughts_is_found() -> None:
    """Case security-52."""
    assert read_answer(SLOW["thoughts"](1), ANSWER) == {"a": "x"}
    assert read_answer(SLOW["thoughts"](1), TEXT) == '{"a": "x"}'


@pytest.mark.parametrize("part", ["<title>", "<title ", "</title", "<TITLE>x"])
def test_a_page_of_very_many_titles_is_read_once(part: str) -> None:
    """Case security-52, for what a proxy sends."""

    def seconds(count: int) -> float:
        start = time.process_time()
        description("<html>" + part * count)
        return time.process_time() - start

    assert min(seconds(80_000) for _ in range(3)) < 8 * min(seconds(20_000) for _ in range(3)) + 0.02
