"""How the calls of a run are made. Travels whole, from whoever the user tells it to whoever makes the calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from beam_llmdag.calls.batch.lane import BatchRetries
from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.clock import Clock, SystemClock
from beam_llmdag.model import LaneName, Model
from beam_llmdag.providers.base import ProviderFactory
from beam_llmdag.providers.prices import PriceTable

__all__ = ["CallOptions", "Declared", "lane_may_wait"]


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """How the calls of a run are made.

    Attributes:
        run_id: the run's own name in the registries of each process, and in the answer store.
        store: place of the answer store, see `open_store`; None to keep no answers.
        budget_usd: what the calls of one worker process may cost; None for no limit.
        retry: when to try again.
        clock: where time comes from.
        workers: processes among which limits are divided.
        shared_limits: URL of the Redis server where limits per minute are counted instead; None to divide them, too.
        keep_prompts: whether attempts say what was asked.
        lane: the way of requests to models that say nothing of it themselves; `"direct"`: of all.
        batch_retries: see `BatchRetries`.
        deadline: see `BatchLane`.
        goes_on: whether it goes on with a run that has ended; see `Result.store_hit`.
    """

    run_id: str
    store: str | None = None
    budget_usd: float | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Clock = field(default_factory=SystemClock)
    workers: int = 1
    shared_limits: str | None = None
    keep_prompts: bool = False
    lane: LaneName | None = None
    batch_retries: BatchRetries = "batch"
    deadline: float | None = None
    goes_on: bool = False

    def may_wait(self, models: Iterable[Model]) -> bool:
        """Whether calls may wait for a batch, so that the run goes in rounds.

        Args:
            models: those that are known before any item is.
        """
        return lane_may_wait(self.lane, models)


def lane_may_wait(lane: LaneName | None, models: Iterable[Model]) -> bool:
    """Whether calls to these models may wait for a batch, where the run's lane is this."""
    return lane == "batch" or (lane is None and any(model.lane == "batch" for model in models))


class Declared(Protocol):
    """What calls need to know of a graph."""

    @property
    def providers(self) -> Mapping[str, ProviderFactory]:
        """The graph's own providers, by name."""

    @property
    def prices(self) -> PriceTable:
        """What calls cost."""

    @property
    def dimensions(self) -> Iterable[str]:
        """Names of the dimensions."""

    @property
    def dimension_budgets(self) -> Mapping[str, float]:
        """Dollars that the calls of a dimension may cost, by name, where there is a limit."""

    @property
    def models(self) -> Iterable[Model]:
        """The models that are known before any item is, fallbacks among them."""
