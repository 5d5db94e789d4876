"""Limits per minute that are counted in one place for all processes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from beam_llmdag.limits.demand import Demand
from beam_llmdag.model import LimitKind

__all__ = ["SharedLimits", "Taking", "UnreachableError"]


class UnreachableError(Exception):
    """The place where limits are counted does not answer."""


class SharedLimits(Protocol):
    """Where limits are counted for all processes."""

    async def take(self, name: str, per_minute: int, amount: int, *, burst: int) -> float:
        """Takes `amount` of a limit if there is so much now.

        Args:
            name: of the limit.
            per_minute: how much there is.
            amount: at most `burst`.
            burst: how much may be taken at once.

        Returns:
            0, or the seconds after which there will be so much if nobody else takes it; then nothing was taken.

        Raises:
            UnreachableError: nobody knows.
        """


class Taking:
    """What one call takes of the limits of its model, one after the other; what it has it keeps.

    Args:
        account: the model, its server and its key, in words.
        limits: amounts per minute.
        demand: what the call asks for.
    """

    def __init__(self, account: str, limits: Mapping[LimitKind, int], demand: Demand) -> None:
        self._account = account
        self._left = {kind: (limit, demand.of(kind)) for kind, limit in limits.items()}

    async def wait_seconds(self, shared: SharedLimits) -> float:
        """Takes what there is; 0 when nothing is left to take, else the seconds to wait before asking again.

        Raises:
            UnreachableError: nobody knows.
        """
        for kind, (limit, amount) in list(self._left.items()):
            burst = max(1, limit // 600) if kind == "requests" else limit  # a prompt may have a minute's tokens
            rate = limit - burst + 1 if kind == "requests" else limit
            whole = min(burst, math.ceil(amount))
            seconds = await shared.take(f"{self._account} {kind}", rate, whole, burst=burst) if whole else 0.0
            if seconds > 0:
                return seconds
            del self._left[kind]
        return 0.0
