"""What a call may cost, before anybody knows what it costs."""

from __future__ import annotations

from beam_llmdag.calls.prompt import estimated_tokens
from beam_llmdag.clock import Clock
from beam_llmdag.model import Request
from beam_llmdag.providers.prices import PriceTable
from beam_llmdag.usage import Usage

__all__ = ["Estimates"]

_FIRST_OUTPUT_TOKENS = 256.0  # a guess: of an answer whose limit is not known either, before the length of one is known


class Estimates:
    """Learns from the answers how long they are.

    Args:
        prices: what calls cost.
        clock: time.
    """

    def __init__(self, prices: PriceTable, clock: Clock) -> None:
        self._prices = prices
        self._clock = clock
        self._answers = 0
        self._output_tokens = 0

    def nano_usd(self, request: Request) -> int:
        """Nano-dollars that a call may cost; 0 if its model has no price.

        The prompt is counted by its length. Written are as many tokens as may be, and as the answers so far had on
        average once there is one: a limit is often far above what is needed, and would hold calls back for nothing.
        """
        most = request.model.max_tokens
        if self._answers:
            mean = self._output_tokens / self._answers
            output_tokens = mean if most is None else min(most, mean)
        else:
            output_tokens = most or _FIRST_OUTPUT_TOKENS
        usage = Usage(
            input_tokens=estimated_tokens(request.messages, request.system), output_tokens=round(output_tokens)
        )
        return self._prices.cost(request.model.spec, usage, at=self._clock.now()) or 0

    def learn(self, usage: Usage | None) -> None:
        """An answer has come; None if nobody knows how long it is."""
        if usage is not None:
            self._answers += 1
            self._output_tokens += usage.output_tokens
