"""Answer text → validated data.

A model wraps its JSON in fences, prose or thinking; those may be taken off. What is inside is never mended: no ending
is supplied, no key invented, and two different answers are no answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from beam_llmdag.errors import CallError
from beam_llmdag.json_data import decoder
from beam_llmdag.schema import Output
from beam_llmdag.text import clean_text

__all__ = ["read_answer"]

_THINKING = re.compile(r"\s*<(think|thinking|thought|reasoning)>.*?</\1>\s*", re.DOTALL | re.IGNORECASE)
_THINKING_END = re.compile(r"^((?!<think).)*</(?:think|thinking|thought|reasoning)>", re.DOTALL | re.IGNORECASE)
_OPENING = re.compile(r"[{\[]")
_JSON_LIKE = re.compile(r'[{\[]\s*["{\[]')
_SHOWN = 200


def read_answer(text: str, output: Output) -> Any:
    """The data in a model's answer.

    Args:
        text: the whole answer, whose stop reason said that it is complete.
        output: what the dimension asks for.

    Raises:
        CallError: `invalid_answer`: no JSON, broken JSON, JSON that does not fit, or several answers.
    """
    text = clean_text(text).strip().removeprefix("\ufeff")
    if output.is_text:
        return _text_answer(text)
    try:
        return output.load(decoder.decode(text))
    except json.JSONDecodeError:
        return _wrapped_answer(_without_thinking(text), output)
    except ValueError as error:
        if isinstance(error, CallError):
            raise
        raise CallError("invalid_answer", str(error)) from None


def _text_answer(text: str) -> str:
    answer = _without_thinking(text).strip()
    if not answer:
        raise CallError("invalid_answer", "the answer is empty")
    return answer


def _without_thinking(text: str) -> str:
    """`text` without the thinking in front of it; a tag further in is content.

    Some servers cut the opening tag off, so a closing one that none opens ends the thinking, too.
    """
    match = _THINKING.match(text)
    if match:
        return text[match.end() :]
    first_json = _JSON_LIKE.search(text)
    closing = _THINKING_END.match(text)
    if closing and not (first_json and _inside_json(text, first_json.start(), closing.end())):
        return text[closing.end() :]
    return text


def _inside_json(text: str, start: int, position: int) -> bool:
    try:
        _, end = decoder.raw_decode(text, start)
    except ValueError:
        return False
    return position <= end


def _wrapped_answer(text: str, output: Output) -> Any:
    """The one answer among the JSON values in `text`."""
    if not text:
        raise CallError("invalid_answer", "the answer is empty")
    answers: list[Any] = []
    rejected: CallError | None = None
    for value in _json_values(text):
        try:
            data = output.load(value)
        except CallError as error:
            rejected = rejected if rejected and isinstance(value, list) else error
        else:
            if data not in answers:
                answers.append(data)
    if len(answers) > 1:
        raise CallError("invalid_answer", f"ambiguous: {len(answers)} different answers in one text, more than one fits the schema")
    if answers:
        return answers[0]
    raise rejected or CallError("invalid_answer", f"no JSON in the answer: {text[:_SHOWN]!r}")


def _json_values(text: str) -> Iterator[Any]:
    """JSON objects and lists that stand in `text`, outermost ones only.

    Raises:
        CallError: something begins like JSON and is broken: what follows it may be a part of it, so nothing is taken.
    """
    position = 0
    while match := _OPENING.search(text, position):
        start = match.start()
        try:
            value, position = decoder.raw_decode(text, start)
        except ValueError as error:
            if _JSON_LIKE.match(text, start):
                said = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                raise CallError("invalid_answer", f"broken JSON: {said}, in {text[start : start + _SHOWN]!r}") from None
            position = start + 1  # a brace in prose
        else:
            yield value
