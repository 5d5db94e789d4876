"""`strict=True`: the first failure ends the run."""

from __future__ import annotations

from beam_llmdag.errors import StrictModeError
from beam_llmdag.run_config import RunConfig
from beam_llmdag.worker import this_worker

__all__ = ["stop_if_strict"]


def stop_if_strict(config: RunConfig, message: str) -> None:
    """Ends a strict run because of a failure; does nothing in others.

    A runner hands over errors as text. Who started the run in this process finds the message in its `Progress`.

    Raises:
        StrictModeError: the run is strict.
    """
    if config.strict:
        this_worker().progress(config.run_id).stop(message)
        raise StrictModeError(message)
