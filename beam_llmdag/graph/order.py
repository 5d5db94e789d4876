"""The order of a graph: what each step needs, and all steps after those they need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from beam_llmdag.errors import GraphError
from beam_llmdag.graph.dimension import Step

__all__ = ["in_order", "step_needs"]


def step_needs(step: Step) -> list[str]:
    """Names of all steps that must have ended before `step` starts, the regroup that makes its items included."""
    return list(dict.fromkeys((*step.needs, *((step.over,) if step.over else ()))))


def in_order(steps: Mapping[str, Step]) -> list[str]:
    """All names, each after those it needs, otherwise in order of declaration.

    Every need must be the name of a step. A dag may be deeper than Python's stack, so this does not recurse.

    Raises:
        GraphError: the steps form a cycle; the message shows it.
    """
    ordered: dict[str, None] = {}
    for name in steps:
        path: dict[str, Iterator[str]] = {} if name in ordered else {name: iter(step_needs(steps[name]))}
        while path:
            current, needs = next(reversed(path.items()))
            needed = next((n for n in needs if n not in ordered), None)
            if needed is None:
                ordered[current] = None
                del path[current]
            elif needed in path:
                raise GraphError(
                    f"the dimensions form a cycle: {_circle(list(path), needed)}; remove one of these dependencies"
                )
            else:
                path[needed] = iter(step_needs(steps[needed]))
    return list(ordered)


def _circle(path: list[str], name: str) -> str:
    """The way from `name` along what it needs back to `name`."""
    return " → ".join([*path[path.index(name) :], name])
