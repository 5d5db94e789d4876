"""`strict=True`: the first failure ends the run. What is said of it then."""

from __future__ import annotations

from beam_llmdag.errors import StrictModeError
from beam_llmdag.records.result import Result

__all__ = ["strict_error"]


def strict_error(failure: Result | str) -> StrictModeError:
    """The error that ends a strict run. Its message is one line: the class of the error, then what happened to what.

    Args:
        failure: a failed result, or what is said of another failure.
    """
    return StrictModeError(_told(failure) if isinstance(failure, Result) else " ".join(failure.split()))


def _told(failed: Result) -> str:
    status = failed.attempts[-1].http_status if failed.attempts else None
    kind = f"{failed.error_class} (HTTP {status})" if status is not None else str(failed.error_class)
    return f"{kind}: {' '.join((failed.message or failed.dimension).split())}"
