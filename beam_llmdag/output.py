"""Answer text → validated data.

A model wraps its JSON in fences, prose or thinking; those may be taken off. What is inside is never mended: no ending
is supplied, no key invented, and two different answers are no answer.
"""

from __future__ import annotations

import json
import re
from typing import Any

from beam_llmdag.errors import CallError
from beam_llmdag.json_data import decoder
from beam_llmdag.json_search import BrokenJSONError, json_values
from beam_llmdag.schema import Output
from beam_llmdag.text import clean_text
from beam_llmdag.thinking import without_leading_thinking, without_thinking

__all__ = ["read_answer"]

_FENCE = re.compile(r"(```+|~~~+)\w*+(.*)\1", re.DOTALL)
_SHOWN = 200


def read_answer(text: str, output: Output) -> Any:
    """The data in a model's answer.

    Args:
        text: the whole answer, whose stop reason said that it is complete.
        output: what the dimension asks for.

    Raises:
        CallError: `invalid_answer`: no JSON, broken JSON, JSON that does not fit, or several answers; `user_function`:
            a validator in the user's code raised.
    """
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
        raise CallError("invalid_answer", str(error)) from None
    except RecursionError:
        raise CallError("invalid_answer", "the JSON is nested too deeply") from None
    return _whole_answer(value, output)


def _text_answer(text: str) -> str:
    text = without_leading_thinking(text).strip()
    if not text:
        raise CallError("invalid_answer", "the answer is empty")
    return text


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
    text = without_thinking(text).strip()
    if not text:
        raise CallError("invalid_answer", "the answer is empty")
    fenced = _FENCE.fullmatch(text)
    if fenced:
        try:
            value = decoder.decode(fenced[2].strip())
        except (ValueError, RecursionError):
            return _only_answer(text, output)  # two fences, say
        return _whole_answer(value, output)
    return _only_answer(text, output)


def _only_answer(text: str, output: Output) -> Any:
    answers: list[Any] = []
    rejected: CallError | None = None
    try:
        for value in json_values(text):
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
