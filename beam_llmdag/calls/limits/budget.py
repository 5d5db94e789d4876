"""What may still be spent. `Budget` is the door; here is the budget of a run, or of one process of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from beam_llmdag.errors import CallError
from beam_llmdag.model import Model

__all__ = ["Budget", "Budgets", "ProcessBudget", "RunBudget", "Spender", "granted"]

_NANO = 1_000_000_000
_PARTS = 100  # of the budget: a process draws as much at once, so that the store is no bottleneck; a guess
_DRY_SECONDS = 1.0  # for so long it is not asked again, after there was nothing left


class Spender(NamedTuple):
    """For what a call is paid.

    Attributes:
        dimension: whose call it is.
        model: who is asked.
    """

    dimension: str
    model: Model


class Budget(Protocol):
    """Money for calls: set aside before one goes out, settled when it has ended."""

    async def reserve(self, estimate: Callable[[], int], spender: Spender) -> int | CallError:
        """Sets aside what a call may cost.

        Args:
            estimate: says how many nano-dollars that are; it may learn better while the call waits.
            spender: for what.

        Returns:
            What was set aside, and then `settle` must follow; or why the call is not to be made.
        """

    def settle(self, reserved: int, cost: int, spender: Spender) -> None:
        """A call has ended: what was set aside for it is given back, and its cost is spent, both in nano-dollars."""

    async def aclose(self) -> None:
        """No call will come any more, and none is on its way."""


class RunBudget:
    """`Budget` of a run whose processes share an answer store. Belongs to one event loop.

    A call goes out while what it may cost is neither spent nor set aside: so nothing goes beyond the budget that costs
    no more than was set aside for it. Else it waits for calls in flight, which may turn out to cost less; where there
    are none, it is not made.

    A process spends only what it has drawn, and all together never draw more than the budget. What it has not spent it
    gives back when it ends; what a killed one had drawn is gone, a hundredth of the budget or one call. A run that is
    started again under its `run_id` goes on with what is left, or with more if it is given more.

    Args:
        usd: dollars, of all processes.
        run_id: the run.
        draw: see `AnswerStore.draw`.
        whose: for what it is, in messages.
    """

    def __init__(
        self,
        usd: float,
        run_id: str,
        draw: Callable[[str, int, int], Awaitable[int]],
        whose: str = "this run",
    ) -> None:
        self._whose = whose
        self._usd = usd
        self._limit = round(usd * _NANO)
        self._run_id = run_id
        self._draw = draw
        self._left = 0
        self._reserved = 0
        self._turn = asyncio.Lock()  # first come, first served
        self._settled = asyncio.Event()
        self._dry_until = 0.0

    async def reserve(self, estimate: Callable[[], int], spender: Spender) -> int | CallError:  # noqa: ARG002
        """See `Budget`. Raises `StoreError` if the store does not work."""
        async with self._turn:
            while True:
                amount = estimate()
                if self._reserved + max(amount, 1) <= self._left:  # also what costs nothing, or has no price
                    self._reserved += amount
                    return amount
                if await self._draws(amount):
                    continue
                if not self._reserved:
                    return self._refusal(amount)
                self._settled.clear()
                await self._settled.wait()

    def settle(self, reserved: int, cost: int, spender: Spender) -> None:  # noqa: ARG002
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
        lacking = max(amount, 1) - (self._left - self._reserved)
        drawn = await self._draw(self._run_id, max(lacking, self._limit // _PARTS), self._limit)
        self._left += drawn
        if not drawn:
            self._dry_until = now + _DRY_SECONDS
        return drawn > 0

    def _refusal(self, amount: int) -> CallError:
        if self._left <= 0:
            return CallError("over_budget", f"the budget of ${self._usd:g} of {self._whose} is spent", sent=False)
        return CallError(
            "over_budget",
            f"${self._left / _NANO:.6f} of the budget of ${self._usd:g} of {self._whose} is left, and a call may "
            f"cost ${amount / _NANO:.6f}: raise budget_usd, or lower max_tokens",
            sent=False,
        )


class ProcessBudget(RunBudget):
    """`Budget` of one process, where there is no store that tells of the others.

    Args:
        usd: dollars.
        whose: for what it is, in messages.
    """

    def __init__(self, usd: float, whose: str = "this process") -> None:
        super().__init__(usd, "", self._from_all, whose)
        self._drawn = 0

    async def _from_all(self, _: str, wanted: int, limit: int) -> int:
        amount = granted(wanted, self._drawn, limit)
        self._drawn += amount
        return amount


class Budgets:
    """`Budget` of several: of the run, of dimensions, of models. A call must fit in each that is for it.

    Args:
        run: of the run; None for no limit.
        dimensions: name -> dollars.
        made: makes a budget of so many dollars, for a part of the run that has this name.
    """

    def __init__(
        self, run: Budget | None, dimensions: Mapping[str, float], made: Callable[[float, str], Budget]
    ) -> None:
        self._run = run
        self._made = made
        self._dimensions = {name: made(usd, f"dimension {name!r}") for name, usd in dimensions.items()}
        self._models: dict[tuple[str, float], Budget] = {}

    async def reserve(self, estimate: Callable[[], int], spender: Spender) -> int | CallError:
        """See `Budget`. Raises `StoreError` if the store does not work."""
        amounts: list[int] = []
        budgets = self._of(spender)
        try:
            for budget in budgets:
                taken = await budget.reserve(partial(_at_least, max(amounts, default=0), estimate), spender)
                if isinstance(taken, CallError):
                    self._give_back(budgets, amounts, spender)
                    return taken
                amounts.append(taken)
        except BaseException:
            self._give_back(budgets, amounts, spender)
            raise
        most = max(amounts, default=0)
        for budget, taken in zip(budgets, amounts, strict=True):
            if taken < most:  # it has learned better meanwhile: one number is settled with all
                budget.settle(taken - most, 0, spender)
        return most

    def settle(self, reserved: int, cost: int, spender: Spender) -> None:
        """See `Budget`."""
        for budget in self._of(spender):
            budget.settle(reserved, cost, spender)

    async def aclose(self) -> None:
        """See `Budget`."""
        for budget in (self._run, *self._dimensions.values(), *self._models.values()):
            if budget is not None:
                await budget.aclose()

    def _of(self, spender: Spender) -> list[Budget]:
        """Those that a call must fit in, always in the same order: who waits for one holds only earlier ones."""
        model, usd = spender.model.spec, spender.model.budget_usd
        found = [self._dimensions.get(spender.dimension), self._run]
        if usd is not None:
            known = self._models.get((model, usd))
            if known is None:
                known = self._models[(model, usd)] = self._made(usd, f"model {model!r}")
            found.insert(0, known)
        return [budget for budget in found if budget is not None]

    def _give_back(self, budgets: Sequence[Budget], amounts: Sequence[int], spender: Spender) -> None:
        for budget, amount in zip(budgets, amounts, strict=False):
            budget.settle(amount, 0, spender)


def _at_least(least: int, estimate: Callable[[], int]) -> int:
    return max(least, estimate())


def granted(wanted: int, drawn: int, limit: int) -> int:
    """How much of a budget somebody gets who wants so much, when so much of it has been drawn. All in nano-dollars."""
    return min(wanted, max(limit - drawn, 0)) if wanted > 0 else wanted
