"""`strict=True`: the first failure ends the run. What is said of it then."""

from __future__ import annotations

from beam_llmdag.errors import StrictModeError
from beam_llmdag.records.result import Failure, Result

__all__ = ["strict_error"]


def strict_error(failure: Result | Failure) -> StrictModeError:
    """The error that ends a strict run. Its message is one line: the class of the error, then what happened to what."""
    attempts = failure.attempts if isinstance(failure, Result) else ()
    status = attempts[-1].http_status if attempts else None
    kind = f"{failure.error_class} (HTTP {status})" if status is not None else str(failure.error_class)
    return StrictModeError(f"{kind}: {' '.join((failure.message or failure.dimension).split())}")
