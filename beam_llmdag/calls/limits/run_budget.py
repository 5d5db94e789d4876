"""The budget of a run whose processes share an answer store: each draws a part of it, and then another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from beam_llmdag.errors import CallError

__all__ = ["RunBudget"]

_NANO = 1_000_000_000
_PARTS = 100  # of the budget: a process draws as much at once, so that the store is no bottleneck; a guess
_DRY_SECONDS = 1.0  # for so long it is not asked again, after there was nothing left


class RunBudget:
    """`Budget` of a run. Belongs to one event loop.

    A process spends only what it has drawn, and all together never draw more than the budget. What it has not spent it
    gives back when it ends; what a killed one had drawn is gone, a hundredth of the budget or one call. A run that is
    started again under its `run_id` goes on with what is left, or with more if it is given more.

    Args:
        usd: dollars, of all processes.
        run_id: the run.
        draw: see `AnswerStore.draw`.
    """

    def __init__(self, usd: float, run_id: str, draw: Callable[[str, int, int], Awaitable[int]]) -> None:
        self._usd = usd
        self._limit = round(usd * _NANO)
        self._run_id = run_id
        self._draw = draw
        self._left = 0
        self._reserved = 0
        self._turn = asyncio.Lock()  # first come, first served
        self._settled = asyncio.Event()
        self._dry_until = 0.0

    async def reserve(self, estimate: Callable[[], int]) -> int | CallError:
        """See `Budget`. Raises `StoreError` if the store does not work."""
        async with self._turn:
            while True:
                amount = estimate()
                if self._reserved + amount <= self._left:
                    self._reserved += amount
                    return amount
                if await self._draws(amount):
                    continue
                if not self._reserved:
                    return self._refusal(amount)
                self._settled.clear()
                await self._settled.wait()

    def settle(self, reserved: int, cost: int) -> None:
        """See `Budget`."""
        self._reserved -= reserved
        self._left -= cost
        self._settled.set()

    async def aclose(self) -> None:
        """Gives back what was not spent. Nothing may be reserved any more."""
        left, self._left = self._left, 0
        if left:
            await self._draw(self._run_id, -left, self._limit)

    async def _draws(self, amount: int) -> bool:
        """Draws a part of the budget, or as much as the call needs; returns whether there was any."""
        now = time.monotonic()
        if now < self._dry_until:
            return False
        lacking = amount - (self._left - self._reserved)
        drawn = await self._draw(self._run_id, max(lacking, self._limit // _PARTS), self._limit)
        self._left += drawn
        if not drawn:
            self._dry_until = now + _DRY_SECONDS
        return drawn > 0

    def _refusal(self, amount: int) -> CallError:
        if self._left <= 0:
            return CallError("over_budget", f"the budget of ${self._usd:g} of this run is spent", sent=False)
        return CallError(
            "over_budget",
            f"${self._left / _NANO:.6f} of the budget of ${self._usd:g} of this run is left here, and a call may cost "
            f"${amount / _NANO:.6f}: raise budget_usd, or lower max_tokens",
            sent=False,
        )
