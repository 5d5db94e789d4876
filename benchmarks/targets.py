"""What the numbers should be, and whether they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from benchmarks.runner import Record

__all__ = ["Target", "checked_targets"]


class Target(NamedTuple):
    """One target.

    Attributes:
        case: it belongs to.
        text: what is asked.
        value: what was measured; None if it was not.
        limit: what it is held against.
        at_least: whether `value` must not be below `limit`, rather than not above.
    """

    case: str
    text: str
    value: float | None
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether it is; None if nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def checked_targets(records: list[Record]) -> list[Target]:
    """All targets of the cases that were run."""
    cases = {record["case"] for record in records}
    return sorted((t for t in _targets(records) if t.case in cases), key=lambda target: target.case)


def _targets(records: list[Record]) -> Iterator[Target]:
    ours = partial(_find, records, engine="llmdag")
    yield from _of_time(ours)
    yield from _of_cost(ours)
    bare = _find(records, "f", "cpu_us_per_call", engine="anthropic_aiohttp")
    share = _ratio(bare, ours("f", "cpu_us_per_call", plan="pipelined", workers=1))
    yield Target("f", "calls per CPU-second, as a share of the bare SDK's, pipelined", share, 0.85, at_least=True)
    faster = _ratio(ours("f", "calls_per_s", workers=2), ours("f", "calls_per_s", plan="pipelined", workers=1))
    yield Target("f", "calls per second of two workers, over those of one", faster, 1.7, at_least=True)
    for note in ("", "told requests_per_minute=3000", "a minute's bucket, with rate-limit headers"):
        how = note or "not told of the limit, no headers"
        used, late = (ours("g", what, note=note) for what in ("goodput_share", "late_share_429"))
        yield Target("g", f"share of the limit that is used, {how}", used, 0.95, at_least=True)
        yield Target("g", f"share of 429 after 5 s, {how}", late, 0.02)
    yield Target("i", "calls of a resumed run", ours("i", "calls"), 0)


def _of_time(ours: Callable[..., float | None]) -> Iterator[Target]:
    for plan, share in (("pipelined", 0.95), ("staged", 0.85)):
        over = _difference(ours("a", "wall_s", plan=plan), ours("a", "ideal_s", plan=plan))
        yield Target("a", f"seconds over ideal, runner included, {plan}", over, 0.5)
        found = ours("c", "efficiency", plan=plan, items=10_000, in_flight=1000)
        yield Target("c", f"share of ideal, 10,000 items, 1,000 in flight, {plan}", found, share, at_least=True)
    tails = {what: ours("e", what, plan="pipelined", in_flight=600) for what in ("wall_s", "ideal_s", "first_result_s")}
    slow = _ratio(tails["wall_s"], tails["ideal_s"])
    yield Target("e", "time over ideal, 600 in flight, pipelined", slow, 1.15)
    yield Target("e", "seconds to the first result, 600 in flight, pipelined", tails["first_result_s"], 1)


def _of_cost(ours: Callable[..., float | None]) -> Iterator[Target]:
    for plan, limit in (("pipelined", 60), ("staged", 150)):
        cost = partial(ours, what="cpu_us_per_call", plan=plan)
        yield Target("c0", f"µs of CPU per call, {plan}", cost("c0", store=False), limit)
        more = _difference(cost("c0", store=True), cost("c0", store=False))
        yield Target("c0", f"µs of CPU per call that the SQLite store adds, {plan}", more, 40)
        growth = _ratio(cost("h", items=100_000), cost("h", items=1000))
        yield Target("h", f"cost per call at 100,000 items over that at 1,000, {plan}", growth, 1.3)


def _find(records: list[Record], case: str, what: str, **known: Any) -> float | None:
    for record in records:
        if record["case"] == case and all(record.get(name) == value for name, value in known.items()):
            value: float | None = record.get(what)
            return value
    return None


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _ratio(first: float | None, second: float | None) -> float | None:
    return None if first is None or not second else first / second
