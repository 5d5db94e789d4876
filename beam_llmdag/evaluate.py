"""One dimension about one item: dependencies → skip_if → prompt → call → on_failure → result.

No user function and no model can make these functions raise: whatever happens becomes a `Result`.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from beam_llmdag.call import Caller, Question, Reply
from beam_llmdag.dimension import ABSENT, Dimension, Function, Step
from beam_llmdag.errors import CallError, GraphError
from beam_llmdag.item import Item
from beam_llmdag.model import Model, as_model
from beam_llmdag.prompt import messages_of
from beam_llmdag.result import Result

__all__ = [
    "Failed",
    "Skipped",
    "Values",
    "ask",
    "call_user",
    "check_dependencies",
    "check_skip_if",
    "concluded",
    "evaluate_item",
    "guarded",
    "model_of",
    "typed",
]


class Skipped(Exception):  # noqa: N818 - no error, a way out
    """A dimension need not run; the text says why."""


class Failed(Exception):  # noqa: N818
    """A dimension has failed before a call; holds the `CallError`."""

    def __init__(self, error: CallError) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What the functions of one dimension are called with, about one item or about all.

    Attributes:
        subject: item id, group or `""`, for results and errors.
        arguments: parameter name -> value.
    """

    subject: str
    arguments: Mapping[str, Any]


async def evaluate_item(
    dimension: Dimension, item: Item, results: Mapping[str, Result], steps: Mapping[str, Step], caller: Caller
) -> Result:
    """What `dimension` says about `item`.

    Args:
        results: results of all it needs: about this item, of globals, of the item's group.
        steps: the dag's, to rebuild typed answers.
    """
    values = Values(subject=item.id, arguments={"item": item})
    try:
        values = replace(values, arguments=_item_arguments(dimension, item, results, steps))
        check_dependencies(dimension, {name: results.get(name) for name in dimension.required})
        check_skip_if(dimension, values)
        prompt = call_user(dimension.prompt, "prompt function", dimension.name, values)
        reply = await ask(dimension, prompt, model_of(dimension, values), caller)
    except Skipped as skipped:
        return Result(dimension=dimension.name, item_id=item.id, status="skipped", reason=str(skipped))
    except Failed as failed:
        reply = Reply(error=failed.error)
    return concluded(dimension, values, reply)


def concluded(dimension: Dimension, values: Values, reply: Reply) -> Result:
    """The result that a reply makes, after `on_failure` had its say."""
    result = Result(
        dimension=dimension.name,
        item_id=values.subject,
        status="ok",
        data=reply.data,
        model=reply.model,
        attempts=tuple(reply.attempts),
        store_hit=reply.store_hit,
    )
    if reply.error is None:
        return result
    error = reply.error
    message = f"dimension {dimension.name!r}, item {values.subject!r}: {error.message}" if values.subject else (
        f"dimension {dimension.name!r}: {error.message}"
    )
    failed = replace(result, status="failed", data=None, error_class=error.error_class, message=message)
    if dimension.on_failure is ABSENT:
        return failed
    try:
        return replace(failed, status="fallback", data=dimension.output.dump(_replacement(dimension, values, error)))
    except (CallError, Failed) as second:
        told = second.error if isinstance(second, Failed) else second
        return replace(failed, message=f"{message}; on_failure did not help: {told.message}")


async def ask(dimension: Dimension, prompt: Any, model: Model, caller: Caller) -> Reply:
    """Asks what a prompt function returned.

    Raises:
        Failed: the prompt is none.
    """
    try:
        messages, system = messages_of(prompt)
    except CallError as error:
        raise Failed(error) from None
    texts = [text for text in (dimension.system, system) if text]
    question = Question(
        dimension=dimension.name,
        messages=messages,
        system="\n\n".join(texts) or None,
        output=dimension.output,
        model=model,
        deadline_seconds=dimension.deadline_seconds,
    )
    return await caller.ask(question)


def model_of(dimension: Dimension, values: Values) -> Model:
    """The model to ask, picked by the dimension's function if it has one.

    Raises:
        Failed: the function raised or returned no model.
    """
    chosen: Any = dimension.model
    if isinstance(chosen, Function):
        chosen = call_user(chosen, "model function", dimension.name, values)
    try:
        return dimension.tuned(as_model(chosen))
    except GraphError as error:
        raise Failed(CallError("user_function", f"the model function returned no model: {error}", sent=False)) from None


def call_user(function: Function, what: str, dimension: str, values: Values) -> Any:
    """Calls a user's function with the arguments that its parameters name.

    Raises:
        Failed: it raised; the error names the exception and the line.
    """
    arguments = {name: values.arguments.get(name) for name in function.parameters}
    return guarded(lambda: function.call(**arguments), f"the {what} of {dimension!r}")


def typed(step: Step, result: Result | None) -> Any:
    """The typed answer that a prompt function sees; None if there is none."""
    if result is None or not result.has_data:
        return None
    if not isinstance(step, Dimension):
        return result.data
    return guarded(lambda: step.output.rebuild(result.data), f"rebuilding the answer of {step.name!r}")


def guarded(function: Callable[[], Any], what: str) -> Any:
    """Runs a user's code.

    Raises:
        Failed: it raised; the error names the exception and the line.
    """
    try:
        return function()
    except Failed:
        raise
    except Exception as error:  # a user's code may raise anything, and one odd row must not cost the others
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(frame.filename)}, line {frame.lineno}"
        raise Failed(
            CallError("user_function", f"{what} raised {type(error).__name__}: {error} ({where})", sent=False)
        ) from error


def check_dependencies(dimension: Dimension, results: Mapping[str, Result | None]) -> None:
    """Applies `on_missing` to dependencies and their results.

    Raises:
        Skipped, Failed: one of them has no value, and the dimension does not run without it.
    """
    if dimension.on_missing == "run":
        return
    for name, result in results.items():
        if result is not None and result.has_data:
            continue
        told = missing_reason(name, result)
        if dimension.on_missing == "fail":
            raise Failed(CallError("dependency", f"it needs {told}", sent=False))
        raise Skipped(f"needs {told}")


def check_skip_if(dimension: Dimension, values: Values) -> None:
    """Calls `skip_if`.

    Raises:
        Skipped: it says so.
        Failed: it raised.
    """
    if dimension.skip_if is not None and call_user(dimension.skip_if, "skip_if", dimension.name, values):
        raise Skipped("skip_if")


def missing_reason(name: str, result: Result | None) -> str:
    """Why a dependency has no value, in words."""
    if result is None:
        return f"{name!r}, which has no answer"
    if result.status == "skipped":
        return f"{name!r}, which was skipped ({result.reason})"
    return f"{name!r}, which failed ({result.error_class})"


def _item_arguments(dimension: Dimension, item: Item, results: Mapping[str, Result], steps: Mapping[str, Step]) -> dict[str, Any]:
    names = {name for function in dimension.functions for name in function.needs}
    return {"item": item, **{name: typed(steps[name], results.get(name)) for name in names}}


def _replacement(dimension: Dimension, values: Values, error: CallError) -> Any:
    if not isinstance(dimension.on_failure, Function):
        return dimension.on_failure
    arguments = {**values.arguments, "error": error}
    return call_user(dimension.on_failure, "on_failure", dimension.name, replace(values, arguments=arguments))
