"""How the simulator's batch APIs behave."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BatchBehaviour"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBehaviour:
    """How batches fare.

    Attributes:
        delay_seconds: from its creation to the end of a batch.
        expired: share of the requests that expire.
        failed: share of the requests on which the vendor fails, with HTTP 500.
        most_requests: in a batch; more are refused.
        most_bytes: of a batch; more are refused.
        ends_twice: after it was seen to have ended a batch runs once more, and ends with its results in another order.
        loses_creations: of so many batches, the first ones, the vendor takes each and cuts the connection.
    """

    delay_seconds: float = 0.0
    expired: float = 0.0
    failed: float = 0.0
    most_requests: int = 100_000
    most_bytes: int = 256_000_000
    ends_twice: bool = False
    loses_creations: int = 0

    def __post_init__(self) -> None:
        if min(self.expired, self.failed) < 0 or self.expired + self.failed > 1:
            raise ValueError("expired and failed are shares of the requests, together at most 1")
