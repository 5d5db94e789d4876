"""What a run has brought so far, in lists: where `dag.run` keeps its results."""

from __future__ import annotations

from dataclasses import dataclass, field

from beam_llmdag.records.result import Failure, Result, Row

__all__ = ["Collected"]


@dataclass(slots=True)
class Collected:
    """A `Sink` without bounds.

    Attributes:
        items: finished rows.
        regrouped: regroup -> its finished rows.
        globals: answers of globals and reports of regroups.
        failures: records that are no items.
    """

    items: list[Row] = field(default_factory=list)
    regrouped: dict[str, list[Row]] = field(default_factory=dict)
    globals: list[Result] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    async def row(self, regroup: str | None, row: Row) -> None:
        """See `Sink`."""
        (self.items if regroup is None else self.regrouped.setdefault(regroup, [])).append(row)

    async def answer(self, result: Result) -> None:
        """See `Sink`."""
        self.globals.append(result)

    async def failure(self, failure: Failure) -> None:
        """See `Sink`."""
        self.failures.append(failure)
