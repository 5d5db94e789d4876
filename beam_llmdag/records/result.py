"""What a user gets back: Result, Attempt, Row, and the rows of failures and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from beam_llmdag.errors import ErrorClass
from beam_llmdag.records.item import Item
from beam_llmdag.usage import Usage

__all__ = ["Attempt", "CostRow", "Failure", "Result", "Row", "Status"]

Status = Literal["ok", "skipped", "failed", "fallback", "pending"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call to one model, whatever came of it.

    Attributes:
        model: `"provider:name"` as the user wrote it.
        error_class: None if the answer was good.
        message: what went wrong; None if nothing did.
        http_status: status of the response, where there was one.
        request_id: the vendor's id of the request.
        usage: tokens; None if nobody knows (a call that was sent and timed out).
        cost_nano_usd: price in nano-dollars; None if the model has no price or the usage is unknown.
        sent: whether the request may have reached the vendor. False costs nothing.
        raw_answer: what the model said, where it was not good (`invalid_answer`, `truncated`, `refused`, or a validator
            that broke); the middle of a long one is left out. None if nothing came, or if it was good.
        prompt: what was asked, where the run keeps prompts: its system text and messages to be read by a person, the
            middle of a long one left out.
        latency_seconds: from the sending to the answer, waiting for a permit left out. Part of an output file only on
            request: the same answers give the same bytes.
        waited_seconds: time spent waiting for a permit, in the same way.
    """

    model: str
    error_class: ErrorClass | None = None
    message: str | None = None
    http_status: int | None = None
    request_id: str | None = None
    usage: Usage | None = None
    cost_nano_usd: int | None = None
    sent: bool = True
    raw_answer: str | None = None
    prompt: str | None = None
    latency_seconds: float = field(default=0.0, compare=False)
    waited_seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one dimension said about one item, about all of them, or about one group.

    Attributes:
        dimension: name of the dimension (or of the regroup step).
        item_id: id of the item; the group of a `per=` global; `""` for a global over all items.
        status: `"ok"`, `"skipped"`, `"failed"`, `"fallback"` (a value that `on_failure` supplied) or `"pending"` (it
            waits for a batch, or for another that does: a later round will know).
        data: the validated answer as JSON-like data; None unless ok or fallback.
        reason: why it was skipped, or what a reader of a good result should know (rows left out of a global).
        error_class, message: the failure, for `"failed"` and `"fallback"`.
        traceback: where the user's or a provider's own code raised, if that is the failure; in no file of items.
        model: model that answered, `"provider:name"`.
        attempts: every call made for it, in order.
        store_hit: the answer was in the store: no call. It cost nothing, unless this very run had paid for it before
            its bundle failed; then that attempt is here. Of a run that goes in rounds, or goes on after its end, what
            it has paid for earlier is no hit: it says what a run in one go would say.
        left_out: ids of rows that a global did not see, ordered.
    """

    dimension: str
    item_id: str
    status: Status
    data: Any = None
    reason: str | None = None
    error_class: ErrorClass | None = None
    message: str | None = None
    traceback: str | None = None
    model: str | None = None
    attempts: tuple[Attempt, ...] = ()
    store_hit: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def has_data(self) -> bool:
        """Whether dimensions that need this one find a value."""
        return self.status in ("ok", "fallback")

    @property
    def usage(self) -> Usage:
        """Tokens of all attempts, as far as known."""
        return sum((a.usage for a in self.attempts if a.usage is not None), Usage())

    @property
    def cost_nano_usd(self) -> int | None:
        """Nano-dollars of all attempts; None if one of those that were sent has no known price."""
        costs = [attempt.cost_nano_usd for attempt in self.attempts if attempt.sent]
        return None if any(cost is None for cost in costs) else sum(cost for cost in costs if cost is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An item on its way through the dag, and at its end: all that is known about it.

    Attributes:
        item: the item.
        results: dimension name -> its result about this item.
    """

    item: Item
    results: Mapping[str, Result] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed result, or one input record that could not be read.

    Attributes:
        dimension: the dimension that failed; `"input"` for a record that is no item.
        item_id: the item (see `Result.item_id`); for a record, where it stood, as `"file:line 2"`.
        error_class, message: what went wrong.
        traceback: where the user's or a provider's own code raised, if that is what went wrong.
        attempts: every call made, in order.
    """

    dimension: str
    item_id: str
    error_class: ErrorClass
    message: str
    traceback: str | None = None
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """One line of the bill: an attempt of a dimension on an item.

    Attributes:
        dimension, item_id: see `Result`.
        number: of the attempt, counted from 1.
        attempt: the attempt itself.
    """

    dimension: str
    item_id: str
    number: int
    attempt: Attempt
