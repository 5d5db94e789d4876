"""What a step may be called."""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from beam_llmdag.errors import GraphError
from beam_llmdag.graph.dimension import RESERVED, Step

__all__ = ["new_name", "written_name"]

_TAKEN = RESERVED | {"id", "content", "metadata", "source_ids", "input"}
"""Names that no step may have: parameters, columns of a result, and the `dimension` of an unreadable record."""


def written_name(name: str) -> str:
    """`name` as Python reads it among parameters, where `ö` is one letter however it is typed."""
    return unicodedata.normalize("NFKC", name)


def new_name(given: str | None, function: Callable[..., Any], kind: str, steps: Mapping[str, Step], dag: str) -> str:
    """The name of a new step.

    Args:
        given: what the user called it; None to call it as its function.
        function: the step's function.
        kind: what the step is, for errors.
        steps: those there are. A step whose function is declared again, as when a cell of a notebook runs twice, may
            be replaced.
        dag: the name of the dag, for errors.

    Raises:
        GraphError: it cannot be called that; the message says why and what to do.
    """
    if not callable(function) or isinstance(function, type):
        raise GraphError(
            f"@dag.{kind} stands above a function; its other arguments need their names, not {function!r:.100}"
        )
    name = written_name(getattr(function, "__name__", "") if given is None else given)
    where = f"{kind} {name!r}"
    if keyword.iskeyword(name):
        raise GraphError(f"{where}: that is a reserved word of Python, which no parameter can be; choose another name")
    if not name.isidentifier():
        remedy = "give one with name='…'" if given is None else "choose another, of letters, digits and _"
        raise GraphError(f"{where}: a name is a Python identifier; {remedy}")
    if name in _TAKEN:
        raise GraphError(f"{where}: the name is taken by the package ({', '.join(sorted(_TAKEN))}); choose another")
    alike = next((other for other in steps if other != name and other.casefold() == name.casefold()), None)
    if alike is not None:
        raise GraphError(
            f"{where} and {alike!r} differ in capital letters only, and columns of tables do not differ by case; "
            f"rename one of them"
        )
    if name in steps and not _is_again(steps[name].function.call, function):
        raise GraphError(
            f"{where} is declared twice in dag {dag!r}: give one of them another name. In a notebook, first run the "
            f"cell that makes the Dag again"
        )
    return name


def _is_again(old: Callable[..., Any], new: Callable[..., Any]) -> bool:
    """Whether `new` is `old` declared again: a `def` of the same module and name that was run anew.

    Two functions of one file are two functions. A notebook has a file for each run of a cell, or none.
    """
    before, after = getattr(old, "__code__", None), getattr(new, "__code__", None)
    if not isinstance(before, CodeType) or not isinstance(after, CodeType) or before is after:
        return False
    if (old.__module__, old.__qualname__) != (new.__module__, new.__qualname__) or new.__name__ == "<lambda>":
        return False
    one_file = before.co_filename == after.co_filename and not before.co_filename.startswith("<")
    return not one_file or before.co_firstlineno == after.co_firstlineno
