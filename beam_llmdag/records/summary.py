"""Results added up: items, calls, tokens and money, by dimension and by model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from beam_llmdag.records.result import Attempt, Failure, Result
from beam_llmdag.usage import TOKEN_KINDS, Usage

__all__ = ["Summary", "Total"]

_NANO = 1_000_000_000
_SHORT_KINDS = tuple(kind.removesuffix("_tokens") for kind in TOKEN_KINDS)


@dataclass(slots=True)
class Total:
    """One line of a summary.

    Attributes:
        items: items, or results of a dimension or model.
        calls: requests sent, retries included.
        skipped, failed, pending, store_hits: results of that kind.
        left_out: rows that a global did not see.
        usage: tokens, as far as known.
        cost_nano_usd: nano-dollars of the calls with a known cost.
        unpriced_calls: calls whose cost is not known: no price, or no word on their tokens. If there are any, the cost
            is a lower bound.
    """

    items: int = 0
    calls: int = 0
    skipped: int = 0
    failed: int = 0
    pending: int = 0
    store_hits: int = 0
    left_out: int = 0
    usage: Usage = field(default_factory=Usage)
    cost_nano_usd: int = 0
    unpriced_calls: int = 0

    def add_result(self, result: Result) -> None:
        """Counts a result, without its attempts."""
        self.skipped += result.status == "skipped"
        self.failed += result.status == "failed"
        self.pending += result.status == "pending"
        self.store_hits += result.store_hit
        self.left_out += len(result.left_out)

    def add_attempt(self, attempt: Attempt) -> None:
        """Counts a call."""
        self.calls += 1
        if attempt.usage is not None:
            self.usage += attempt.usage
        self.cost_nano_usd += attempt.cost_nano_usd or 0
        self.unpriced_calls += attempt.cost_nano_usd is None

    def add(self, other: Total) -> None:
        """Adds another total."""
        self.items += other.items
        self.calls += other.calls
        self.skipped += other.skipped
        self.failed += other.failed
        self.pending += other.pending
        self.store_hits += other.store_hits
        self.left_out += other.left_out
        self.usage += other.usage
        self.cost_nano_usd += other.cost_nano_usd
        self.unpriced_calls += other.unpriced_calls

    def to_json(self) -> dict[str, Any]:
        """As JSON-like data, the cost in dollars."""
        return {
            "items": self.items,
            "calls": self.calls,
            "skipped": self.skipped,
            "failed": self.failed,
            "pending": self.pending,
            "store_hits": self.store_hits,
            "left_out": self.left_out,
            "tokens": dict(zip(_SHORT_KINDS, self.usage.counts(), strict=True)),
            "cost_usd": self.cost_nano_usd / _NANO,
            "unpriced_calls": self.unpriced_calls,
        }


@dataclass(slots=True)
class Summary:
    """A run added up.

    Attributes:
        total: all of it.
        by_dimension: dimension -> its part.
        by_model: `"provider:name"` -> its part; results count for the model that answered, or that was asked last,
            calls for the one that was asked.
    """

    total: Total = field(default_factory=Total)
    by_dimension: dict[str, Total] = field(default_factory=dict)
    by_model: dict[str, Total] = field(default_factory=dict)

    def add_items(self, number: int) -> None:
        """Counts items that went in."""
        self.total.items += number

    def add_result(self, result: Result) -> None:
        """Counts a result and its calls."""
        dimension = self.by_dimension.setdefault(result.dimension, Total())
        dimension.items += 1
        model = result.model or (result.attempts[-1].model if result.attempts else None)
        asked = [self.by_model.setdefault(model, Total())] if model is not None else []
        for total in asked:
            total.items += 1
        for total in (self.total, dimension, *asked):
            total.add_result(result)
        for attempt in result.attempts:
            if attempt.sent:
                for total in (self.total, dimension, self.by_model.setdefault(attempt.model, Total())):
                    total.add_attempt(attempt)

    def add_failure(self, failure: Failure) -> None:
        """Counts a failure that no result tells of, an input record that is no item: failed, in a line of its own."""
        if failure.dimension != "input":
            return
        for total in (self.total, self.by_dimension.setdefault(failure.dimension, Total())):
            total.failed += 1

    def add(self, other: Summary) -> None:
        """Adds another summary."""
        self.total.add(other.total)
        for mine, others in ((self.by_dimension, other.by_dimension), (self.by_model, other.by_model)):
            for name, total in others.items():
                mine.setdefault(name, Total()).add(total)

    @property
    def unpriced_models(self) -> list[str]:
        """Models with calls whose cost is not known."""
        return sorted(name for name, total in self.by_model.items() if total.unpriced_calls)

    @property
    def cost_is_complete(self) -> bool:
        """Whether the cost of every call is known; else the cost is a lower bound."""
        return self.total.unpriced_calls == 0

    def to_json(self, dimensions: Iterable[str] = ()) -> dict[str, Any]:
        """As JSON-like data: `Total.to_json` of the whole run, and the same under `by_dimension` and `by_model`.

        Args:
            dimensions: the dag's; they come first in `by_dimension`, in this order, also those without results.
                Others are shown only if they failed or were skipped: a regroup, inputs that are no items.
        """
        others = {name: total for name, total in sorted(self.by_dimension.items()) if total.failed or total.skipped}
        own = {name: self.by_dimension.get(name, Total()) for name in dimensions}
        return {
            **self.total.to_json(),
            "cost_is_complete": self.cost_is_complete,
            "unpriced_models": self.unpriced_models,
            "by_dimension": _named({**own, **others}),
            "by_model": _named(dict(sorted(self.by_model.items()))),
        }


def _named(totals: Mapping[str, Total]) -> dict[str, Any]:
    return {name: total.to_json() for name, total in totals.items()}
