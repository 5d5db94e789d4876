"""Which regular expressions may be sent: a list of what is safe, since a list of what is not never ends.

Constrained decoding knows regular languages only, and each API its own part of the syntax. Safe is what all of them
read alike: letters, classes, groups, alternatives and greedy repetitions, between the two ends of the text.
"""

from __future__ import annotations

import re

__all__ = ["is_safe"]

_LONGEST = 1000
"""Repetitions that are counted, multiplied where one stands in another: each becomes a state of an automaton."""

_DEEPEST = 20
_ESCAPED = frozenset(r".^$*+?{}[]()|\/-" + "dDwWsSntr")
_ATOM = frozenset("^$*+?{}[]()|\\")
_COUNT = re.compile(r"\{(\d{1,6})(?:(,)(\d{1,6})?)?\}", re.ASCII)
_RANGE = re.compile(r"(?:[^\W_]-[^\W_]|[^\\\]\[&~|^-])", re.ASCII)


def is_safe(pattern: str) -> bool:
    """Whether every API that takes patterns understands `pattern`, and as Python does."""
    body = pattern.removeprefix("^")
    if body.endswith("$") and not body.endswith("\\$"):
        body = body[:-1]
    reader = _Reader(body)
    try:
        # in '^a|b$' each end belongs to one alternative only, and not every API sees that
        size = reader.alternatives(0) if body == pattern else reader.sequence(0)
        return size <= _LONGEST and reader.at == len(body)
    except _UnsafeError:
        return False


class _UnsafeError(Exception):
    """There is something in a pattern that is not on the list."""


class _Reader:
    """Reads a pattern once, from left to right; what it returns is how large an automaton becomes, roughly."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def alternatives(self, depth: int) -> int:
        if depth > _DEEPEST:
            raise _UnsafeError
        size = self.sequence(depth)
        while self._take("|"):
            size += self.sequence(depth)
        return size

    def sequence(self, depth: int) -> int:
        size = 0
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            size += self._atom(depth) * self._times()
        return size

    def _atom(self, depth: int) -> int:
        if self._take("("):
            if self._take("?") and not self._take(":"):
                raise _UnsafeError
            size = self.alternatives(depth + 1)
            self._demand(")")
            return size
        if self._take("["):
            self._class()
        elif self._take("\\"):
            self._escape()
        elif self.text[self.at] in _ATOM:
            raise _UnsafeError
        else:
            self.at += 1
        return 1

    def _class(self) -> None:
        self._take("^")
        start = self.at
        while not self._take("]"):
            if self._take("\\"):
                self._escape()
            elif part := _RANGE.match(self.text, self.at):
                self.at = part.end()
            elif self.text[self.at : self.at + 1] == "-" and (self.at == start or self.text[self.at + 1 :][:1] == "]"):
                self.at += 1
            else:
                raise _UnsafeError
        if self.at == start + 1:
            raise _UnsafeError

    def _escape(self) -> None:
        if self.text[self.at : self.at + 1] not in _ESCAPED:
            raise _UnsafeError
        self.at += 1

    def _times(self) -> int:
        """The repetition of what was just read, if there is one; a second one makes it lazy or possessive."""
        most = 1
        if count := _COUNT.match(self.text, self.at):
            self.at = count.end()
            most = max(int(count[1]), int(count[3] or 0))
        elif not (self._take("*") or self._take("+") or self._take("?")):
            return most
        if self.text[self.at : self.at + 1] in ("*", "+", "?", "{"):
            raise _UnsafeError
        return most

    def _take(self, letter: str) -> bool:
        found = self.text.startswith(letter, self.at)
        self.at += found
        return found

    def _demand(self, letter: str) -> None:
        if not self._take(letter):
            raise _UnsafeError
