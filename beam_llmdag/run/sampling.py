"""Several answers to the same question, and the one that a vote makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from beam_llmdag.calls.question import Reply
from beam_llmdag.errors import CallError
from beam_llmdag.graph.dimension import Dimension
from beam_llmdag.run.user_code import Failed, Values, call_user, dumped, typed_parts

__all__ = ["sampled"]


async def sampled(dimension: Dimension, ask: Callable[[int], Awaitable[Reply]]) -> Reply:
    """The reply that all samples of a dimension make together, with the attempts of all.

    It is made of those that have an answer, and says how many have none. It has an error only if none has an answer, or
    the vote failed.

    Args:
        ask: asks for the sample of a number, from 0.
    """
    if dimension.samples == 1:
        return await ask(0)
    replies = await asyncio.gather(*(ask(number) for number in range(dimension.samples)))
    if any(reply.is_pending for reply in replies):
        return Reply(attempts=[attempt for reply in replies for attempt in reply.attempts], is_pending=True)
    answered = [reply for reply in replies if reply.error is None]
    total = Reply(
        model=answered[0].model if answered else None,
        attempts=[attempt for reply in replies for attempt in reply.attempts],
        store_hit=all(reply.store_hit for reply in replies),
        reason=_reason(replies),
    )
    try:
        total.data = _voted(dimension, answered) if answered else _none_answered(replies)
    except Failed as failed:
        total.error = failed.error
    return total


def _voted(dimension: Dimension, answered: Sequence[Reply]) -> Any:
    """Data of the list of answers, or of what the vote made of it.

    Raises:
        Failed: the vote raised, or what it returned does not fit the output.
    """
    data = [reply.data for reply in answered]
    if dimension.vote is None:
        return data
    [parameter] = dimension.vote.parameters
    answers = typed_parts(dimension, data)
    made = call_user(dimension.vote, Values(subject="", arguments={parameter: answers}))
    return dumped(dimension.output, made, "what vote returned")


def _none_answered(replies: Sequence[Reply]) -> Any:
    first = replies[0].error
    assert first is not None
    raise Failed(
        CallError(
            first.error_class,
            f"none of {len(replies)} samples has an answer; the first: {first.message}",
            http_status=first.http_status,
            request_id=first.request_id,
            traceback=first.traceback,
        )
    )


def _reason(replies: Sequence[Reply]) -> str | None:
    failed = [reply.error.error_class for reply in replies if reply.error is not None]
    if not failed:
        return None
    return f"{len(failed)} of {len(replies)} samples failed ({', '.join(dict.fromkeys(failed))})"
