"""`strict=True`: the first failure ends the run."""

from __future__ import annotations

from beam_llmdag.errors import StrictModeError
from beam_llmdag.result import Result
from beam_llmdag.run_config import RunConfig
from beam_llmdag.worker import this_worker

__all__ = ["stop_if_strict"]


def stop_if_strict(config: RunConfig, failure: Result | str) -> None:
    """Ends a strict run because of a failure; does nothing in others.

    A runner hands over errors as text. Who started the run in this process finds the message in its `Progress`.

    Args:
        failure: a failed result, or what is said of another failure.

    Raises:
        StrictModeError: the run is strict. Its message is one line: the class of the error, then what happened to what.
    """
    if config.strict:
        message = _told(failure) if isinstance(failure, Result) else " ".join(failure.split())
        this_worker().progress(config.run_id).stop(message)
        raise StrictModeError(message)


def _told(failed: Result) -> str:
    status = failed.attempts[-1].http_status if failed.attempts else None
    kind = f"{failed.error_class} (HTTP {status})" if status is not None else str(failed.error_class)
    return f"{kind}: {' '.join((failed.message or failed.dimension).split())}"
