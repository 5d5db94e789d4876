"""A global dimension over its rows: which rows it sees, in which group, and with which arguments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from beam_llmdag.calls.caller import Caller
from beam_llmdag.calls.question import Reply
from beam_llmdag.errors import CallError, InputError
from beam_llmdag.graph.dimension import Dimension, Function
from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.plain import plain
from beam_llmdag.records.result import Result, Row
from beam_llmdag.run.chunks import reduced
from beam_llmdag.run.evaluate import check_skip_if, computed, concluded, models_of, waiting
from beam_llmdag.run.on_missing import check_dependencies, check_left_out, check_pending, rows_to_see
from beam_llmdag.run.user_code import Failed, Pending, Skipped, Values, call_user, own_item, typed, user_error
from beam_llmdag.telling import quoted

__all__ = [
    "NO_GROUP",
    "Sides",
    "evaluate_global",
    "global_arguments",
    "group_of",
    "groups_wait",
    "item_needs",
    "item_sides",
]

NO_GROUP = ""
"""Group of a global over all items, and of rows whose `per` function named none."""

Sides = Mapping[str, Mapping[str, Result]]
"""Global dimension -> group -> its result."""


async def evaluate_global(
    dimension: Dimension,
    rows: Sequence[Row],
    sides: Sides,
    graph: Graph,
    caller: Caller,
    group: str = NO_GROUP,
    *,
    rows_wait: bool = False,
) -> Result:
    """What `dimension` says about `rows`. Like `evaluate_item`, it turns whatever happens into a `Result`.

    Args:
        rows: all rows, or those of one group.
        sides: results of the globals it needs.
        graph: the dag.
        group: the group, for `per=`.
        rows_wait: whether it is not known yet which rows it is about.

    Raises:
        StoreError: the answer store does not work.
    """
    try:
        if rows_wait:
            raise Pending("which items it is about depends on an answer that waits for a batch")
        check_pending(item_needs(dimension.needs, graph), *(row.results for row in rows))
        check_pending(dimension.needs, *(_by_name(sides)))
        result = await _evaluated(dimension, rows, sides, graph, caller, group)
    except Pending as pending:
        result = waiting(dimension, group, str(pending))
    caller.watch.answered(result)
    return result


async def _evaluated(
    dimension: Dimension, rows: Sequence[Row], sides: Sides, graph: Graph, caller: Caller, group: str
) -> Result:
    rows = sorted(rows, key=lambda row: row.item.id)
    values = Values(subject=group, arguments={"items": [own_item(row.item) for row in rows]})
    left_out: tuple[str, ...] = ()
    seen = len(rows)
    try:
        if dimension.per is not None and group == NO_GROUP:
            left_out, seen = tuple(row.item.id for row in rows), 0
            _explain_ungrouped(dimension, rows, graph)
        rows, left_out = rows_to_see(dimension, item_needs(dimension.required, graph), rows)
        seen = len(rows)
        values = replace(values, arguments=global_arguments(dimension.read, rows, sides, graph))
        _check_global_needs(dimension, sides, graph)
        check_left_out(dimension, left_out)
        if not rows:
            why = f": {len(left_out)} left out, because they have no answers" if left_out else ""
            raise Skipped(f"no items{why}")
        check_skip_if(dimension, values)
        if dimension.is_computed:
            reply = computed(dimension, values)
        else:
            models = models_of(dimension, values)

            def prompt_of(some: Sequence[Row]) -> Any:
                if some is rows:
                    return call_user(dimension.function, values)
                about_some = global_arguments(dimension.function.needs, some, sides, graph)
                return call_user(dimension.function, Values(subject=group, arguments=about_some))

            reply = await reduced(dimension, group, rows, prompt_of, models, caller)
    except Skipped as skipped:
        return Result(dimension=dimension.name, item_id=group, status="skipped", reason=str(skipped), left_out=left_out)
    except Failed as failed:
        reply = Reply(error=failed.error)
    left = f"{len(left_out)} of {len(left_out) + seen} items left out: they have no answers" if left_out else None
    reason = "; ".join(told for told in (left, reply.reason) if told is not None) or None
    return replace(concluded(dimension, values, reply), left_out=left_out, reason=reason)


def _by_name(sides: Sides) -> Iterator[Mapping[str, Result]]:
    """The results of globals, one at a time."""
    return ({name: result} for name, groups in sides.items() for result in groups.values())


def group_of(dimension: Dimension, row: Row, graph: Graph) -> str:
    """The group that the `per` function of `dimension` puts a row in; `NO_GROUP` if it cannot say."""
    try:
        return _group(dimension, row, graph)
    except (Failed, Skipped):
        return NO_GROUP  # the result of that group says why


def groups_wait(dimension: Dimension, rows: Sequence[Row], graph: Graph) -> bool:
    """Whether the groups of a `per=` global are not known yet: a row's depends on an answer that waits for a batch."""
    if dimension.per is None:
        return False
    needed = item_needs(dimension.per.needs, graph)
    return any(known.status == "pending" for row in rows for name in needed if (known := row.results.get(name)))


def item_needs(names: Sequence[str], graph: Graph) -> list[str]:
    """Those of `names` that are item dimensions."""
    return [name for name in names if isinstance(step := graph.steps[name], Dimension) and step.scope == "item"]


def item_sides(dimension: Dimension, row: Row, sides: Sides, graph: Graph) -> dict[str, Result]:
    """Results of the globals that an item dimension needs, as they concern one row."""
    found: dict[str, Result] = {}
    for name in dimension.needs:
        groups = sides.get(name)
        if groups is None:
            continue
        step = graph.steps[name]
        group = group_of(step, row, graph) if isinstance(step, Dimension) and step.per is not None else NO_GROUP
        if group in groups:
            found[name] = groups[group]
    return found


def global_arguments(names: Sequence[str], rows: Sequence[Row], sides: Sides, graph: Graph) -> dict[str, Any]:
    """Arguments of functions about all rows: aligned lists of item dimensions, values of globals, dicts of groups.

    Raises:
        Failed: a validator of the user raised.
    """
    arguments: dict[str, Any] = {"items": [own_item(row.item) for row in rows]}
    for name in names:
        step = graph.steps[name]
        if isinstance(step, Dimension) and step.scope == "item":
            arguments[name] = [typed(step, row.results.get(name)) for row in rows]
        elif isinstance(step, Dimension) and step.per is not None:
            answers = {group: result for group, result in sorted(sides.get(name, {}).items()) if result.has_data}
            arguments[name] = {group: typed(step, result) for group, result in answers.items()}
        else:
            arguments[name] = typed(step, sides.get(name, {}).get(NO_GROUP))
    return arguments


def _group(dimension: Dimension, row: Row, graph: Graph) -> str:
    per = dimension.per
    assert isinstance(per, Function)
    if not rows_to_see(dimension, per.needs, [row])[0]:
        raise Skipped("an answer is missing")
    values = Values(subject=row.item.id, arguments={"item": own_item(row.item), **_answers(per.needs, row, graph)})
    named: str = call_user(per, values, _group_name)
    return named


def _answers(names: Sequence[str], row: Row, graph: Graph) -> dict[str, Any]:
    return {name: typed(graph.steps[name], row.results.get(name)) for name in names}


def _group_name(named: Any) -> str:
    """The text of a group's name, the same in every run: sets have an order, and what is not data is refused."""
    try:
        name = plain(named, "what per returned")
    except InputError as error:
        raise user_error(str(error)) from None
    if name is None:
        return NO_GROUP
    return json.dumps(name, ensure_ascii=False) if isinstance(name, (list, dict)) else str(name)


def _explain_ungrouped(dimension: Dimension, rows: Sequence[Row], graph: Graph) -> None:
    """Says why the rows have no group.

    Raises:
        Failed: the function raised for some of them, or they lack an answer and the dimension fails then.
        Skipped: otherwise.
    """
    for row in rows:
        try:
            _group(dimension, row, graph)
        except Skipped:
            check_left_out(dimension, [row.item.id for row in rows])
        except Failed as failed:
            told = f"{len(rows)} items have no group; item {quoted(row.item.id)}: {failed.error.message}"
            raise Failed(CallError("user_function", told, sent=False)) from None
    raise Skipped(f"{len(rows)} items are in no group: per= names none, or has no answers to go by")


def _check_global_needs(dimension: Dimension, sides: Sides, graph: Graph) -> None:
    """Applies `on_missing` to the globals that are needed; one of several groups stands for all."""
    of_items = set(item_needs(dimension.required, graph))
    if len(of_items) < len(dimension.required):
        found: dict[str, Result | None] = {name: _whole(groups) for name, groups in sides.items()}
        check_dependencies(dimension, found, [name for name in dimension.required if name not in of_items])


def _whole(groups: Mapping[str, Result]) -> Result | None:
    """The result that stands for all groups of a global: one with data if there is any."""
    return next((result for result in groups.values() if result.has_data), next(iter(groups.values()), None))
