"""The run that rows in BigQuery belong to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from beam_llmdag.errors import InputError

__all__ = ["RUN_FIELDS", "Run"]

RUN_FIELDS: tuple[dict[str, Any], ...] = (
    {"name": "run_id", "type": "STRING", "mode": "REQUIRED"},
    {"name": "run_date", "type": "DATE", "mode": "REQUIRED"},
    {"name": "run_started_at", "type": "TIMESTAMP", "mode": "REQUIRED"},
)
"""The columns that every table begins with; `run_date` is its partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a pipeline, by the name under which it is repeated.

    Args:
        run_id: its name. A run that is started again under its name takes the place of the first.
        started_at: when it was started, with a zone.
        run_date: the day whose partition its rows go to, by default that of `started_at` in UTC.

    Raises:
        InputError: a blank name, or a time without a zone.
    """

    run_id: str
    started_at: datetime
    run_date: date | None = None

    def __post_init__(self) -> None:
        if not self.run_id.strip():
            raise InputError("run_id is blank; give the run a name")
        if self.started_at.tzinfo is None:
            raise InputError(f"run {self.run_id!r}: started_at {self.started_at} has no zone; pass datetime.now(UTC)")

    @property
    def day(self) -> date:
        """The day of its partition."""
        return self.run_date or self.started_at.astimezone(UTC).date()

    def columns(self) -> dict[str, str]:
        """The values of `RUN_FIELDS`."""
        started_at = self.started_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"run_id": self.run_id, "run_date": self.day.isoformat(), "run_started_at": started_at}
