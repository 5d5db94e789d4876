"""Models that are not asked at present, because all they do is fail. One call finds out for all others."""

from __future__ import annotations

from dataclasses import dataclass

from beam_llmdag.clock import Clock
from beam_llmdag.errors import CallError, ErrorClass
from beam_llmdag.model import Model

__all__ = ["Breaker", "Verdict"]

_HOPELESS: frozenset[ErrorClass] = frozenset({"quota_exhausted", "auth"})
_DOWN: frozenset[ErrorClass] = frozenset({"overloaded", "timeout", "connection"})
_FAILURES = 10  # in a row, and nothing else in between: then the server is down, not one request unlucky
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_HOPELESS_PAUSE_SECONDS = 300.0  # in a pipeline that never ends, somebody tops up the account one day


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a model is not asked.

    Attributes:
        error: the failure that stands for the call that is not made.
        wait_seconds: until somebody looks whether the model is well again; None if it is not worth waiting for.
    """

    error: CallError
    wait_seconds: float | None


@dataclass(slots=True)
class _Account:
    """What is known of a model on a server, paid by one key.

    Attributes:
        failures: in a row, of a server that is down.
        error: the last one; None while the model is asked.
        opened_at: when that began, or was found to go on.
        pause_seconds: how long nobody asks.
        until: the end of the pause.
    """

    failures: int = 0
    error: CallError | None = None
    opened_at: float = 0.0
    pause_seconds: float = 0.0
    until: float = 0.0


class Breaker:
    """A circuit breaker per model, server and key. Shared by the calls of a run.

    A million items of which each finds out by itself that the quota is gone, or the server down, would be millions of
    requests. No quota or no key: one failure is enough. A server that is down: ten in a row, with no answer in between.
    After a pause one call looks; while it fails the pause doubles, up to half a minute. Until then it is worth waiting.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: dict[tuple[str, str | None, str | None], _Account] = {}

    def verdict(self, model: Model) -> Verdict | None:
        """Why `model` is not asked; None if it shall be."""
        if not self._accounts:
            return None
        account = self._accounts.get(_key(model))
        if account is None or account.error is None:
            return None
        now = self._clock.monotonic()
        if now >= account.until:
            account.until = now + account.pause_seconds
            return None
        hopeless = account.pause_seconds >= _LONGEST_PAUSE_SECONDS
        return Verdict(account.error, None if hopeless else account.until - now)

    def learn(self, model: Model, error: CallError | None, sent_at: float) -> None:
        """Takes note of what came of a call to `model`.

        Args:
            model: who was asked.
            error: what came of it; None for an answer.
            sent_at: when the call went out, in seconds of the clock's `monotonic()`.
        """
        if error is None or error.error_class not in _HOPELESS | _DOWN:
            if self._accounts and (error is None or error.error_class != "rate_limited"):
                self._accounts.pop(_key(model), None)  # it is there, if only to say no
            return
        account = self._accounts.setdefault(_key(model), _Account())
        if error.error_class in _HOPELESS:
            self._open(account, error, _HOPELESS_PAUSE_SECONDS)
        elif account.error is None:
            account.failures += 1
            if account.failures >= _FAILURES:
                self._open(account, _left_alone(error), _FIRST_PAUSE_SECONDS)
        elif sent_at > account.opened_at and account.pause_seconds <= _LONGEST_PAUSE_SECONDS:  # it was sent to look
            self._open(account, _left_alone(error), min(2 * account.pause_seconds, _LONGEST_PAUSE_SECONDS))

    def _open(self, account: _Account, error: CallError, pause_seconds: float) -> None:
        account.error = error
        account.pause_seconds = pause_seconds
        account.opened_at = self._clock.monotonic()
        account.until = account.opened_at + pause_seconds


def _left_alone(error: CallError) -> CallError:
    return CallError(
        error.error_class,
        f"{error.message}; so did {_FAILURES} calls in a row, and the model is left alone for a while",
        http_status=error.http_status,
        sent=False,
    )


def _key(model: Model) -> tuple[str, str | None, str | None]:
    """What fails together: a model on a server, paid by one key."""
    return (model.spec, model.base_url, model.api_key_env)
