"""Every error this package raises on purpose, and the classes that a failed call can have.

    LLMDagError
    ├── GraphError          a dag that cannot run; raised when it is declared
    ├── InputError          an input that is no item; raised (or delivered as a failure) at the door
    ├── CallError           one call, or the answer it brought, failed; carries its `ErrorClass`
    ├── StrictModeError     the first failure of a run with `strict=True`
    ├── StoreError          the answer store cannot be read or written; ends the run
    ├── SharedLimitsError   limits cannot be counted for all processes; ends the run
    └── FetchError          the default local model cannot be fetched

All of them survive pickling: runners carry them between processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from beam_llmdag.text import clean_text
from beam_llmdag.usage import Usage

__all__ = [
    "ERROR_CLASSES",
    "MEANING",
    "CallError",
    "ErrorClass",
    "FetchError",
    "GraphError",
    "InputError",
    "LLMDagError",
    "Meaning",
    "SharedLimitsError",
    "StoreError",
    "StrictModeError",
]

ErrorClass = Literal[
    "rate_limited",  # 429 that passes by waiting
    "quota_exhausted",  # no money or no quota of the day, whatever the status: waiting does not help
    "overloaded",  # the vendor has no capacity: 503, 529, or a gateway's error
    "timeout",  # no answer within the dimension's time-out
    "connection",  # no usable HTTP answer: refused, reset, not JSON
    "invalid_answer",  # an answer that is not what the output schema asks for
    "truncated",  # the answer hit the token limit
    "refused",  # the model, or the vendor's filter, declined
    "bad_request",  # the vendor rejected the request
    "too_long",  # the request fits neither the model nor, ever, the limits per minute
    "auth",  # missing, wrong or unauthorised key
    "user_function",  # a function, validator or provider of the user raised or returned nonsense
    "dependency",  # a dependency failed or was skipped, and the dimension says `on_missing="fail"`
    "duplicate_id",  # two items with one id
    "bad_input",  # an input record that cannot be an item
    "not_written",  # a row that the table it belongs to does not take
    "over_budget",  # the money that may be spent is spent
    "too_many_rows",  # the rows of a global dimension do not fit one prompt and it has no merge
]
"""What went wrong, as one word. The first eleven come from a call, the others from this package."""

ERROR_CLASSES: tuple[str, ...] = get_args(ErrorClass)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What follows from a class of errors, for all who have to do with it.

    Attributes:
        retried: a later try of the same request may cure it.
        asked_again: the model may do better when it is told what was wrong with its answer.
        falls_back: another model may do better.
        hopeless: no waiting makes the model answer, as far as a run is concerned: without money, without a key.
        witnesses: failures in a row, without an answer in between, by which a model is given up; None if it never is.
        lowers_ceiling: fewer calls in flight are a cure.
        may_be_billed: the model may have worked, and nobody knows for how many tokens.
    """

    retried: bool = False
    asked_again: bool = False
    falls_back: bool = True
    hopeless: bool = False
    witnesses: int | None = None
    lowers_ceiling: bool = False
    may_be_billed: bool = False


MEANING: Mapping[ErrorClass, Meaning] = {
    "rate_limited": Meaning(retried=True),
    "quota_exhausted": Meaning(hopeless=True, witnesses=1),
    "overloaded": Meaning(retried=True, witnesses=10, lowers_ceiling=True),
    "timeout": Meaning(retried=True, witnesses=10, lowers_ceiling=True, may_be_billed=True),
    "connection": Meaning(retried=True, witnesses=10),
    "invalid_answer": Meaning(asked_again=True),
    "truncated": Meaning(asked_again=True),
    "refused": Meaning(),
    "bad_request": Meaning(),
    "too_long": Meaning(),
    "auth": Meaning(hopeless=True, witnesses=3),
    "user_function": Meaning(),
    "dependency": Meaning(falls_back=False),
    "duplicate_id": Meaning(falls_back=False),
    "bad_input": Meaning(falls_back=False),
    "not_written": Meaning(falls_back=False),
    "over_budget": Meaning(falls_back=False),
    "too_many_rows": Meaning(falls_back=False),
}
"""What each class means; the only place that says so."""


class LLMDagError(Exception):
    """Base of all errors of this package."""


class GraphError(LLMDagError, ValueError):
    """A dag that cannot run. The message names the dimension and the remedy."""


class InputError(LLMDagError, ValueError):
    """An input record that cannot become an item. The message names the record and the remedy."""


class StrictModeError(LLMDagError, RuntimeError):
    """The first failed result of a pipeline that runs with `strict=True`."""


class StoreError(LLMDagError, RuntimeError):
    """A store that cannot be read or written. The message names its place and the remedy.

    It ends the run: to go on without the store would pay for answers and lose them.
    """


class SharedLimitsError(LLMDagError):
    """The place where limits are counted has not answered even once, or refuses to: the configuration is wrong."""


class FetchError(LLMDagError, RuntimeError):
    """The default local model could not be fetched."""


class CallError(LLMDagError):
    """One call failed, classified once by the provider that made it. Its texts are valid Unicode, whoever wrote them.

    Args:
        error_class: one of `ErrorClass`.
        message: what happened, in the vendor's words where it has any.
        http_status: status of the response, None where there was none.
        request_id: the vendor's id of the request, for a support ticket.
        retry_after_seconds: how long the vendor asked to wait, None if it did not.
        usage: tokens that the failed call is known to have used; None if nobody knows.
        sent: whether the request may have reached the vendor (and so may have been billed).
        asked_again: whether the model may be asked again where the class says so; False where it would do no better.
        traceback: where the user's or a provider's own code raised, for `user_function`; None for other classes.
    """

    def __init__(
        self,
        error_class: ErrorClass,
        message: str,
        *,
        http_status: int | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
        usage: Usage | None = None,
        sent: bool = True,
        asked_again: bool = True,
        traceback: str | None = None,
    ) -> None:
        message = clean_text(message)
        super().__init__(error_class, message)
        self.error_class = error_class
        self.message = message
        self.http_status = http_status
        self.request_id = None if request_id is None else clean_text(request_id)
        self.retry_after_seconds = retry_after_seconds
        self.usage = usage
        self.sent = sent
        self.asked_again = asked_again
        self.traceback = None if traceback is None else clean_text(traceback)

    def __str__(self) -> str:
        return f"{self.error_class}: {self.message}"
