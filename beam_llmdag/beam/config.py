"""What one run is told, as it travels to the workers."""

from __future__ import annotations

from dataclasses import dataclass

from beam_llmdag.calls.options import CallOptions
from beam_llmdag.graph.graph import Graph

__all__ = ["RunConfig"]


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What one run is told.

    Attributes:
        graph: what is run, validated.
        options: how calls are made.
        strict: whether the first failed result ends the run.
    """

    graph: Graph
    options: CallOptions
    strict: bool = False

    @property
    def may_wait(self) -> bool:
        """Whether calls may wait for a batch."""
        return self.options.may_wait(self.graph.models)
