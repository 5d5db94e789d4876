"""Whether a graph can run: names, scopes, item spaces and cycles. Errors name the dimension and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from beam_llmdag.dimension import Dimension, Function, Regroup, Step
from beam_llmdag.errors import GraphError

__all__ = ["check_dag", "check_dimension", "item_spaces", "step_needs"]


def check_dimension(dimension: Dimension) -> None:
    """Checks what can be seen of one dimension alone.

    Raises:
        GraphError: see the messages.
    """
    where = f"dimension {dimension.name!r}"
    if dimension.scope not in ("item", "global"):
        raise GraphError(f"{where}: scope is 'item' or 'global', not {dimension.scope!r}")
    if dimension.on_missing not in ("run", "skip", "fail"):
        raise GraphError(f"{where}: on_missing is 'run', 'skip' or 'fail', not {dimension.on_missing!r}")
    if dimension.per is not None and dimension.scope != "global":
        raise GraphError(f"{where}: per= makes one answer per group, so it needs scope='global'")
    if dimension.max_prompt_tokens is not None and dimension.scope != "global":
        raise GraphError(f"{where}: max_prompt_tokens splits the rows of a global; an item's prompt is not split")
    for name in ("timeout_seconds", "deadline_seconds", "attempts", "max_tokens", "max_prompt_tokens"):
        value = getattr(dimension, name)
        if value is not None and value <= 0:
            raise GraphError(f"{where}: {name} must be positive, not {value}")
    wrong = "items" if dimension.scope == "item" else "item"
    for function in dimension.functions:
        if wrong in function.parameters and function is not dimension.per:
            right = "item" if dimension.scope == "item" else "items"
            raise GraphError(f"{where} has scope={dimension.scope!r}: its parameter is {right!r}, not {wrong!r}")
        if "error" in function.parameters and function is not dimension.on_failure:
            raise GraphError(f"{where}: only on_failure has a parameter 'error'")


def check_dag(name: str, steps: Mapping[str, Step]) -> None:
    """Checks the whole graph.

    Raises:
        GraphError: see the messages.
    """
    if not any(isinstance(step, Dimension) for step in steps.values()):
        raise GraphError(f"dag {name!r} has no dimensions: declare one with @dag.dimension")
    for step in steps.values():
        for needed in step_needs(step):
            if needed not in steps:
                raise GraphError(f"{_label(step)} needs {needed!r}, which is no dimension of dag {name!r}{_nearest(needed, steps)}")
    _check_cycles(steps)
    for step in steps.values():
        if step.over is not None and not isinstance(steps[step.over], Regroup):
            raise GraphError(f"{_label(step)}: over={step.over!r} is no regroup; declare one with @dag.regroup")
    spaces = item_spaces(steps)
    for step in steps.values():
        _check_over(step, steps, spaces)
        _check_scopes(step, steps, spaces)


def step_needs(step: Step) -> list[str]:
    """Names of all steps that must have ended before `step` starts, the regroup that makes its items included."""
    return list(dict.fromkeys((*step.needs, *((step.over,) if step.over else ()))))


def item_spaces(steps: Mapping[str, Step]) -> dict[str, str | None]:
    """Step name -> the regroup whose items it is about, None for the items that go into the dag. For graphs without cycles.

    Raises:
        GraphError: a step needs item dimensions of two different sets of items.
    """
    spaces: dict[str, str | None] = {}

    def find(step: Step) -> str | None:
        if step.name not in spaces:
            spaces[step.name] = step.over if step.over is not None else _inferred_space(step, [
                (needed.name, find(needed)) for needed in _item_needs(step, steps)
            ])
        return spaces[step.name]

    for step in steps.values():
        find(step)
    return spaces


def _inferred_space(step: Step, needed: list[tuple[str, str | None]]) -> str | None:
    spaces = {space: name for name, space in reversed(needed)}
    if len(spaces) > 1:
        (first, one), (second, other) = list(spaces.items())[:2]
        raise GraphError(
            f"{_label(step)} needs {one!r} over {_space(first)} and {other!r} over {_space(second)}: an answer about one set of "
            f"items has no counterpart in the other; take one of them through a global"
        )
    return next(iter(spaces), None)


def _item_needs(step: Step, steps: Mapping[str, Step]) -> list[Dimension]:
    """The item dimensions whose answers `step` gets row by row."""
    names = step.needs if isinstance(step, Regroup) else [n for function in step.functions for n in function.needs]
    needed = [steps[name] for name in names]
    return [s for s in needed if isinstance(s, Dimension) and s.scope == "item"]


def _check_over(step: Step, steps: Mapping[str, Step], spaces: Mapping[str, str | None]) -> None:
    for needed in _item_needs(step, steps):
        if spaces[needed.name] != spaces[step.name]:
            raise GraphError(
                f"{_label(step)} is over {_space(spaces[step.name])}, but needs {needed.name!r}, which is over "
                f"{_space(spaces[needed.name])}: take it through a global"
            )


def _check_scopes(step: Step, steps: Mapping[str, Step], spaces: Mapping[str, str | None]) -> None:
    for needed in step_needs(step):
        if isinstance(steps[needed], Regroup) and needed != step.over:
            raise GraphError(f"{_label(step)} has a parameter {needed!r}, which is a regroup: it makes items; use over={needed!r}")
    if isinstance(step, Regroup):
        if not any(_is_global(steps[name]) for name in step.needs):
            raise GraphError(f"{_label(step)} needs no global dimension: a regroup is made of the answer of one")
        return
    if step.per is not None:
        _check_per(step, step.per, steps)
    if step.scope == "item":
        for name in step.needs:
            needed_step = steps[name]
            if isinstance(needed_step, Dimension) and needed_step.per and spaces[name] != spaces[step.name]:
                raise GraphError(
                    f"{_label(step)} needs {name!r}, which answers per group of other items: which group is meant? "
                    f"take it through a global"
                )


def _check_per(step: Dimension, per: Function, steps: Mapping[str, Step]) -> None:
    for name in per.needs:
        needed = steps[name]
        if not (isinstance(needed, Dimension) and needed.scope == "item"):
            raise GraphError(f"{_label(step)}: per names {name!r}; the group of an item comes from item dimensions")


def _check_cycles(steps: Mapping[str, Step]) -> None:
    ended: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            cycle = " → ".join([*path[path.index(name) :], name])
            raise GraphError(f"the dimensions need each other in a circle: {cycle}; remove one of these dependencies")
        if name not in ended:
            for needed in step_needs(steps[name]):
                visit(needed, [*path, name])
            ended.add(name)

    for name in steps:
        visit(name, [])


def _is_global(step: Step) -> bool:
    return isinstance(step, Dimension) and step.scope == "global"


def _label(step: Step) -> str:
    return f"{'regroup' if isinstance(step, Regroup) else 'dimension'} {step.name!r}"


def _space(space: str | None) -> str:
    return "the items that go in" if space is None else f"the items of {space!r}"


def _nearest(name: str, steps: Mapping[str, Step]) -> str:
    close = difflib.get_close_matches(name, steps, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(steps)}"
