"""Calls in flight that a server bears, found from its overload and its silence."""

from __future__ import annotations

__all__ = ["Ceiling"]

_KEPT = 0.7  # after a sign of overload; a guess: TCP CUBIC keeps as much (RFC 9438)
_ROUNDS = 20  # of calls without one, until it is back at the top; a guess
_RESTART, _FEW = 0.125, 4  # of the top, or so many calls, may go at once to a server that is well again; guesses


class Ceiling:
    """The most calls in flight: cut by a share at a sign of overload, raised by a step while there is none.

    Args:
        top: where it starts, and the most it ever is.
    """

    __slots__ = ("_cut_at", "_doubles", "_value", "top")

    def __init__(self, top: int) -> None:
        self.top = top
        self._value = float(top)
        self._cut_at = -1.0
        self._doubles = False

    @property
    def calls(self) -> int:
        """The most calls in flight at present."""
        return int(self._value)

    def rise(self) -> None:
        """A call was answered."""
        if self._value < self.top:
            step = 1.0 if self._doubles else max(1.0, self.top / _ROUNDS) / self._value
            self._value = min(self.top, self._value + step)

    def restart(self) -> None:
        """The server is well again: few calls go, with each round of answers twice as many (slow start, RFC 5681)."""
        self._value = min(self.top, max(_FEW, _RESTART * self.top))
        self._doubles = True

    def cut(self, sent_at: float, in_flight: int, now: float) -> None:
        """A call that went out at `sent_at` met overload. Calls from before the last cut say nothing new."""
        if sent_at >= self._cut_at:
            self._value = max(1.0, _KEPT * min(self._value, in_flight))
            self._cut_at = now
            self._doubles = False
