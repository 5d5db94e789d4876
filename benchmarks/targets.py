"""What the numbers should be, and whether they are."""

from __future__ import annotations

from collections.abc import Iterator
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
    return [target for target in _targets(records) if target.case in cases]


def _targets(records: list[Record]) -> Iterator[Target]:
    def ours(case: str, what: str, plan: str = "pipelined", **known: Any) -> float | None:
        return _find(records, case, what, engine="llmdag", plan=plan, **known)

    for plan in ("pipelined", "staged"):
        over = _difference(ours("a", "wall_s", plan), ours("a", "ideal_s", plan))
        yield Target("a", f"seconds over ideal, runner included, {plan}", over, 0.5)
    for plan, limit in (("pipelined", 60), ("staged", 150)):
        cost = ours("c0", "cpu_us_per_call", plan, store=False)
        yield Target("c0", f"µs of CPU per call, {plan}", cost, limit)
        more = _difference(ours("c0", "cpu_us_per_call", plan, store=True), cost)
        yield Target("c0", f"µs of CPU per call that the SQLite store adds, {plan}", more, 40)
    for plan, share in (("pipelined", 0.95), ("staged", 0.85)):
        found = ours("c", "efficiency", plan, items=10_000, in_flight=1000)
        yield Target("c", f"share of ideal, 10,000 items, 1,000 in flight, {plan}", found, share, at_least=True)
    slow = _ratio(ours("e", "wall_s", in_flight=600), ours("e", "ideal_s", in_flight=600))
    yield Target("e", "time over ideal, 600 in flight, pipelined", slow, 1.15)
    yield Target(
        "e", "seconds to the first result, 600 in flight, pipelined", ours("e", "first_result_s", in_flight=600), 1
    )
    bare = _find(records, "f", "cpu_us_per_call", engine="anthropic_aiohttp")
    share = _ratio(bare, ours("f", "cpu_us_per_call", workers=1))
    yield Target("f", "calls per CPU-second, as a share of the bare SDK's, pipelined", share, 0.85, at_least=True)
    faster = _ratio(ours("f", "calls_per_s", workers=2), ours("f", "calls_per_s", workers=1))
    yield Target("f", "calls per second of two workers, over those of one", faster, 1.7, at_least=True)
    for note in ("", "told requests_per_minute=3000", "a minute's bucket, with rate-limit headers"):
        how = note or "not told of the limit, no headers"
        yield Target(
            "g", f"share of the limit that is used, {how}", ours("g", "goodput_share", note=note), 0.95, at_least=True
        )
        yield Target("g", f"share of 429 after 5 s, {how}", ours("g", "late_share_429", note=note), 0.02)
    for plan in ("pipelined", "staged"):
        growth = _ratio(
            ours("h", "cpu_us_per_call", plan, items=100_000), ours("h", "cpu_us_per_call", plan, items=1000)
        )
        yield Target("h", f"cost per call at 100,000 items over that at 1,000, {plan}", growth, 1.3)
    yield Target("i", "calls of a resumed run", ours("i", "calls"), 0)


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
