"""Whether and when to try again. No clock and no sleep in here."""

from __future__ import annotations

import random
from dataclasses import dataclass

from beam_llmdag.errors import MEANING, CallError, GraphError

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with full jitter, on top of what the vendor asks for.

    The wait before try n + 1 is `Retry-After` (at most `longest_retry_after_seconds`) plus a random part of
    `first_seconds * 2 ** (n - 1)` (at most `longest_seconds`). Full jitter keeps many workers from coming back at once:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Args:
        first_seconds: longest jitter before the second try.
        longest_seconds: longest jitter before any try.
        longest_retry_after_seconds: a longer Retry-After is cut to this, for the call that got it and for all others
            that wait because of it. Not for what nobody asked for: a model that only fails is left alone for half a
            second to 30 seconds (5 minutes without money or key), and where headers say that a limit is used up, a call
            waits for at most a minute.
    """

    first_seconds: float = 0.5
    longest_seconds: float = 60.0
    longest_retry_after_seconds: float = 300.0

    def __post_init__(self) -> None:
        if min(self.first_seconds, self.longest_seconds, self.longest_retry_after_seconds) < 0:
            raise GraphError(f"a RetryPolicy waits 0 seconds or more, not {self}")

    def waits_for(self, error: CallError) -> bool:
        """Whether the same request may succeed later."""
        return MEANING[error.error_class].retried

    def asks_again_for(self, error: CallError) -> bool:
        """Whether the model may do better when it is told what was wrong with its answer."""
        return MEANING[error.error_class].asked_again and error.asked_again

    def heeded_seconds(self, error: CallError) -> float | None:
        """How long to wait because the vendor asked for it; None if it did not."""
        asked = error.retry_after_seconds
        return None if asked is None else min(self.longest_retry_after_seconds, asked)

    def delay_seconds(self, tries: int, error: CallError, rng: random.Random) -> float:
        """How long to wait after `tries` failed tries, the last of which ended with `error`."""
        if self.asks_again_for(error):
            return 0.0
        asked = self.heeded_seconds(error) or 0.0
        longest = min(self.longest_seconds, self.first_seconds * 2 ** min(tries - 1, 30))
        return asked + rng.uniform(0.0, longest)
