"""What may still be spent. `Budget` is the door; here is the budget of one process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from beam_llmdag.errors import CallError

__all__ = ["Budget", "ProcessBudget"]

_NANO = 1_000_000_000


class Budget(Protocol):
    """Money for calls: set aside before one goes out, settled when it has ended."""

    async def reserve(self, estimate: Callable[[], int]) -> int | CallError:
        """Sets aside what a call may cost.

        Args:
            estimate: says how many nano-dollars that are; it may learn better while the call waits.

        Returns:
            What was set aside, and then `settle` must follow; or why the call is not to be made.
        """

    def settle(self, reserved: int, cost: int) -> None:
        """A call has ended: what was set aside for it is given back, and its cost is spent, both in nano-dollars."""

    async def aclose(self) -> None:
        """No call will come any more, and none is on its way."""


@dataclass(slots=True)
class _Waiting:
    estimate: Callable[[], int]
    reserved: asyncio.Future[int | CallError]


class ProcessBudget:
    """`Budget` of the calls of a run in one process. Belongs to one event loop.

    A call goes out while what it may cost is neither spent nor set aside: so nothing goes beyond the budget that costs
    no more than was set aside for it. Else it waits for calls in flight, which may turn out to cost less; where there
    are none, it is not made.

    Args:
        usd: dollars.
    """

    def __init__(self, usd: float) -> None:
        self._usd = usd
        self._left = round(usd * _NANO)
        self._reserved = 0
        self._waiting: deque[_Waiting] = deque()

    async def reserve(self, estimate: Callable[[], int]) -> int | CallError:
        """See `Budget`. First come, first served."""
        if not self._waiting and (reserved := self._take(estimate())) is not None:
            return reserved
        waiting = _Waiting(estimate, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            return await waiting.reserved
        except asyncio.CancelledError:
            taken = 0 if waiting.reserved.cancelled() else waiting.reserved.result()
            self.settle(taken if isinstance(taken, int) else 0, 0)
            raise

    def settle(self, reserved: int, cost: int) -> None:
        """See `Budget`."""
        self._reserved -= reserved
        self._left -= cost
        while self._waiting:
            first = self._waiting[0]
            if not first.reserved.done():
                taken = self._take(first.estimate())
                if taken is None:
                    return
                first.reserved.set_result(taken)
            self._waiting.popleft()

    async def aclose(self) -> None:
        """See `Budget`."""

    def _take(self, nano_usd: int) -> int | CallError | None:
        """Sets so much aside; an error if all is spent, None if that depends on the calls in flight."""
        if self._left <= 0:
            return CallError("over_budget", f"the budget of ${self._usd:g} of this process is spent", sent=False)
        if self._reserved + nano_usd <= self._left:
            self._reserved += nano_usd
            return nano_usd
        if self._reserved > 0:
            return None
        return CallError(
            "over_budget",
            f"${self._left / _NANO:.6f} of the budget of ${self._usd:g} of this process is left, and a call may cost "
            f"${nano_usd / _NANO:.6f}: raise budget_usd, or lower max_tokens",
            sent=False,
        )
