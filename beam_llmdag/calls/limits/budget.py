"""What may still be spent."""

from __future__ import annotations

from beam_llmdag.errors import CallError

__all__ = ["Budget"]

_NANO = 1_000_000_000


class Budget:
    """Stops calls when the money is spent. Belongs to one event loop.

    The cost of a call is known when it has ended, so at most the calls then in flight go beyond the budget.

    Args:
        usd: dollars; None for no limit.
    """

    def __init__(self, usd: float | None) -> None:
        self._usd = usd
        self._left_nano_usd = None if usd is None else round(usd * _NANO)

    def check(self) -> CallError | None:
        """Why no call may be made; None while there is money."""
        if self._left_nano_usd is None or self._left_nano_usd > 0:
            return None
        return CallError("over_budget", f"the budget of ${self._usd:g} of this process is spent", sent=False)

    def spend(self, cost_nano_usd: int) -> None:
        """Takes the cost of a call off; where nobody knows it, what it is assumed to be."""
        if self._left_nano_usd is not None:
            self._left_nano_usd -= cost_nano_usd
