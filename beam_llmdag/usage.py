"""Tokens of one call, and their sum."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Usage"]


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

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cache_write_1h_tokens=self.cache_write_1h_tokens + other.cache_write_1h_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )
