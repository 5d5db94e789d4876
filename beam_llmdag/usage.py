"""Tokens of one call, and their sum."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import add, attrgetter

__all__ = ["MOST_TOKENS", "TOKEN_KINDS", "Usage"]

MOST_TOKENS = 2**53
"""No call has used as many as this: such a number is a mistake, and sums of it would leave 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens that a call used, in one convention for all vendors.

    Attributes:
        input_tokens: all tokens read, cached ones included (Anthropic reports them apart, we add them).
        output_tokens: all tokens written, reasoning included (Gemini reports thoughts apart, we add them).
        cache_read_tokens: the part of `input_tokens` that the vendor read from its prompt cache.
        cache_write_tokens: the part of `input_tokens` that the vendor wrote to its prompt cache.
        cache_write_1h_tokens: the part of `cache_write_tokens` that is kept for one hour instead of five minutes.
        reasoning_tokens: the part of `output_tokens` that the model thought and did not say.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0

    @classmethod
    def of(cls, counts: Iterable[int]) -> Usage:
        """The usage with these numbers, in the order of `TOKEN_KINDS`."""
        return cls(**dict(zip(TOKEN_KINDS, counts, strict=True)))

    def counts(self) -> tuple[int, ...]:
        """The numbers, in the order of `TOKEN_KINDS`."""
        numbers: tuple[int, ...] = _COUNTS(self)
        return numbers

    @property
    def is_possible(self) -> bool:
        """Whether these can be the tokens of a call: numbers, none too large, no part larger than its whole."""
        return (
            all(type(number) is int and 0 <= number < _MOST_OF_A_SUM for number in self.counts())
            and self.cache_read_tokens + self.cache_write_tokens <= self.input_tokens
            and self.cache_write_1h_tokens <= self.cache_write_tokens
            and self.reasoning_tokens <= self.output_tokens
        )

    def __add__(self, other: Usage) -> Usage:
        return Usage.of(map(add, self.counts(), other.counts()))


TOKEN_KINDS: tuple[str, ...] = tuple(field.name for field in fields(Usage))
"""The kinds of tokens, as they are called in rows, counters and the ledger."""

_MOST_OF_A_SUM = 4 * MOST_TOKENS  # a kind may be the sum of what a vendor counts apart
_COUNTS = attrgetter(*TOKEN_KINDS)
