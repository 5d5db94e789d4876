"""What came of one call: stop reason → parse → validate → price."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from beam_llmdag.calls.limits.breaker import Verdict
from beam_llmdag.calls.prompt import readable
from beam_llmdag.clock import Clock
from beam_llmdag.errors import MEANING, CallError
from beam_llmdag.model import Answer, Request
from beam_llmdag.outputs.output import Output
from beam_llmdag.outputs.reading import read_answer
from beam_llmdag.outputs.thinking import without_leading_thinking, without_thinking
from beam_llmdag.providers.base import Provider
from beam_llmdag.providers.http.secret_text import hidden
from beam_llmdag.providers.prices import PriceTable
from beam_llmdag.records.result import Attempt
from beam_llmdag.telling import shortened, told, traceback_of
from beam_llmdag.text import clean_text, excerpt, name_text
from beam_llmdag.usage import Usage

__all__ = ["LONGEST_ANSWER", "Outcome", "Outcomes", "checked", "fault", "key_of", "unsent"]

_log = logging.getLogger(__name__)

LONGEST_ANSWER = 4000
"""Characters of a bad answer that are kept."""

_LONGEST_PROMPT = 20_000  # characters of a prompt that are kept
_NOTHING = Usage()
_GAVE_UP_WAITING = (408, 504)  # HTTP statuses after which the model may have worked all the same


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one call.

    Attributes:
        attempt: the line of the bill.
        data: the validated answer; None if there is none.
        text: the answer as it came, good or not; None if none came.
        error: why there is no data.
        breaker: why the call was not made at all, if that is because the model only fails at present.
        is_outage: whether it failed for nothing, as all calls to the model do at present; then it was no try.
        batched: whether it came in a batch: nobody waits before another try.
        is_known: whether the question has it on its bill already.
    """

    attempt: Attempt
    data: Any = None
    text: str | None = None
    error: CallError | None = None
    breaker: Verdict | None = None
    is_outage: bool = False
    batched: bool = False
    is_known: bool = False


class Outcomes:
    """What comes of calls: answers are read, checked and priced. Belongs to one event loop.

    Args:
        prices: what calls cost.
        clock: time.
        keep_prompts: whether attempts say what was asked.
    """

    def __init__(self, prices: PriceTable, clock: Clock, *, keep_prompts: bool) -> None:
        self._prices = prices
        self._clock = clock
        self._keep_prompts = keep_prompts

    def of(
        self,
        said: Answer | CallError,
        request: Request,
        output: Output,
        provider: Provider,
        *,
        waited_seconds: float,
        latency_seconds: float,
        batched: bool = False,
    ) -> Outcome:
        """What came of a call that was made.

        Args:
            said: the answer, or why there is none.
            request: what was asked.
            output: what the answer must be.
            provider: who was asked.
            waited_seconds: for the permit.
            latency_seconds: for the answer.
            batched: whether it came in a batch, at its price.
        """
        error = said if isinstance(said, CallError) else None
        answer = said if isinstance(said, Answer) else None
        data = None
        if answer is not None:
            try:
                data = checked(answer, output)
            except CallError as bad:
                error = bad
        attempt = self._attempt(provider, request, answer, error, waited_seconds, latency_seconds, batched=batched)
        return Outcome(attempt, data, None if answer is None else answer.text, error)

    def _attempt(
        self,
        provider: Provider,
        request: Request,
        answer: Answer | None,
        error: CallError | None,
        waited: float,
        took: float,
        *,
        batched: bool,
    ) -> Attempt:
        model = request.model
        usage = answer.usage if answer is not None else None if error is None else _usage_of_failure(error)
        usage = usage if isinstance(usage, Usage) and usage.is_possible else None
        request_id = name_text(answer.request_id if answer is not None else error and error.request_id)
        cost = self._prices.cost(model.spec, usage, at=self._clock.now(), batched=batched)
        prompt = None
        if self._keep_prompts:
            prompt = _kept(readable(request.messages, request.system), _LONGEST_PROMPT, provider)
        if error is None:
            return Attempt(
                model=model.spec,
                usage=usage,
                cost_nano_usd=cost,
                request_id=request_id,
                prompt=prompt,
                latency_seconds=took,
                waited_seconds=waited,
            )
        return Attempt(
            model=model.spec,
            error_class=error.error_class,
            message=error.message,
            http_status=error.http_status,
            request_id=request_id,
            usage=usage,
            cost_nano_usd=cost,
            sent=error.sent,
            raw_answer=None if answer is None else _kept(_words(answer), LONGEST_ANSWER, provider),
            prompt=prompt,
            latency_seconds=took,
            waited_seconds=waited,
        )


_CLOSED = ("}", "]", '"', "```", "~~~")  # how JSON ends that is whole


def checked(answer: Answer, output: Output) -> Any:
    """The data in an answer, whose stop reason is read first.

    Raises:
        CallError: `refused`, `truncated`, `invalid_answer`, or `user_function` if a validator of the user broke.
    """
    if answer.stop == "refusal":
        said = answer.refusal or answer.text or "no reason given"
        raise CallError("refused", shortened(f"the model refused: {said}"))
    if answer.stop == "length":
        raise _cut(answer, output)
    if answer.stop == "unknown" and not (answer.text.rstrip().endswith(_CLOSED) and not output.is_text):
        raise _stopped(answer)
    try:
        return read_answer(answer.text, output)
    except CallError as error:
        reason = f" (stop reason: {answer.stop_reason})" if answer.stop == "unknown" else ""
        raise CallError(error.error_class, shortened(f"{error.message}{reason}"), traceback=error.traceback) from None
    except RecursionError:
        raise CallError("invalid_answer", "the answer is nested too deeply to be read") from None
    except BaseException as error:  # validators are the user's code
        raise fault(f"checking the answer raised {told(error)}", error) from error


def _cut(answer: Answer, output: Output) -> CallError:
    """The error for an answer that hit the token limit: a shorter one may fit, unless no word of it was said."""
    said = without_leading_thinking(answer.text) if output.is_text else without_thinking(answer.text)
    if said.strip():
        return CallError("truncated", "the answer was cut off at its limit of length; raise max_tokens")
    tokens = "" if answer.usage is None else f"{answer.usage.output_tokens} "
    return CallError(
        "truncated",
        f"all {tokens}output tokens went into thinking, none into the answer; raise max_tokens or lower effort",
        asked_again=False,
    )


def _stopped(answer: Answer) -> CallError:
    """The error for an answer of which nobody knows that it is whole."""
    reason = f"the model stopped for the reason {answer.stop_reason}, which is not known to be a good end"
    if not answer.text.strip():
        return CallError("refused", f"{reason}, and said nothing")
    return CallError("invalid_answer", f"{reason}; what it said may be a part of the answer")


def fault(message: str, error: BaseException) -> CallError:
    """The error for code of the user's or of a provider that raised what it should not."""
    return CallError("user_function", shortened(message), traceback=traceback_of(error))


def unsent(model: str, error: CallError) -> Attempt:
    """The attempt that was not made, because `error` is known to come of it."""
    return Attempt(
        model=model,
        error_class=error.error_class,
        message=error.message,
        http_status=error.http_status,
        request_id=error.request_id,
        usage=_NOTHING,
        cost_nano_usd=0,
        sent=False,
    )


def _usage_of_failure(error: CallError) -> Usage | None:
    """Tokens of a call without an answer; None if nobody knows.

    A vendor does not bill what it rejects; when the time ran out, somebody may have worked all the same.
    """
    if error.usage is not None:
        return error.usage
    if not error.sent:
        return _NOTHING
    status = error.http_status
    may_be_billed = MEANING[error.error_class].may_be_billed or status in _GAVE_UP_WAITING
    return _NOTHING if status is not None and status >= 300 and not may_be_billed else None


def key_of(provider: Provider) -> str | None:
    """The secret that a provider uses; None if it cannot be had."""
    try:
        return provider.key()
    except BaseException as error:  # noqa: BLE001 - a fault in a provider costs this call, not the run
        _log.warning("a provider's key() raised %s: a key that a message has cannot be hidden", type(error).__name__)
        return None


def _words(answer: Answer) -> str:
    """What the model said, in whichever field it came."""
    return answer.text or answer.refusal or ""


def _kept(text: str, longest: int, provider: Provider) -> str:
    """A text that is kept with an attempt: of bounded length, and without the key, also where it is cut."""
    return excerpt(clean_text(hidden(text, key_of(provider))), longest)
