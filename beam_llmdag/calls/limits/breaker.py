"""Models that are not asked at present, because all they do is fail. One call finds out for all others."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from beam_llmdag.clock import Clock
from beam_llmdag.errors import MEANING, CallError
from beam_llmdag.model import Model

__all__ = ["Breaker", "Verdict"]

# Guesses: how soon the end of an outage is seen, against what looking costs.
_AFTER_ANSWERS = 3  # witnesses at least, once the model has answered: what has just worked is not wrong
_FIRST_PAUSE_SECONDS = 0.5
_PAUSE_SHARE = 0.1  # of the time since the model was given up: the end of an outage is seen a tenth of it late
_LONGEST_PAUSE_SECONDS = 30.0
_WORTH_WAITING_SECONDS = 30.0  # then calls fail, and what must be done is done later, or by another model
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
        answered: it has given an answer, if only a no.
        asked: calls that are on their way.
        failures: in a row, after which the model is given up when there are enough; by whether they are hopeless.
        held: calls that wait for what becomes of those on their way.
        error: the last failure; None while the model is asked.
        given_up_at: when that began.
        opened_at: when that began, or was found to go on.
        pause_seconds: how long nobody asks.
        until: the end of the pause.
    """

    answered: bool = False
    asked: int = 0
    failures: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    held: deque[asyncio.Future[None]] = field(default_factory=deque)
    error: CallError | None = None
    given_up_at: float = 0.0
    opened_at: float = 0.0
    pause_seconds: float = 0.0
    until: float = 0.0


class Breaker:
    """A circuit breaker per model, server and key. Shared by the calls of a run.

    A million items of which each finds out by itself that the quota is gone, or the server down, would be millions of
    requests. So a model is given up when as many calls in a row fail as `MEANING` asks for, with no answer in between:
    one without money, a few without a key, ten without a server. A key that has never worked is tried by no more calls
    than those on their way while it is in doubt.
    After a pause one call looks; while it fails the pauses become longer, up to half a minute. It is worth waiting for
    the first half minute.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: dict[_Key, _Account] = {}

    async def admit(self, model: Model) -> Verdict | None:
        """Why `model` is not asked; None if it shall be, and then `learn` or `forget` must follow.

        Waits while a key that has never worked is in doubt, until the calls on their way have told of it.
        """
        account = self._accounts.setdefault(_key(model), _Account())
        while account.error is None and account.failures[True] and not account.answered and account.asked:
            await self._hold(account)
        verdict = self._verdict(account)
        if verdict is None:
            account.asked += 1
        return verdict

    def forget(self, model: Model) -> None:
        """A call was given up: nobody knows what would have come of it."""
        account = self._accounts[_key(model)]
        account.asked -= 1
        self._wake(account)

    def learn(self, model: Model, error: CallError | None, sent_at: float) -> bool:
        """Takes note of what came of a call to `model`. Returns whether it is asked again after it had been given up.

        Args:
            model: who was asked.
            error: what came of it; None for an answer.
            sent_at: when the call went out, in seconds of the clock's `monotonic()`.
        """
        account = self._accounts[_key(model)]
        account.asked -= 1
        was_given_up = account.error is not None
        if error is None or MEANING[error.error_class].witnesses is None:
            if error is None or error.error_class != "rate_limited":
                self._close(account)
        else:
            self._count(account, error, sent_at)
        self._wake(account)
        return was_given_up and account.error is None

    def gives_up(self, model: Model) -> bool:
        """Whether `model` is left alone at present."""
        return self._accounts[_key(model)].error is not None

    def _verdict(self, account: _Account) -> Verdict | None:
        if account.error is None:
            return None
        now = self._clock.monotonic()
        if now >= account.until:
            account.until = now + account.pause_seconds
            return None
        hopeless = account.pause_seconds > _LONGEST_PAUSE_SECONDS
        worth_waiting = not hopeless and now < account.given_up_at + _WORTH_WAITING_SECONDS
        return Verdict(account.error, account.until - now if worth_waiting else None)

    def _count(self, account: _Account, error: CallError, sent_at: float) -> None:
        meaning = MEANING[error.error_class]
        witnesses = meaning.witnesses or 0
        account.failures[meaning.hopeless] += 1
        enough = account.failures[meaning.hopeless] >= max(witnesses, _AFTER_ANSWERS if account.answered else 0)
        if meaning.hopeless:
            if enough:
                self._open(account, error, _HOPELESS_PAUSE_SECONDS)
        elif account.error is None:
            if enough:
                self._open(account, _left_alone(error, witnesses), _FIRST_PAUSE_SECONDS)
        elif sent_at > account.opened_at and account.pause_seconds <= _LONGEST_PAUSE_SECONDS:  # it was sent to look
            share = _PAUSE_SHARE * (self._clock.monotonic() - account.given_up_at)
            pause_seconds = min(max(share, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
            self._open(account, _left_alone(error, witnesses), pause_seconds)

    def _close(self, account: _Account) -> None:
        """The model is there, if only to say no."""
        account.answered = True
        account.failures = {True: 0, False: 0}
        account.error = None

    async def _hold(self, account: _Account) -> None:
        held = asyncio.get_running_loop().create_future()
        account.held.append(held)
        try:
            await held
        finally:
            if held.cancelled():
                account.held.remove(held)

    def _wake(self, account: _Account) -> None:
        """Lets the calls that wait look again: what they wait for may have happened."""
        while account.held:
            held = account.held.popleft()
            if not held.done():
                held.set_result(None)

    def _open(self, account: _Account, error: CallError, pause_seconds: float) -> None:
        now = self._clock.monotonic()
        if account.error is None:
            account.given_up_at = now
        account.error = error
        account.pause_seconds = pause_seconds
        account.opened_at = now
        account.until = account.opened_at + pause_seconds


def _left_alone(error: CallError, witnesses: int) -> CallError:
    return CallError(
        error.error_class,
        f"{error.message}; so did {witnesses} calls in a row, and the model is left alone for a while",
        http_status=error.http_status,
        sent=False,
    )


_Key = tuple[str, str | None, str | None]


def _key(model: Model) -> _Key:
    """What fails together: a model on a server, paid by one key."""
    return (model.spec, model.base_url, model.api_key_env)
