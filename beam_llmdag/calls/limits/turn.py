"""Who goes first where calls wait in line: who began first, so that rows that were begun are finished early."""

from __future__ import annotations

import itertools
from contextvars import Context, ContextVar, copy_context

__all__ = ["current_turn", "next_turn"]

_turn: ContextVar[int] = ContextVar("llmdag_turn", default=0)
_turns = itertools.count(1)


def next_turn() -> Context:
    """A context for a task whose calls, and those of the tasks that it starts, come behind those of all before it."""
    context = copy_context()
    context.run(_turn.set, next(_turns))
    return context


def current_turn() -> int:
    """The turn of the task that asks; 0, before all others, where nobody has one."""
    return _turn.get()
