"""One answer over many rows: one call if they fit one prompt, else a tree of calls: chunks, then answers of answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from beam_llmdag.calls.caller import Caller
from beam_llmdag.calls.prompt import estimated_tokens
from beam_llmdag.calls.question import Reply
from beam_llmdag.errors import CallError
from beam_llmdag.graph.dimension import Dimension
from beam_llmdag.model import Image, Message, Model
from beam_llmdag.providers.prices import context_window
from beam_llmdag.records.result import Row
from beam_llmdag.run.evaluate import Prompt, ask, read_prompt
from beam_llmdag.run.sampling import sampled
from beam_llmdag.run.user_code import Failed, Pending, Values, call_user, dumped, typed_parts
from beam_llmdag.telling import quoted

__all__ = ["reduced"]

_PARTS = (str, Image, Message)
_WINDOW_SHARE = 0.9  # of a model's context that a prompt may fill: token numbers are estimates
_ANSWER_TOKENS = 4096  # kept free for an answer where max_tokens does not say
_FEW_ROWS = 64  # whose prompt is built without a look at one about fewer

PromptOf = Callable[[Sequence[Row]], Any]
"""What the user's prompt function returns for some of the rows."""


async def reduced(
    dimension: Dimension,
    group: str,
    rows: Sequence[Row],
    prompt_of: PromptOf,
    models: tuple[Model, ...],
    caller: Caller,
) -> Reply:
    """The reply to a global dimension over `rows`, which are those of `group`.

    Raises:
        Failed: before any call: a prompt is none, or the rows do not fit and there is no way to merge parts.
        StoreError: the answer store does not work.
    """
    tree = _Tree(dimension, group, models, caller, _most_tokens(dimension, models))
    prompts = tree.split(rows, prompt_of)
    return await sampled(dimension, lambda sample: replace(tree, sample=sample).answer(prompts))


@dataclass(frozen=True, slots=True)
class _Tree:
    """How one global is asked.

    Attributes:
        most_tokens: of a prompt; None where nobody knows.
        sample: the number of the answer where several are asked for.
    """

    dimension: Dimension
    group: str
    models: tuple[Model, ...]
    caller: Caller
    most_tokens: int | None
    sample: int = 0

    async def answer(self, prompts: Sequence[Prompt]) -> Reply:
        """The reply to prompts that are each about some of the rows."""
        replies = await asyncio.gather(*(self.ask(prompt) for prompt in prompts))
        return replies[0] if len(replies) == 1 else await self.merged(replies)

    async def ask(self, prompt: Prompt) -> Reply:
        return await ask(self.dimension, self.group, prompt, self.models, self.caller, self.sample)

    def fits(self, prompt: Prompt) -> bool:
        return self.most_tokens is None or estimated_tokens(prompt[0]) <= self.most_tokens

    def split(self, rows: Sequence[Row], prompt_of: PromptOf) -> list[Prompt]:
        """Prompts that fit, each about some of the rows, in order.

        Raises:
            Failed: there are none.
        """
        if self._first_part_is_too_long(rows, prompt_of):
            return self._halves(rows, prompt_of)
        prompt = read_prompt(prompt_of(rows))
        if self.fits(prompt):
            return [prompt]
        if self.dimension.merge_prompt is None:
            remedy = f"declare how partial answers join with @{self.dimension.name}.merge"
            raise self._too_many(f"{len(rows)} rows", remedy)
        if len(rows) == 1:
            raise self._too_many(f"item {quoted(rows[0].item.id)} alone", "shorten what the prompt says of an item")
        return self._halves(rows, prompt_of)

    def _halves(self, rows: Sequence[Row], prompt_of: PromptOf) -> list[Prompt]:
        half = len(rows) // 2
        return [*self.split(rows[:half], prompt_of), *self.split(rows[half:], prompt_of)]

    def _first_part_is_too_long(self, rows: Sequence[Row], prompt_of: PromptOf) -> bool:
        """Whether a prompt about a first part of `rows` is too long, and so one about all of them.

        Parts are tried from the shortest, or the prompt of a million rows would be built to see that it is too long.
        """
        if self.most_tokens is None or self.dimension.merge_prompt is None:
            return False
        return any(self._is_too_long(rows[:count], prompt_of) for count in _first_parts(len(rows)))

    def _is_too_long(self, rows: Sequence[Row], prompt_of: PromptOf) -> bool:
        try:
            return not self.fits(read_prompt(prompt_of(rows)))
        except Failed:  # it will be told of these rows, if they are ever asked about alone
            return False

    async def merged(self, replies: Sequence[Reply]) -> Reply:
        """Partial replies joined to one, with the attempts of all."""
        total = Reply(
            is_pending=any(reply.is_pending for reply in replies),
            model=replies[0].model,
            attempts=[attempt for reply in replies for attempt in reply.attempts],
            store_hit=all(reply.store_hit for reply in replies),
            error=next((reply.error for reply in replies if reply.error is not None), None),
        )
        if total.error is None and not total.is_pending:
            try:
                total.data = await self._joined([reply.data for reply in replies], total)
            except Pending:
                total.is_pending = True
            except Failed as failed:
                total.error = failed.error
        return total

    async def _joined(self, parts: Sequence[Any], total: Reply) -> Any:
        """The data of one answer made of `parts`, in halves first if their prompt is too long. Enters calls in `total`.

        Raises:
            Failed: the merge function or a call did.
            Pending: a call waits for a batch.
        """
        merge = self.dimension.merge_prompt
        if len(parts) == 1 or merge is None:
            return parts[0]
        merged = call_user(merge, Values(subject="", arguments={"parts": typed_parts(self.dimension, parts)}))
        if self._is_answer(merged):
            return dumped(self.dimension.asked, merged, "what merge returned")
        prompt = read_prompt(merged)
        if self.fits(prompt):
            return await self._asked(prompt, total)
        if len(parts) == 2:  # halves of two are what they were: nothing gets shorter
            raise self._too_many("two partial answers", "shorten what merge says of them")
        half = len(parts) // 2
        halves = [self._joined(some, total) for some in (parts[:half], parts[half:])]
        ended = await asyncio.gather(*halves, return_exceptions=True)  # so that no half runs on when the other failed
        for one in ended:
            if isinstance(one, BaseException):
                raise one
        return await self._joined(ended, total)

    async def _asked(self, prompt: Prompt, total: Reply) -> Any:
        reply = await self.ask(prompt)
        total.attempts += reply.attempts
        total.store_hit = total.store_hit and reply.store_hit
        if reply.is_pending:
            raise Pending("a part of its answer waits for a batch")
        if reply.error is not None:
            raise Failed(reply.error)
        return reply.data

    def _is_answer(self, merged: Any) -> bool:
        """Whether `merged` is an answer rather than a prompt. What may be either is an answer, unless that is text."""
        if self.dimension.asked.is_text or not _looks_like_a_prompt(merged):
            return not _looks_like_a_prompt(merged)
        try:
            dumped(self.dimension.asked, merged, "what merge returned")
        except Failed:
            return False
        return True

    def _too_many(self, what: str, remedy: str) -> Failed:
        message = f"{what} do not fit one prompt of at most {self.most_tokens} tokens (estimated): {remedy}"
        return Failed(CallError("too_many_rows", message, sent=False))


def _first_parts(count: int) -> list[int]:
    """How many of `count` rows are in their first half, in the first half of that, and so on, from few to many."""
    counts: list[int] = []
    while count > _FEW_ROWS:
        count //= 2
        counts.append(count)
    return counts[::-1]


def _looks_like_a_prompt(value: Any) -> bool:
    parts = [value] if isinstance(value, _PARTS) else value
    return isinstance(parts, (list, tuple)) and bool(parts) and all(isinstance(part, _PARTS) for part in parts)


def _most_tokens(dimension: Dimension, models: Sequence[Model]) -> int | None:
    if dimension.max_prompt_tokens is not None:
        return dimension.max_prompt_tokens
    known = [(context_window(model.spec), model.max_tokens or _ANSWER_TOKENS) for model in models]
    return min((int(window * _WINDOW_SHARE) - answer for window, answer in known if window is not None), default=None)
