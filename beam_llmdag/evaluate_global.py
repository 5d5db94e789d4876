"""A global dimension over its rows: one call if they fit one prompt, else a tree of calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from beam_llmdag.call import Caller, Reply
from beam_llmdag.dimension import Dimension, Function, Step
from beam_llmdag.errors import CallError
from beam_llmdag.evaluate import (
    Failed,
    Skipped,
    Values,
    ask,
    call_user,
    check_dependencies,
    check_skip_if,
    concluded,
    model_of,
    typed,
)
from beam_llmdag.item import Item
from beam_llmdag.model import Image, Message, Model
from beam_llmdag.prices import context_window
from beam_llmdag.prompt import estimated_tokens, messages_of
from beam_llmdag.result import Result, Row

__all__ = ["NO_GROUP", "Sides", "evaluate_global", "global_arguments", "group_of", "item_sides"]

NO_GROUP = ""
"""Group of a global over all items, and of rows whose `per` function named none."""

Sides = Mapping[str, Mapping[str, Result]]
"""Global dimension -> group -> its result."""

_WINDOW_SHARE = 0.9  # of a model's context that a prompt may fill: token numbers are estimates
_ANSWER_TOKENS = 4096  # kept free for an answer where max_tokens does not say


async def evaluate_global(
    dimension: Dimension, rows: Sequence[Row], sides: Sides, steps: Mapping[str, Step], caller: Caller, group: str = NO_GROUP
) -> Result:
    """What `dimension` says about `rows`.

    Args:
        rows: all rows, or those of one group.
        sides: results of the globals it needs.
        steps: the dag's.
        group: the group, for `per=`.
    """
    values = Values(subject=group, arguments={})
    left_out: tuple[str, ...] = ()
    try:
        if dimension.per is not None and group == NO_GROUP:
            left_out = tuple(sorted(row.item.id for row in rows))
            raise Skipped(f"per= names no group for {len(rows)} of the items")
        rows, left_out = _complete_rows(dimension, sorted(rows, key=lambda row: row.item.id), steps)
        check_dependencies(dimension, {name: _whole(sides.get(name, {})) for name in dimension.required if name in sides})
        if not rows:
            raise Skipped(f"no items: {len(left_out)} left out, because they have no answers" if left_out else "no items")
        values = replace(values, arguments=global_arguments(dimension.functions, rows, sides, steps))
        check_skip_if(dimension, values)
        reply = await _reduced(dimension, rows, sides, steps, model_of(dimension, values), caller)
    except Skipped as skipped:
        return Result(dimension=dimension.name, item_id=group, status="skipped", reason=str(skipped), left_out=left_out)
    except Failed as failed:
        reply = Reply(error=failed.error)
    result = concluded(dimension, values, reply)
    reason = f"{len(left_out)} of {len(left_out) + len(rows)} items left out: they have no answers" if left_out else None
    return replace(result, left_out=left_out, reason=reason)


def group_of(dimension: Dimension, row: Row, steps: Mapping[str, Step]) -> str:
    """The group that the `per` function of `dimension` puts a row in; `NO_GROUP` if it cannot say."""
    assert dimension.per is not None
    results = [row.results.get(name) for name in dimension.per.needs]
    if dimension.on_missing != "run" and not all(result is not None and result.has_data for result in results):
        return NO_GROUP
    try:
        arguments = {name: typed(steps[name], row.results.get(name)) for name in dimension.per.needs}
        values = Values(subject=row.item.id, arguments={"item": row.item, **arguments})
        group = call_user(dimension.per, "per function", dimension.name, values)
    except Failed:
        return NO_GROUP
    if isinstance(group, Enum):
        group = group.value
    return NO_GROUP if group is None else str(group)


def item_sides(dimension: Dimension, row: Row, sides: Sides, steps: Mapping[str, Step]) -> dict[str, Result]:
    """Results of the globals that an item dimension needs, as they concern one row."""
    found: dict[str, Result] = {}
    for name in dimension.needs:
        step = steps[name]
        if name not in sides:
            continue
        group = group_of(step, row, steps) if isinstance(step, Dimension) and step.per is not None else NO_GROUP
        if group in sides[name]:
            found[name] = sides[name][group]
    return found


def global_arguments(
    functions: Sequence[Function], rows: Sequence[Row], sides: Sides, steps: Mapping[str, Step]
) -> dict[str, Any]:
    """Arguments of functions about all rows: aligned lists of item dimensions, values of globals, dicts of grouped ones."""
    arguments: dict[str, Any] = {"items": [row.item for row in rows]}
    for name in {name for function in functions for name in function.needs}:
        step = steps[name]
        if isinstance(step, Dimension) and step.scope == "item":
            arguments[name] = [typed(step, row.results.get(name)) for row in rows]
        elif isinstance(step, Dimension) and step.per is not None:
            answers = {group: typed(step, result) for group, result in sorted(sides.get(name, {}).items())}
            arguments[name] = {group: answer for group, answer in answers.items() if answer is not None}
        else:
            arguments[name] = typed(step, sides.get(name, {}).get(NO_GROUP))
    return arguments


def _complete_rows(
    dimension: Dimension, rows: Sequence[Row], steps: Mapping[str, Step]
) -> tuple[Sequence[Row], tuple[str, ...]]:
    """The rows that the dimension sees, and the ids of those it does not."""
    if dimension.on_missing == "run":
        return rows, ()
    needed = [name for name in dimension.required if isinstance(s := steps[name], Dimension) and s.scope == "item"]
    complete = [row for row in rows if all(name in row.results and row.results[name].has_data for name in needed)]
    kept = {row.item.id for row in complete}
    left_out = tuple(row.item.id for row in rows if row.item.id not in kept)
    if left_out and dimension.on_missing == "fail":
        shown = ", ".join(left_out[:10]) + (", …" if len(left_out) > 10 else "")
        raise Failed(CallError("dependency", f"{len(left_out)} items have no answer of what it needs: {shown}", sent=False))
    return complete, left_out


def _whole(groups: Mapping[str, Result]) -> Result | None:
    """The result that stands for all groups of a global: one with data if there is any."""
    return next((result for result in groups.values() if result.has_data), next(iter(groups.values()), None))


@dataclass(frozen=True, slots=True)
class _Tree:
    """How one global is asked: its dimension, model, caller and the most tokens of a prompt (None: unknown)."""

    dimension: Dimension
    model: Model
    caller: Caller
    most_tokens: int | None

    def fits(self, prompt: Any) -> bool:
        """Whether a prompt may be sent as it is. A prompt that is none is asked, to fail with the right words."""
        try:
            messages, _ = messages_of(prompt)
        except CallError:
            return True
        return self.most_tokens is None or estimated_tokens(messages) <= self.most_tokens

    async def ask(self, prompt: Any) -> Reply:
        return await ask(self.dimension, prompt, self.model, self.caller)


async def _reduced(
    dimension: Dimension,
    rows: Sequence[Row],
    sides: Sides,
    steps: Mapping[str, Step],
    model: Model,
    caller: Caller,
) -> Reply:
    tree = _Tree(dimension, model, caller, _most_tokens(dimension, model))

    def prompts(some: Sequence[Row]) -> list[Any]:
        values = Values(subject="", arguments=global_arguments([dimension.prompt], some, sides, steps))
        prompt = call_user(dimension.prompt, "prompt function", dimension.name, values)
        if tree.fits(prompt):
            return [prompt]
        if dimension.merge_prompt is None or len(some) == 1:
            raise Failed(_too_many(dimension, len(some), tree.most_tokens))
        half = len(some) // 2
        return [*prompts(some[:half]), *prompts(some[half:])]

    replies = await asyncio.gather(*(tree.ask(prompt) for prompt in prompts(rows)))
    return replies[0] if len(replies) == 1 else await _merged(tree, replies)


async def _merged(tree: _Tree, replies: Sequence[Reply]) -> Reply:
    """Partial replies joined to one, with the attempts of all."""
    total = Reply(model=replies[0].model, attempts=[attempt for reply in replies for attempt in reply.attempts])
    total.store_hit = all(reply.store_hit for reply in replies)
    total.error = next((reply.error for reply in replies if reply.error is not None), None)
    if total.error is None:
        try:
            total.data = await _joined(tree, [reply.data for reply in replies], total)
        except Failed as failed:
            total.error = failed.error
    return total


async def _joined(tree: _Tree, parts: Sequence[Any], total: Reply) -> Any:
    """The data of one answer made of `parts`, in halves first if their prompt is too long. Enters calls in `total`."""
    merge = tree.dimension.merge_prompt
    if len(parts) == 1 or merge is None:
        return parts[0]
    values = Values(subject="", arguments={"parts": [tree.dimension.output.rebuild(part) for part in parts]})
    merged = call_user(merge, "merge", tree.dimension.name, values)
    if not _is_prompt(merged):
        try:
            return tree.dimension.output.dump(merged)
        except CallError as error:
            raise Failed(CallError("user_function", f"merge returned neither a prompt nor an answer: {error.message}")) from None
    if tree.fits(merged):
        reply = await tree.ask(merged)
        total.attempts += reply.attempts
        total.store_hit = total.store_hit and reply.store_hit
        if reply.error is not None:
            raise Failed(reply.error)
        return reply.data
    if len(parts) == 2:  # halves of two are what they were: nothing gets shorter
        raise Failed(_too_many(tree.dimension, len(parts), tree.most_tokens))
    half = len(parts) // 2
    halves = await asyncio.gather(*(_joined(tree, some, total) for some in (parts[:half], parts[half:])))
    return await _joined(tree, halves, total)


def _is_prompt(value: Any) -> bool:
    return isinstance(value, (str, Image, Message)) or (
        isinstance(value, (list, tuple)) and bool(value) and all(isinstance(part, (str, Image, Message)) for part in value)
    )


def _most_tokens(dimension: Dimension, model: Model) -> int | None:
    if dimension.max_prompt_tokens is not None:
        return dimension.max_prompt_tokens
    known = [(context_window(m.spec), m.max_tokens or _ANSWER_TOKENS) for m in model.chain()]
    return min((int(window * _WINDOW_SHARE) - answer for window, answer in known if window is not None), default=None)


def _too_many(dimension: Dimension, rows: int, most_tokens: int | None) -> CallError:
    remedy = "a single one is too long" if dimension.merge_prompt else f"declare how partial answers join with @{dimension.name}.merge"
    return CallError(
        "too_many_rows", f"{rows} rows do not fit one prompt of at most {most_tokens} tokens (estimated): {remedy}", sent=False
    )
