"""Models that will not answer however often they are asked: no quota, no key. One call finds out for all others."""

from __future__ import annotations

from dataclasses import dataclass

from beam_llmdag.clock import Clock
from beam_llmdag.errors import CallError
from beam_llmdag.model import Model

__all__ = ["GivenUp"]

_PAUSE_SECONDS = 300.0  # in a pipeline that never ends, somebody tops up the account one day
_HOPELESS = frozenset({"quota_exhausted", "auth"})


@dataclass(slots=True)
class _Verdict:
    error: CallError
    until: float


class GivenUp:
    """Which models are not asked at present, and why. Shared by the calls of a run.

    A million items of which each finds out by itself that the quota is gone would be a million requests. After a pause
    one call looks whether that is still so, while the others go on failing at once.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._verdicts: dict[tuple[str, str | None, str | None], _Verdict] = {}

    def verdict(self, model: Model) -> CallError | None:
        """Why `model` need not be asked; None if it shall be."""
        if not self._verdicts:
            return None
        known = self._verdicts.get(_account(model))
        if known is None:
            return None
        now = self._clock.monotonic()
        if now >= known.until:
            known.until = now + _PAUSE_SECONDS
            return None
        return known.error

    def learn(self, model: Model, error: CallError | None) -> None:
        """Takes note of what came of a call to `model`; None for an answer."""
        if error is None:
            if self._verdicts:
                self._verdicts.pop(_account(model), None)
        elif error.error_class in _HOPELESS:
            self._verdicts[_account(model)] = _Verdict(error, self._clock.monotonic() + _PAUSE_SECONDS)


def _account(model: Model) -> tuple[str, str | None, str | None]:
    """What runs out of quota together: a model on a server, paid by one key."""
    return (model.spec, model.base_url, model.api_key_env)
