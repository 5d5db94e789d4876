"""Limits per minute that are counted in one place for all processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Claim", "SharedLimits", "UnreachableError"]


class UnreachableError(Exception):
    """The place where limits are counted has answered before, and does not now."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a call asks of one limit.

    Attributes:
        name: of the limit; the same in all processes, and no secret.
        per_minute: how much there is.
        amount: how much is asked for.
        correction: what earlier calls turned out to use beyond what was taken for them; negative where it was less.
    """

    name: str
    per_minute: int
    amount: float
    correction: float = 0.0


class SharedLimits(Protocol):
    """Where limits are counted for all processes."""

    async def take(self, account: str, claims: Sequence[Claim]) -> float:
        """Takes all amounts, if all limits let a call through now; else takes none. Corrections count in any case.

        Args:
            account: whose limits they are; no secret.
            claims: of one call, at most one for a limit.

        Returns:
            0.0, or the seconds after which to ask again; there is no use in asking earlier.

        Raises:
            SharedLimitsError: it cannot be used.
            UnreachableError: it could be, and does not answer now.
        """

    async def aclose(self) -> None:
        """Closes the connections."""
