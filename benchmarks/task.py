"""What one measured run does, and what it hands back. Only the standard library: every environment imports it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple

__all__ = ["KEY_VARIABLE", "MODEL", "Outcome", "Task", "Watch"]

MODEL = "claude-haiku-4-5"
KEY_VARIABLE = "BENCHMARK_API_KEY"

GraphName = Literal["reviews", "categories", "branches", "chain", "single"]
Contents = Literal["distinct", "duplicates", "slow"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What an engine is to do.

    Attributes:
        engine: module in `benchmarks.engines`.
        graph: which prompts, see `benchmarks.graphs`.
        items: how many items.
        in_flight: most calls at once, of all processes together.
        latency_seconds: of an answer; the engine waits itself where there is no server.
        base_url: the simulated vendor; None for answers made in this process.
        plan: `"staged"` or `"pipelined"`; "" for engines without one.
        contents: whether items repeat each other, or ask for slow answers.
        store: file of the answer store; None for none.
        workers: processes.
        requests_per_minute: limit that the engine is told of; None for none.
        folder: for files of the run.
    """

    engine: str
    graph: GraphName
    items: int
    in_flight: int
    latency_seconds: float
    base_url: str | None = None
    plan: Literal["", "staged", "pipelined"] = ""
    contents: Contents = "distinct"
    store: str | None = None
    workers: int = 1
    requests_per_minute: int | None = None
    folder: str = "."

    def to_json(self) -> str:
        """The task as text for another process."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Task:
        """The task in such a text."""
        return Task(**json.loads(text))


class Outcome(NamedTuple):
    """What an engine hands back.

    Attributes:
        items: that came out complete: with an answer that fits for every step that was not skipped.
        calls: made in this process where there was no server to count them; None where there was.
    """

    items: int
    calls: int | None = None


@dataclass
class Watch:
    """Notes when the first item was complete.

    Attributes:
        began: `time.time()` at the start of the run.
        first: the same for the first complete item; None before there is one.
    """

    began: float = field(default_factory=time.time)
    first: float | None = None

    def item(self, at: float | None = None) -> None:
        """An item is complete, now or at `at`."""
        if self.first is None:
            self.first = at or time.time()

    @property
    def first_seconds(self) -> float | None:
        """From the start to the first complete item."""
        return None if self.first is None else self.first - self.began
