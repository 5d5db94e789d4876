"""`strict=True` in a pipeline: the first failure ends it."""

from __future__ import annotations

from beam_llmdag.beam.config import RunConfig
from beam_llmdag.records.result import Failure, Result
from beam_llmdag.run.strict import strict_error

__all__ = ["stop_if_strict"]


def stop_if_strict(config: RunConfig, failure: Result | Failure) -> None:
    """Ends a strict run because of a failure, see `strict_error`; does nothing in others.

    Raises:
        StrictModeError: the run is strict.
    """
    if config.strict:
        raise strict_error(failure)
