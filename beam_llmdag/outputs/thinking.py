"""Thinking that a model wrote into its answer, between tags, told apart from the answer."""

from __future__ import annotations

import re

from beam_llmdag.outputs.json_search import end_of_value

__all__ = ["without_leading_thinking", "without_thinking"]

_THOUGHT = "(?:ant)?think(?:ing)?|thoughts?|reasoning"
_NOTES = "analysis|reflection|scratchpad|cot|chain_of_thought|inner_monologue|internal_monologue"
"""What else a model calls its notes. In a text these may be what was asked for."""


def _tag(words: str) -> str:
    """A pattern for a tag around thinking, in the spellings of the open-weight models, with `opens` or `closes`.

    No part of it reads on over a `<`: so a text full of tags is read once.
    """
    name = rf"(?:[a-z]\w*+:)?(?:{words})(?:[_-](?:process|steps|content))?"
    opens = (
        rf"<\s*+{name}(?:\s[^<>]*+)?(?<!/)>",
        r"\[(?-i:THINK|THINKING|THOUGHT|REASONING)\]",
        r"◁think(?:ing)?▷",
        rf"<[|｜](?:(?:begin|start)_(?:of_)?)?(?:{words})[|｜]>",
        r"<\|channel\|>\s*+(?:analysis|commentary)\b[^<]*+<\|message\|>",
        r"<unused94>",
    )
    closes = (
        rf"<\s*+/\s*+{name}\s*+>",
        r"\[/(?-i:THINK|THINKING|THOUGHT|REASONING)\]",
        r"◁/think(?:ing)?▷",
        rf"<[|｜](?:/|end_(?:of_)?)(?:{words})[|｜]>",
        r"<\|channel\|>\s*+final\b[^<]*+<\|message\|>",
        r"<unused95>",
    )
    return rf"(?P<opens>{'|'.join(opens)})|(?P<closes>{'|'.join(closes)})"


_IN_TEXT = re.compile(_tag(_THOUGHT), re.IGNORECASE)
_IN_JSON = re.compile(_tag(f"{_THOUGHT}|{_NOTES}"), re.IGNORECASE)
_IN_JSON_OR_OPENING = re.compile(rf"{_tag(f'{_THOUGHT}|{_NOTES}')}|[{{\[]", re.IGNORECASE)
_ENDS_THINKING = re.compile(r"\w|[ \t]*+(?:\n|\Z)")
"""What follows a closing tag that ends thinking. A tag that a text is about stands before a blank or a stop."""

_BLANKS = re.compile(r"\s*+")


def without_leading_thinking(text: str) -> str:
    """`text` without the thinking in front of it.

    A tag further in is content: the text may be about tags. Some servers cut the opening tag off, so a closing one that
    ends a line, or that a word follows at once, ends the thinking, too, where none opens it. An opening tag that none
    closes leaves nothing.
    """
    position = 0
    tag = _IN_TEXT.search(text)
    if tag and tag["closes"] and _ENDS_THINKING.match(text, tag.end()):
        position = tag.end()
    while (tag := _IN_TEXT.match(text, _end_of_blanks(text, position))) and tag["opens"]:
        closing = next((later for later in _IN_TEXT.finditer(text, tag.end()) if later["closes"]), None)
        if closing is None:
            return ""
        position = closing.end()
    return text[position:]


def without_thinking(text: str) -> str:
    """`text`, which should hold JSON, without the thinking anywhere in it; a tag in a string of JSON is content.

    Everything before a closing tag that none opens is thinking, and so is everything behind an opening tag that none
    closes. Where JSON begins and does not end, or is broken, nobody knows what its strings are, and all tags count.
    """
    if not _IN_JSON.search(text):
        return text
    kept: list[str] = []
    start = position = known_until = 0
    thinks = False
    while match := _IN_JSON_OR_OPENING.search(text, position):
        position = match.end()
        if match["opens"]:
            if not thinks:
                kept.append(text[start : match.start()])
            thinks = True
        elif match["closes"]:
            if not thinks:
                kept.clear()
            thinks, start = False, position
        elif match.start() >= known_until:
            end, is_json = end_of_value(text, match.start())
            known_until = end
            position = end if is_json else position
    return "".join(kept if thinks else [*kept, text[start:]])


def _end_of_blanks(text: str, position: int) -> int:
    blanks = _BLANKS.match(text, position)
    assert blanks is not None
    return blanks.end()
