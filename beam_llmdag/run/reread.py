"""Bad answers read again: they were paid, and a better parser or validator may take them now."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from beam_llmdag.calls.attempt import LONGEST_ANSWER, checked
from beam_llmdag.calls.store.contents import StoredCall, open_contents
from beam_llmdag.calls.store.rows import is_readable
from beam_llmdag.errors import CallError
from beam_llmdag.graph.graph import Graph
from beam_llmdag.model import Answer

__all__ = ["Reread", "reread"]

_READ_AGAIN = ("invalid_answer", "user_function")  # what was refused or cut off stays so, whoever reads it


class Reread(NamedTuple):
    """What came of bad answers.

    Attributes:
        read: how many there were.
        kept: how many of them fit now; they are answers from now on.
        cut: how many more there were that the store has in part only.
    """

    read: int
    kept: int
    cut: int


def reread(graph: Graph, place: str | Path) -> Reread:
    """Reads again the bad answers of a store, for the dimensions of a graph, and keeps those that fit now.

    An answer is read as one to the same question: where prompt, model or schema have changed, that is another one.

    Args:
        graph: says what an answer must be.
        place: see `open_store`.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it is no store, or does not answer.
    """
    graph.validate()
    read = cut = 0
    good: dict[int, str] = {}
    answered: set[str] = set()
    with open_contents(place) as contents:
        for call in contents.calls():
            known = call.columns
            if known["answer"] is not None:
                answered.add(known["key"])
            text = _bad_answer(call)
            if text is None or known["dimension"] not in graph.dimensions:
                continue
            if len(text) >= LONGEST_ANSWER:
                cut += 1
                continue
            read += 1
            if _fits(graph, known["dimension"], text):
                good[call.number] = text
        fitting = {call.number: call.columns["key"] for call in contents.calls() if call.number in good}
        kept = {number: good[number] for number, key in fitting.items() if key not in answered}
        contents.keep(kept)
    return Reread(read, len(kept), cut)


def _bad_answer(call: StoredCall) -> str | None:
    """The text of a call whose answer was bad; None if it had none, or a good one."""
    known = call.columns
    if not is_readable(call.line) or known["answer"] is not None or known["error_class"] not in _READ_AGAIN:
        return None
    text: str | None = known["raw_answer"]
    return text


def _fits(graph: Graph, dimension: str, text: str) -> bool:
    try:
        checked(Answer(text=text), graph.dimensions[dimension].asked)
    except CallError:
        return False
    return True
