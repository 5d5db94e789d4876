"""Whether a graph can run: names, scopes, item spaces and cycles. Errors name the dimension and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from beam_llmdag.errors import CallError, GraphError
from beam_llmdag.graph.dimension import ABSENT, RESERVED, Dimension, Function, Regroup, Step
from beam_llmdag.graph.order import in_order, step_needs

__all__ = ["check_dag", "check_dimension", "check_regroup", "item_spaces"]

_SHOWN = 10


def check_dimension(dimension: Dimension) -> None:
    """Checks what can be seen of one dimension alone.

    Raises:
        GraphError: see the messages.
    """
    where = dimension.title
    if dimension.scope not in ("item", "global"):
        raise GraphError(f"{where}: scope is 'item' or 'global', not {dimension.scope!r}")
    if dimension.on_missing not in ("run", "skip", "fail"):
        raise GraphError(f"{where}: on_missing is 'run', 'skip' or 'fail', not {dimension.on_missing!r}")
    if dimension.per is not None and dimension.scope != "global":
        raise GraphError(f"{where}: per= makes one answer per group, so it needs scope='global'")
    if dimension.max_prompt_tokens is not None and dimension.scope != "global":
        raise GraphError(f"{where}: max_prompt_tokens splits the rows of a global; an item's prompt is not split")
    if dimension.budget_usd is not None and dimension.budget_usd <= 0:
        raise GraphError(f"{where}: budget_usd must be positive, not {dimension.budget_usd:g}")
    if not isinstance(dimension.samples, int) or dimension.samples < 1:
        raise GraphError(f"{where}: samples is a number of calls, 1 or more, not {dimension.samples!r}")
    if dimension.vote is not None and dimension.samples == 1:
        raise GraphError(f"{where}: vote= makes one answer of several, so it needs samples=3, say")
    for name in ("timeout_seconds", "deadline_seconds", "attempts", "max_tokens", "max_prompt_tokens"):
        value = getattr(dimension, name)
        if value is not None and value <= 0:
            raise GraphError(f"{where}: {name} must be positive, not {value}")
    subject = "item" if dimension.scope == "item" else "items"
    for function in dimension.functions:
        about = "item" if function is dimension.per else subject
        _check_parameters(function, {about, "error"} if function is dimension.on_failure else {about})
    if dimension.on_failure is not ABSENT and not isinstance(dimension.on_failure, Function):
        _check_replacement(dimension)


def check_regroup(regroup: Regroup) -> None:
    """Checks what can be seen of one regroup alone.

    Raises:
        GraphError: it takes what no regroup gets.
    """
    _check_parameters(regroup.function, {"items"})


def check_dag(name: str, steps: Mapping[str, Step]) -> None:
    """Checks the whole graph.

    Raises:
        GraphError: see the messages.
    """
    if not any(isinstance(step, Dimension) for step in steps.values()):
        raise GraphError(f"dag {name!r} has no dimensions: declare one with @dag.dimension")
    for step in steps.values():
        _check_names(step, steps, name)
    spaces = item_spaces(steps)
    for step in steps.values():
        _check_over(step, steps, spaces)
        _check_scopes(step, steps, spaces)


def item_spaces(steps: Mapping[str, Step]) -> dict[str, str | None]:
    """Step name -> the regroup whose items it is about, None for the items that go into the dag.

    Raises:
        GraphError: the steps form a cycle, or one needs item dimensions of two different sets of items.
    """
    spaces: dict[str, str | None] = {}
    for name in in_order(steps):
        step = steps[name]
        needed = [(other.name, spaces[other.name]) for other in _item_needs(step, steps)]
        spaces[name] = _inferred_space(step, needed) if step.over is None else step.over
    return {name: spaces[name] for name in steps}


_REMEDIES = {
    "item": "it is called once for all items: its parameter is 'items', not 'item'",
    "items": "it is called for each item: its parameter is 'item', not 'items' (that one is for scope='global')",
    "error": "only on_failure has a parameter 'error'",
    "parts": "only a merge has a parameter 'parts'",
}


def _check_parameters(function: Function, allowed: set[str]) -> None:
    """Whether the parameters that are no dimensions are those that the function is called with."""
    for name in function.parameters:
        if name in RESERVED and name not in allowed:
            raise GraphError(f"{function.label}: {_REMEDIES[name]}")
    for name in function.fixed:
        if name in RESERVED:
            raise GraphError(
                f"{function.label}: the parameter {name!r} has a default value, so it would never be filled in"
            )


def _check_replacement(dimension: Dimension) -> None:
    try:
        dimension.output.dump(dimension.on_failure)
    except CallError as error:
        raise GraphError(
            f"{dimension.title}: the value of on_failure does not fit its output: {error.message}"
        ) from None


def _check_names(step: Step, steps: Mapping[str, Step], dag: str) -> None:
    """Whether all names that `step` mentions are those of steps, and those of its own parameters are not."""
    for needed in step_needs(step):
        if needed not in steps:
            raise GraphError(
                f"{step.title} needs {needed!r}, which is no dimension of dag {dag!r}{_nearest(needed, steps)}"
            )
    if step.over is not None and not isinstance(steps[step.over], Regroup):
        raise GraphError(f"{step.title}: over={step.over!r} is no regroup; declare one with @dag.regroup")
    for function in step.functions:
        for name in function.fixed:
            if name in steps:
                raise GraphError(
                    f"{function.label}: the parameter {name!r} has a default value, so the answer of the dimension of "
                    f"that name would never be filled in; remove the default, or rename the parameter"
                )


def _inferred_space(step: Step, needed: list[tuple[str, str | None]]) -> str | None:
    spaces: dict[str | None, str] = {}
    for name, space in needed:
        spaces.setdefault(space, name)
    if len(spaces) > 1:
        (first, one), (second, other) = list(spaces.items())[:2]
        raise GraphError(
            f"{step.title} needs {one!r} over {_space(first)} and {other!r} over {_space(second)}: an answer about "
            f"one set of items has no counterpart in the other; take one of them through a global"
        )
    return next(iter(spaces), None)


def _item_needs(step: Step, steps: Mapping[str, Step]) -> list[Dimension]:
    """The item dimensions whose answers `step` gets row by row."""
    needed = [steps[name] for function in step.functions for name in function.needs]
    return [s for s in needed if isinstance(s, Dimension) and s.scope == "item"]


def _check_over(step: Step, steps: Mapping[str, Step], spaces: Mapping[str, str | None]) -> None:
    """Whether the rows that `step` needs are about the items that it is about."""
    for name in step.needs:
        needed = steps[name]
        if isinstance(needed, Dimension) and needed.scope == "item" and spaces[name] != spaces[step.name]:
            raise GraphError(
                f"{step.title} is over {_space(spaces[step.name])}, but needs {name!r}, which is over "
                f"{_space(spaces[name])}: take it through a global"
            )


def _check_scopes(step: Step, steps: Mapping[str, Step], spaces: Mapping[str, str | None]) -> None:
    """Whether what `step` needs can be handed to it."""
    for name in (name for function in step.functions for name in function.needs):
        needed = steps[name]
        if isinstance(needed, Regroup):
            raise GraphError(
                f"{step.title} has a parameter {name!r}, which is a regroup: it makes items; use over={name!r}"
            )
        if step.scope == "item" and needed.per is not None and spaces[name] != spaces[step.name]:
            raise GraphError(
                f"{step.title} needs {name!r}, which answers per group of other items: which group is meant? "
                f"take it through a global"
            )
    if isinstance(step, Dimension):
        _check_per(step, steps)
    elif not any(steps[name].scope == "global" for name in step.needs):
        raise GraphError(f"{step.title} needs no global dimension: a regroup is made of the answer of one")


def _check_per(step: Dimension, steps: Mapping[str, Step]) -> None:
    for name in step.per.needs if step.per is not None else ():
        if steps[name].scope != "item":
            raise GraphError(f"{step.title}: per names {name!r}; the group of an item comes from item dimensions")


def _space(space: str | None) -> str:
    return "the items that go in" if space is None else f"the items of {space!r}"


def _nearest(name: str, steps: Mapping[str, Step]) -> str:
    close = difflib.get_close_matches(name, [*steps, "item", "items"], n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    shown = [*steps][:_SHOWN]
    return f"; there are: {', '.join(shown)}{', …' if len(steps) > _SHOWN else ''}"
