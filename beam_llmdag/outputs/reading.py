"""Answer text → validated data.

A model wraps its JSON in fences, prose or thinking; those may be taken off. What is inside is never mended: no ending
is supplied, no key invented, and two different answers are no answer.
"""

from __future__ import annotations

import json
import re
from typing import Any

from beam_llmdag.errors import CallError
from beam_llmdag.outputs.json_data import decoder, why_unreadable
from beam_llmdag.outputs.json_search import BrokenJSONError, json_values
from beam_llmdag.outputs.output import Output
from beam_llmdag.outputs.thinking import without_leading_thinking, without_thinking
from beam_llmdag.text import clean_text

__all__ = ["LONGEST_ANSWER", "read_answer"]

LONGEST_ANSWER = 4_000_000
"""Characters of an answer that is read: a model that repeats itself without end must not hold up all other calls."""

_LANGUAGE = re.compile(r"\w*+")
_SHORTEST_FENCE = 3
_MOST_VALUES = 1000  # in one text
_SHOWN = 200


def read_answer(text: str, output: Output) -> Any:
    """The data in a model's answer.

    Args:
        text: the whole answer, whose stop reason said that it is complete.
        output: what the dimension asks for.

    Raises:
        CallError: `invalid_answer`: too long, no JSON, broken JSON, JSON that does not fit, or several answers;
            `user_function`: a validator in the user's code raised.
    """
    if len(text) > LONGEST_ANSWER:
        raise CallError(
            "invalid_answer", f"the answer has {len(text):,} characters, more than {LONGEST_ANSWER:,}; answer shorter"
        )
    text = clean_text(text).strip().removeprefix("\ufeff").strip()
    if output.is_text:
        return _text_answer(text)
    try:
        value, end = decoder.raw_decode(text)
        if end != len(text):
            return _wrapped_answer(text, output)
    except json.JSONDecodeError:
        return _wrapped_answer(text, output)
    except ValueError as error:
        raise CallError("invalid_answer", why_unreadable(text, error)) from None
    except RecursionError:
        raise CallError("invalid_answer", "the JSON is nested too deeply") from None
    return _whole_answer(value, output)


def _text_answer(text: str) -> str:
    answer = without_leading_thinking(text).strip()
    if not answer:
        raise _nothing_in(text)
    return answer


def _whole_answer(value: Any, output: Output) -> Any:
    """The answer of a text that is one JSON value, or of a text in JSON that is one."""
    try:
        return output.load(value)
    except CallError:
        if not isinstance(value, str):
            raise
        try:
            inner = decoder.decode(value)
        except (ValueError, RecursionError):
            inner = value
        if isinstance(inner, str):
            raise
    return output.load(inner)


def _wrapped_answer(text: str, output: Output) -> Any:
    """The one answer among the JSON values in `text`."""
    answer = without_thinking(text).strip()
    if not answer:
        raise _nothing_in(text)
    text = answer
    fenced = _inside_fence(text)
    if fenced is not None:
        try:
            value = decoder.decode(fenced)
        except (ValueError, RecursionError):
            return _only_answer(text, output)  # two fences, say
        return _whole_answer(value, output)
    return _only_answer(text, output)


def _nothing_in(text: str) -> CallError:
    said = "all of the answer is thinking, and none of it the answer" if text else "the answer is empty"
    return CallError("invalid_answer", said)


def _inside_fence(text: str) -> str | None:
    """What stands in a code fence around the whole of `text`; None if there is none."""
    mark = text[0]
    if mark not in "`~" or not (text.startswith(mark * _SHORTEST_FENCE) and text.endswith(mark * _SHORTEST_FENCE)):
        return None
    inside = text.strip(mark)
    language = _LANGUAGE.match(inside)
    return inside[language.end() if language else 0 :].strip()


def _only_answer(text: str, output: Output) -> Any:
    answers: list[Any] = []
    rejected: CallError | None = None
    try:
        for number, value in enumerate(json_values(text), start=1):
            if number > _MOST_VALUES:
                raise CallError("invalid_answer", f"more than {_MOST_VALUES} JSON values in one text; give exactly one")
            try:
                data = output.load(value)
            except CallError as error:
                rejected = rejected if rejected and isinstance(value, list) else error
                continue
            if data not in answers:
                answers.append(data)
            if len(answers) > 1:
                raise CallError(
                    "invalid_answer", "ambiguous: more than one answer in one text, and they differ; give exactly one"
                )
    except BrokenJSONError as error:
        raise CallError("invalid_answer", str(error)) from None
    if answers:
        return answers[0]
    raise rejected or CallError("invalid_answer", f"no JSON in the answer: {text[:_SHOWN]!r}")
