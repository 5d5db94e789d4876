"""What one run is told, as it travels to the workers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from beam_llmdag.clock import Clock, SystemClock
from beam_llmdag.dag import Dag
from beam_llmdag.retry import RetryPolicy

__all__ = ["DEFAULT_STORE", "RunConfig", "default_store"]

DEFAULT_STORE = Path(".llmdag") / "answers.sqlite"
"""Where local runs keep paid answers, unless the environment variable `LLMDAG_STORE` names another file, or `off`."""

STORE_VARIABLE = "LLMDAG_STORE"
_OFF = ("", "off", "0", "false", "no")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What one run is told.

    Attributes:
        dag: the validated graph.
        run_id: the run's own name in the registries of each process.
        store: file of the answer store; None to keep no answers.
        strict: whether the first failed result ends the run.
        budget_usd: what the calls of one worker process may cost; None for no limit.
        retry: when to try again.
        clock: where time comes from.
        workers: processes among which limits are divided.
        shared_limits: URL of the Redis server where limits per minute are counted instead; None to divide them, too.
        keep_prompts: whether attempts say what was asked.
    """

    dag: Dag
    run_id: str
    store: str | None = None
    strict: bool = False
    budget_usd: float | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Clock = field(default_factory=SystemClock)
    workers: int = 1
    shared_limits: str | None = None
    keep_prompts: bool = False


def default_store(store: str | Path | bool | None, *, local: bool) -> str | None:
    """The file of the answer store that an option means.

    Args:
        store: a path; False for none; True for the default place; None for the default: on where the run is local.
        local: whether the run stays on this machine.
    """
    if store is False or (store is None and not local):
        return None
    if store is None or store is True:
        named = os.environ.get(STORE_VARIABLE)
        off = named is not None and named.strip().lower() in _OFF
        if off and store is None:
            return None
        store = DEFAULT_STORE if off or named is None else named
    return str(Path(store).expanduser().absolute())
