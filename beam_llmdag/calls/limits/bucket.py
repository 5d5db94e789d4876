"""An amount that fills up steadily and is taken from. No clock in here: who asks says what time it is."""

from __future__ import annotations

__all__ = ["Bucket", "per_minute"]

_BURST_SECONDS = 0.1  # how much of a minute's amount may go at once; a guess
_ROUNDING = 1e-9  # sums of floats


class Bucket:
    """An amount that fills up at a rate, to a capacity.

    It may be overdrawn: more than it ever holds can be taken when it is full, and is paid back before the next is.

    Args:
        capacity: the most that it holds; it starts full.
        per_second: how fast it fills up.
        now: seconds of a clock that never goes back.
    """

    __slots__ = ("_filled_at", "capacity", "level", "per_second")

    def __init__(self, capacity: float, per_second: float, now: float) -> None:
        self.capacity = capacity
        self.per_second = per_second
        self.level = capacity
        self._filled_at = now

    def wait_seconds(self, amount: float, now: float) -> float:
        """How long until `amount` can be taken; 0 if it can be now."""
        self._fill(now)
        missing = min(amount, self.capacity) - self.level
        return missing / self.per_second if missing > _ROUNDING else 0.0

    def take(self, amount: float) -> None:
        """Takes `amount`, also what is not there; a negative one is given back."""
        self.level = min(self.capacity, self.level - amount)

    def set(self, level: float, now: float) -> None:
        """Says how much is in it."""
        self._filled_at = now
        self.level = min(self.capacity, level)

    def _fill(self, now: float) -> None:
        if now > self._filled_at:
            self.level = min(self.capacity, self.level + (now - self._filled_at) * self.per_second)
            self._filled_at = now


def per_minute(amount: float, now: float, *, unit: float = 1.0) -> Bucket:
    """A bucket that lets out no more than `amount` within any 60 seconds, evenly.

    Vendors enforce a limit per minute in shorter spans as well, so a minute's amount must not go at once:
    https://docs.claude.com/en/api/rate-limits. What may go at once is taken off the rate, so that a burst and the
    minute after it are together no more than the amount.

    Args:
        amount: per minute.
        now: seconds of a clock that never goes back.
        unit: the smallest amount that is taken.
    """
    capacity = max(unit, amount / 60 * _BURST_SECONDS)
    return Bucket(capacity, (amount - capacity + unit) / 60, now)
