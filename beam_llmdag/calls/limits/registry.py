"""The gates of a process."""

from __future__ import annotations

from beam_llmdag.calls.limits.gate import Gate
from beam_llmdag.calls.limits.shared import SharedLimits
from beam_llmdag.clock import Clock
from beam_llmdag.model import Model

__all__ = ["Limits"]

_Account = tuple[str, str | None, str | None, Clock]


class Limits:
    """A gate per model, server and key, shared by all runs and steps of a process. Belongs to one event loop."""

    def __init__(self) -> None:
        self._gates: dict[_Account, Gate] = {}

    @property
    def throttled_seconds(self) -> float:
        """Time in which calls waited for a limit per minute, a pause or a found pace, summed over the models."""
        gates = list(self._gates.values())  # at once: another thread asks while the loop may add one
        return sum(gate.throttled_seconds for gate in gates)

    def gate(
        self,
        model: Model,
        default_in_flight: int,
        *,
        workers: int,
        clock: Clock,
        shared: SharedLimits | None = None,
    ) -> Gate:
        """The gate of a model. Where two `Model`s of one account name different limits, the lower one holds.

        Args:
            model: whose account and limits they are.
            default_in_flight: most calls in flight in this process where the model does not say.
            workers: processes among which what the model says is divided.
            clock: time.
            shared: where limits per minute are counted for all processes; None divides them.
        """
        account = (model.spec, model.base_url, model.api_key_env, clock)
        share = None if model.max_in_flight is None else max(1, model.max_in_flight // workers)
        gate = self._gates.get(account)
        if gate is None:
            told = " ".join(filter(None, account[:3]))
            gate = self._gates[account] = Gate(share or default_in_flight, workers, clock, account=told, shared=shared)
        gate.tighten(model, share)
        return gate
