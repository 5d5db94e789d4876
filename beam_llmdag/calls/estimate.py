"""What a call may cost, before anybody knows what it costs."""

from __future__ import annotations

from beam_llmdag.calls.prompt import estimated_tokens
from beam_llmdag.clock import Clock
from beam_llmdag.model import Request
from beam_llmdag.providers.prices import PriceTable
from beam_llmdag.usage import Usage

__all__ = ["Estimates"]

_UNKNOWN_OUTPUT_TOKENS = 256  # a guess: of an answer whose limit nobody knows, before the length of one is known
_LONGER = 2  # than the longest answer so far is no answer whose limit nobody knows; a guess


class Estimates:
    """What calls may cost at most. Learns from the answers how long they are, where no limit is known.

    Args:
        prices: what calls cost.
        clock: time.
    """

    def __init__(self, prices: PriceTable, clock: Clock) -> None:
        self._prices = prices
        self._clock = clock
        self._longest: dict[str, int] = {}

    def nano_usd(self, request: Request, most_output_tokens: int | None, *, batched: bool = False) -> int:
        """Nano-dollars that a call may cost; 0 if its model has no price.

        The prompt is counted by its length, and as many tokens are written as may be. Where nobody knows how many that
        are, it is twice as many as in the model's longest answer so far.

        Args:
            most_output_tokens: limit of the answer's length; None if the vendor decides.
            batched: whether it goes in a batch.
        """
        spec = request.model.spec
        output_tokens = most_output_tokens or _LONGER * self._longest.get(spec, _UNKNOWN_OUTPUT_TOKENS // _LONGER)
        usage = Usage(input_tokens=estimated_tokens(request.messages, request.system), output_tokens=output_tokens)
        return self._prices.cost(spec, usage, at=self._clock.now(), batched=batched) or 0

    def learn(self, spec: str, usage: Usage | None) -> None:
        """An answer of a model has come; None if nobody knows how long it is."""
        if usage is not None:
            self._longest[spec] = max(self._longest.get(spec, 1), usage.output_tokens)
