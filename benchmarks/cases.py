"""What is measured, and with whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from benchmarks.graphs import ideal_seconds
from benchmarks.server import ServerSettings
from benchmarks.task import Contents, GraphName, Task

__all__ = ["CASES", "PEERS", "Case", "Entry"]

PEERS = {
    "anthropic_sdk": "anthropic",
    "anthropic_aiohttp": "anthropic",
    "langchain_abatch": "langchain",
    "async_batch_llm_prompts": "async-batch-llm",
    "data_designer_columns": "data-designer",
    "run_inference": "beam-inference",
    "ondine_pipeline": "ondine",
}
"""Engine -> the virtual environment under `.venvs` that has its library."""

BARE_HTTP, BARE_IN_PROCESS = "anthropic_aiohttp", "in_process_loop"
_LATENCY = 0.2
_ONE_IN_FLIGHT = "has one call in flight"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the table.

    Attributes:
        task: what the engine does, without address and folder.
        vendor: how the server behaves; None for answers made in the process.
        calls: made by an engine that makes each call once.
        cannot: why there is nothing to measure; "" if there is.
        resumed: whether the run is made a second time, with all answers in the store.
        runs: how often, at most; 0 for the default of the case.
        note: what a reader should know.
    """

    task: Task
    vendor: ServerSettings | None = None
    calls: int
    cannot: str = ""
    resumed: bool = False
    runs: int = 0
    note: str = ""

    @property
    def ideal_seconds(self) -> float:
        """The shortest time that is possible."""
        if self.vendor is None:
            return ideal_seconds(self.task, self.calls)
        return ideal_seconds(self.task, self.calls, self.vendor.requests_per_second, self.vendor.limit_seconds)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A question and its rows.

    Attributes:
        name: short, for `make bench CASE=…`.
        title: what it asks.
        entries: in the order of the table; the bare loop comes first.
        runs: how often each is run by default; the medians are shown.
    """

    name: str
    title: str
    entries: tuple[Entry, ...] = field(repr=False)
    runs: int = 1


def _http(
    graph: GraphName,
    items: int,
    in_flight: int,
    calls: int,
    *,
    contents: Contents = "distinct",
    vendor: ServerSettings | None = None,
) -> Entry:
    """A row with a server, still without an engine."""
    vendor = vendor or ServerSettings(latency_seconds=_LATENCY)
    task = Task(
        engine="",
        graph=graph,
        items=items,
        in_flight=in_flight,
        latency_seconds=vendor.latency_seconds,
        contents=contents,
    )
    return Entry(task=task, vendor=vendor, calls=calls)


def _in_process(items: int, in_flight: int, latency_seconds: float) -> Entry:
    task = Task(engine="", graph="branches", items=items, in_flight=in_flight, latency_seconds=latency_seconds)
    return Entry(task=task, calls=3 * items, note="answers made in the process")


def _with(entry: Entry, engine: str, plan: Literal["", "staged", "pipelined"] = "", **changes: Any) -> Entry:
    task = replace(entry.task, engine=engine, plan=plan)
    return replace(entry, task=task, **changes)


def _ours(entry: Entry, *, staged: bool = True) -> Iterator[Entry]:
    yield _with(entry, "llmdag_local")
    yield _with(entry, "llmdag", "pipelined")
    if staged:
        yield _with(entry, "llmdag", "staged")


def _bare(entry: Entry) -> Iterator[Entry]:
    yield _with(entry, BARE_HTTP)
    yield _with(entry, "anthropic_sdk")


def _peers(entry: Entry, run_inference: str = "", *, runs: int = 0) -> Iterator[Entry]:
    """The other libraries.

    Args:
        run_inference: why Beam's own transform is left out; "" if it is not.
    """
    for engine in ("langchain_abatch", "async_batch_llm_prompts", "data_designer_columns"):
        yield _with(entry, engine, runs=runs)
    yield _with(entry, "run_inference", cannot=run_inference, runs=1)


def _everybody(entry: Entry, run_inference: str = "", *, peer_runs: int = 0) -> tuple[Entry, ...]:
    return (*_bare(entry), *_ours(entry), *_peers(entry, run_inference, runs=peer_runs))


def _in_process_rows(entry: Entry) -> tuple[Entry, ...]:
    return (_with(entry, BARE_IN_PROCESS), *_ours(entry))


def _stored(entry: Entry, **changes: Any) -> Iterator[Entry]:
    for found in _ours(entry):
        yield replace(found, task=replace(found.task, store="answers.sqlite"), **changes)


def _seed() -> Case:
    vendor = ServerSettings(latency_seconds=_LATENCY, gold="reviews_20")
    entry = _http("reviews", 20, 50, 50, vendor=vendor)
    return Case(name="a", title="20 reviews, 10 of them spam: 50 calls", entries=_everybody(entry), runs=3)


def _cross_item() -> Case:
    vendor = ServerSettings(latency_seconds=_LATENCY, gold="categories_10")
    entry = _http("categories", 10, 50, 16, vendor=vendor)
    title = "10 reviews, grouped by one answer over all, then an answer per group: 16 calls"
    return Case(name="d", title=title, entries=tuple(_ours(entry)), runs=3)


def _branches() -> Case:
    return Case(
        name="b", title="100 items x 3", entries=_everybody(_http("branches", 100, 100, 300), peer_runs=1), runs=3
    )


def _many() -> Case:
    http = _http("branches", 1000, 100, 3000)
    slow = f"{_ONE_IN_FLIGHT}: 3,000 calls of 200 ms would take ten minutes"
    entries = [*_everybody(http, slow)]
    for items in (1000, 10_000):
        for in_flight in (100, 1000):
            rows = _in_process_rows(_in_process(items, in_flight, _LATENCY))
            entries += rows[:2] if (items, in_flight) == (10_000, 100) else rows  # a minute each
    return Case(name="c", title="1,000 and 10,000 items x 3, 100 and 1,000 in flight", entries=tuple(entries))


def _engine_cost() -> Case:
    entry = _in_process(10_000, 1000, 0.0)
    entries = (*_in_process_rows(entry), *_stored(entry, note="answers made in the process; SQLite store"))
    return Case(name="c0", title="cost per call, answers at once: 10,000 items x 3", entries=entries, runs=3)


def _tails() -> Case:
    few, many = (_http("chain", 200, in_flight, 600, contents="slow") for in_flight in (50, 600))
    slow = f"{_ONE_IN_FLIGHT}: 600 calls would take 2.5 minutes; one slow call holds up all"
    entries = (*_everybody(few, slow, peer_runs=1), *_bare(many), *_ours(many))
    title = "tails: 200 items x 3 steps, 2 % of the calls take 3 s, 50 and 600 in flight"
    return Case(name="e", title=title, entries=entries, runs=2)


def _saturation() -> Case:
    entry = _http("branches", 10_000, 100, 30_000, vendor=ServerSettings(latency_seconds=0.02))
    one = _with(entry, "llmdag", "pipelined")
    two = replace(one, task=replace(one.task, workers=2), note="two worker processes; wall with their start")
    entries = (_with(entry, BARE_HTTP), one, two)
    return Case(name="f", title="HTTP at saturation: 10,000 items x 3, answers after 20 ms", entries=entries)


def _rate_limit() -> Case:
    silent = ServerSettings(latency_seconds=_LATENCY, requests_per_second=50, limit_headers=False)
    entry = _http("single", 1200, 100, 1200, vendor=silent)
    minute = replace(silent, limit_seconds=60, limit_headers=True)
    headers = _http("single", 4000, 100, 4000, vendor=minute)
    told = _with(entry, "llmdag", "pipelined", note="told requests_per_minute=3000")
    told = replace(told, task=replace(told.task, requests_per_minute=3000))
    entries = (
        *_bare(entry),
        *_ours(entry, staged=False),
        told,
        _with(headers, "llmdag", "pipelined", note="a minute's bucket, with rate-limit headers"),
        *_peers(entry, f"{_ONE_IN_FLIGHT}: 5 calls a second never reach the limit"),
    )
    return Case(name="g", title="a rate limit of 50 requests/s", entries=entries)


def _scale() -> Case:
    entries = [row for items in (1000, 10_000, 100_000) for row in _ours(_in_process(items, 1000, 0.0))]
    return Case(name="h", title="scale, answers at once: 1,000, 10,000 and 100,000 items x 3", entries=tuple(entries))


def _resume() -> Case:
    entry = _in_process(10_000, 1000, 0.0)
    entries = tuple(_stored(entry, calls=0, resumed=True, note="all answers in the SQLite store"))
    return Case(name="i", title="the same 10,000 items x 3 again, every answer in the store", entries=entries)


def _storm() -> Case:
    vendor = ServerSettings(latency_seconds=_LATENCY, refused=0.2)
    entry = _http("branches", 30, 30, 90, vendor=vendor)
    title = "a storm: 20 % of the requests are answered 429 with Retry-After: 1, at random"
    return Case(name="j", title=title, entries=_everybody(entry))


def _duplicates() -> Case:
    entry = _http("single", 100, 50, 100, contents="duplicates")
    stored = list(_stored(entry, note="SQLite store"))
    entries = (*_bare(entry), *stored, *_peers(entry))
    return Case(name="k", title="100 items, 30 % of the prompts repeat another", entries=entries)


def _invalid() -> Case:
    vendor = ServerSettings(latency_seconds=_LATENCY, invalid=0.1)
    entry = _http("branches", 50, 50, 150, vendor=vendor)
    return Case(name="l", title="10 % of the answers do not fit the schema", entries=_everybody(entry))


CASES = (
    _seed(),
    _cross_item(),
    _branches(),
    _many(),
    _engine_cost(),
    _tails(),
    _saturation(),
    _rate_limit(),
    _scale(),
    _resume(),
    _storm(),
    _duplicates(),
    _invalid(),
)
