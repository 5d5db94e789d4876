"""Thinking that a model wrote into its answer, between tags, told apart from the answer."""

from __future__ import annotations

import re

from beam_llmdag.json_search import end_of_value

__all__ = ["without_leading_thinking", "without_thinking"]

_WORDS = "(?:think|thinking|thought|reasoning)"
_TAG = re.compile(rf"<(/?){_WORDS}>", re.IGNORECASE)
_TAG_OR_OPENING = re.compile(rf"<(/?){_WORDS}>|[{{\[]", re.IGNORECASE)
_LEADING = re.compile(rf"\s*+<{_WORDS}>(?:.*?</{_WORDS}>|.*)", re.DOTALL | re.IGNORECASE)
_UNOPENED = re.compile(rf"(?:(?!</?{_WORDS}>).)*+</{_WORDS}>[ \t]*+(?:\n|\Z)", re.DOTALL | re.IGNORECASE)


def without_leading_thinking(text: str) -> str:
    """`text` without the thinking in front of it.

    A tag further in is content: the text may be about tags. Some servers cut the opening tag off, so a closing one that
    ends a line, and that none opens, ends the thinking, too. An opening tag that none closes leaves nothing.
    """
    if match := _UNOPENED.match(text):
        text = text[match.end() :]
    while match := _LEADING.match(text):
        text = text[match.end() :]
    return text


def without_thinking(text: str) -> str:
    """`text`, which should hold JSON, without the thinking anywhere in it; a tag in a string of JSON is content.

    Everything before a closing tag that none opens is thinking, and so is everything behind an opening tag that none
    closes. Where JSON begins and does not end, nobody knows what its strings are, and all tags count.
    """
    if not _TAG.search(text):
        return text
    kept: list[str] = []
    start = position = 0
    thinks = lost = False
    while match := _TAG_OR_OPENING.search(text, position):
        position = match.end()
        if match[0] in "{[":
            end = match.start() if lost else end_of_value(text, match.start())
            lost = lost or end is None
            position = max(position, end or 0)
        elif not match[1]:
            if not thinks:
                kept.append(text[start : match.start()])
            thinks = True
        else:
            if not thinks:
                kept.clear()
            thinks, start = False, position
    return "".join(kept if thinks else [*kept, text[start:]])
