"""One dimension about one item: dependencies → skip_if → prompt → call → on_failure → result.

No user function and no model can make these functions raise: whatever happens becomes a `Result`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from beam_llmdag.calls.caller import Caller
from beam_llmdag.calls.prompt import messages_of
from beam_llmdag.calls.question import Question, Reply
from beam_llmdag.errors import CallError, GraphError
from beam_llmdag.graph.dimension import ABSENT, Dimension, Function
from beam_llmdag.graph.graph import Graph
from beam_llmdag.model import Message, Model, as_model
from beam_llmdag.records.item import Item
from beam_llmdag.records.result import Attempt, Result
from beam_llmdag.run.on_missing import check_dependencies, check_pending
from beam_llmdag.run.sampling import sampled
from beam_llmdag.run.user_code import (
    Failed,
    Pending,
    Skipped,
    Values,
    call_user,
    dumped,
    guarded,
    own_item,
    typed,
    user_error,
)
from beam_llmdag.telling import quoted, shown

__all__ = [
    "Prompt",
    "ask",
    "check_skip_if",
    "computed",
    "concluded",
    "evaluate_item",
    "models_of",
    "read_prompt",
    "waiting",
]

Prompt = tuple[tuple[Message, ...], str | None]
"""Messages, and the system text that was among them."""


async def evaluate_item(
    dimension: Dimension, item: Item, results: Mapping[str, Result], graph: Graph, caller: Caller
) -> Result:
    """What `dimension` says about `item`.

    Args:
        results: results of all it needs: about this item, of globals, of the item's group.
        graph: the dimension's, to rebuild typed answers.

    Raises:
        StoreError: the answer store does not work.
    """
    result = await _evaluated(dimension, item, results, graph, caller)
    caller.watch.answered(result)
    return result


async def _evaluated(
    dimension: Dimension, item: Item, results: Mapping[str, Result], graph: Graph, caller: Caller
) -> Result:
    arguments: dict[str, Any] = {"item": own_item(item)}
    values = Values(subject=item.id, arguments=arguments)
    try:
        check_pending(dimension.needs, results)
        for name in dimension.read:
            arguments[name] = typed(graph.steps[name], results.get(name))
        check_dependencies(dimension, results, dimension.required)
        check_skip_if(dimension, values)
        reply = computed(dimension, values) if dimension.is_computed else await _asked(dimension, values, caller)
    except Skipped as skipped:
        return Result(dimension=dimension.name, item_id=item.id, status="skipped", reason=str(skipped))
    except Pending as pending:
        return waiting(dimension, item.id, str(pending))
    except Failed as failed:
        reply = Reply(error=failed.error)
    return concluded(dimension, values, reply)


def waiting(dimension: Dimension, subject: str, reason: str, attempts: Sequence[Attempt] = ()) -> Result:
    """The result of what a later round will know."""
    return Result(dimension=dimension.name, item_id=subject, status="pending", reason=reason, attempts=tuple(attempts))


def concluded(dimension: Dimension, values: Values, reply: Reply) -> Result:
    """The result that a reply makes, after `on_failure` had its say."""
    if reply.is_pending:
        return waiting(dimension, values.subject, "its answer waits for a batch", reply.attempts)
    error = reply.error
    if error is None:
        return Result(
            dimension=dimension.name,
            item_id=values.subject,
            status="ok",
            data=reply.data,
            reason=reply.reason,
            model=reply.model,
            attempts=tuple(reply.attempts),
            store_hit=reply.store_hit,
        )
    kind = "group" if dimension.scope == "global" else "item"
    about = dimension.title + (f", {kind} {quoted(values.subject)}" if values.subject else "")
    failed = Result(
        dimension=dimension.name,
        item_id=values.subject,
        status="failed",
        error_class=error.error_class,
        message=f"{about}: {error.message}",
        traceback=error.traceback,
        attempts=tuple(reply.attempts),
        store_hit=reply.store_hit,
    )
    if dimension.on_failure is ABSENT:
        return failed
    try:
        return replace(failed, status="fallback", data=_replacement(dimension, values, error))
    except Failed as second:
        return replace(failed, message=f"{failed.message}; on_failure did not help: {second.error.message}")


def computed(dimension: Dimension, values: Values) -> Reply:
    """What the function of a computed step makes.

    Raises:
        Failed: it raised, or what it returned does not fit the output.
    """
    return Reply(data=dumped(dimension.output, call_user(dimension.function, values), "what it returned"))


async def _asked(dimension: Dimension, values: Values, caller: Caller) -> Reply:
    """What the models say about one item.

    Raises:
        Failed: there is no prompt, or no model.
    """
    models = models_of(dimension, values)
    prompt = read_prompt(call_user(dimension.function, values))
    return await sampled(dimension, lambda sample: ask(dimension, values.subject, prompt, models, caller, sample))


async def ask(
    dimension: Dimension, subject: str, prompt: Prompt, models: tuple[Model, ...], caller: Caller, sample: int
) -> Reply:
    """Asks a prompt of a dimension about an item or a group, for one sample."""
    messages, system = prompt
    if dimension.system:
        system = f"{dimension.system}\n\n{system}" if system else dimension.system
    return await caller.ask(
        Question(
            dimension=dimension.name,
            subject=subject,
            messages=messages,
            system=system,
            output=dimension.asked,
            models=models,
            deadline_seconds=dimension.deadline_seconds,
            sample=sample,
            version=dimension.version,
        )
    )


def read_prompt(prompt: Any) -> Prompt:
    """What a prompt function returned, as messages.

    Raises:
        Failed: it is no prompt, or says nothing.
    """

    def read() -> Prompt:
        try:
            return messages_of(prompt)
        except CallError as error:
            raise Failed(error) from None

    return guarded(read, "reading the prompt")


def models_of(dimension: Dimension, values: Values) -> tuple[Model, ...]:
    """The models to ask in order, picked by the dimension's function if it has one.

    Raises:
        Failed: the function raised or returned no model.
    """
    if dimension.models is not None:
        return dimension.models
    assert isinstance(dimension.model, Function)
    label = dimension.model.label

    def models(chosen: Any) -> tuple[Model, ...]:
        try:
            model = as_model(chosen)
            if any(one.lane == "batch" for one in model.chain()):
                raise user_error(f"{label} returned a model with lane='batch': say that of the dimension")
            if any(one.budget_usd is not None for one in model.chain()):
                raise user_error(f"{label} returned a model with budget_usd: say that of the dimension or of the run")
            return dimension.tuned(model).chain()
        except GraphError as error:
            raise user_error(f"{label} returned no model: {error}") from None

    found: tuple[Model, ...] = call_user(dimension.model, values, models)
    return found


def check_skip_if(dimension: Dimension, values: Values) -> None:
    """Calls `skip_if`.

    Raises:
        Skipped: it says so.
        Failed: it raised.
    """
    if dimension.skip_if is not None and call_user(dimension.skip_if, values, _truth):
        raise Skipped("its skip_if is true")


def _truth(said: Any) -> bool:
    """What `skip_if` says. bool() of an array raises; of a method that nobody called it would be true."""
    if callable(said) or isinstance(said, (Awaitable, AsyncIterator, Iterator)):
        raise user_error(f"skip_if returned {shown(said)}, which is always true; return what it says instead")
    return bool(said)


def _replacement(dimension: Dimension, values: Values, error: CallError) -> Any:
    """Data of the value that `on_failure` supplies.

    Raises:
        Failed: it raised, or its value does not fit the output.
    """
    value = dimension.on_failure
    if isinstance(value, Function):
        value = call_user(value, replace(values, arguments={**values.arguments, "error": error}))
    return dumped(dimension.output, value, "the value of on_failure")
