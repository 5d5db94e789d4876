"""What a user may say of a run, and what becomes of it."""

from __future__ import annotations

import time
import uuid
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict, get_args

from beam_llmdag.calls.batch.lane import BatchRetries
from beam_llmdag.calls.options import CallOptions, lane_may_wait
from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.calls.store.place import default_store
from beam_llmdag.clock import Clock, SystemClock
from beam_llmdag.errors import GraphError
from beam_llmdag.graph.graph import Graph
from beam_llmdag.model import LaneName

__all__ = ["CallSettings", "RunOptions", "call_options", "check_settings", "lane_of"]


class CallSettings(TypedDict, total=False):
    """What a user may say of the calls of a run; see `LLMDag`."""

    store: str | Path | bool | None
    budget_usd: float | None
    retry: RetryPolicy | None
    shared_limits: str | None
    keep_prompts: bool
    lane: LaneName | None
    batch_retries: BatchRetries
    deadline: datetime | None
    clock: Clock | None
    run_id: str | None


class RunOptions(CallSettings, total=False):
    """Options of a run in this process.

    Keys:
        strict: end with `StrictModeError` on the first failure instead of delivering everything else.
        wait: with calls in batches, whether to go on from round to round until all is answered. False hands in what
            waits and returns at once, with results that are pending; the same call later goes on.
        store: place of the answer store, a path or `sqlite:path`; False for none. By default `.llmdag/answers.sqlite`,
            or what the environment variable `LLMDAG_STORE` says.
        budget_usd: dollars that the calls may cost; what comes after that fails as `over_budget`. Every model named in
            the dag must have a price.
        retry: when to try a failed call again.
        most_in_flight: items on their way at the same time, 1,000 by default. Calls have limits of their own, see
            `Model`.
        shared_limits: URL of a Redis server that counts limits per minute for several processes, see `LLMDag`.
        keep_prompts: whether every attempt says what was asked.
        lane: `"batch"`: requests to models that say nothing of it themselves go in the vendor's batch API, where it has
            one, for half the price; see `Dag.run`. `"direct"`: each goes on its own, whatever models say.
        batch_retries: how a call is asked again that a batch has not answered: `"batch"`, in the next one, or
            `"direct"`, on its own at once, at its full price.
        deadline: a moment, with its time zone, by which answers are wanted: `lane="batch"` for calls whose batch has
            ended by then (a vendor takes up to a day for one, Google two), while all others go on their own.
        clock: where time comes from, for tests.
        run_id: name of the run, see `LLMDag`.
        id_field, content_field: names of these fields in dicts and tables.
    """

    strict: bool
    wait: bool
    most_in_flight: int
    id_field: str
    content_field: str


def check_settings(graph: Graph, settings: CallSettings) -> None:
    """Checks that calls can be made as the user says.

    Raises:
        GraphError: a budget that cannot be kept, limits that cannot be counted.
    """
    _check_budget(graph, settings.get("budget_usd"))
    _check_shared_limits(settings.get("shared_limits"))
    _check_lane(graph, settings)


def call_options(settings: CallSettings, *, local: bool, workers: int = 1) -> CallOptions:
    """How calls are made, what the user did not say filled in.

    Args:
        settings: what the user says.
        local: whether the run stays on this machine.
        workers: processes that make calls at the same time.
    """
    return CallOptions(
        run_id=settings.get("run_id") or uuid.uuid4().hex,
        store=default_store(settings.get("store"), local=local),
        budget_usd=settings.get("budget_usd"),
        retry=settings.get("retry") or RetryPolicy(),
        clock=settings.get("clock") or SystemClock(),
        workers=workers,
        shared_limits=settings.get("shared_limits"),
        keep_prompts=settings.get("keep_prompts", False),
        lane=lane_of(settings),
        batch_retries=settings.get("batch_retries", "batch"),
        deadline=None if (deadline := settings.get("deadline")) is None else deadline.timestamp(),
    )


def lane_of(settings: CallSettings) -> LaneName | None:
    """How requests travel to models that say nothing of it: who sets a deadline has time for batches."""
    lane = settings.get("lane")
    return "batch" if lane is None and settings.get("deadline") is not None else lane


def _check_budget(graph: Graph, budget_usd: float | None) -> None:
    """Checks that a budget can be kept.

    Raises:
        GraphError: it is not positive, or a model named in the dag has no price.
    """
    if budget_usd is not None and budget_usd <= 0:
        raise GraphError(f"budget_usd must be positive, not {budget_usd:g}")
    for name, dimension in graph.dimensions.items():
        for model in dimension.models or ():  # those that a function picks are checked when they are asked
            if (budget_usd, dimension.budget_usd, model.budget_usd) == (None, None, None):
                continue
            if not graph.prices.knows(model.spec, at=time.time()):
                raise GraphError(
                    f"dimension {name!r}: a budget cannot be kept with model {model.spec!r}, which has no known price; "
                    f"give the dag one: prices={{{model.spec!r}: Price(…)}}"
                )


def _check_lane(graph: Graph, settings: CallSettings) -> None:
    """Checks that requests can go the way they are to go.

    Raises:
        GraphError: they cannot.
    """
    lane, retries = lane_of(settings), settings.get("batch_retries", "batch")
    if lane is not None and lane not in get_args(LaneName):
        raise GraphError(f"lane is one of {', '.join(get_args(LaneName))}, not {lane!r}")
    if retries not in get_args(BatchRetries):
        raise GraphError(f"batch_retries is one of {', '.join(get_args(BatchRetries))}, not {retries!r}")
    if (deadline := settings.get("deadline")) is not None:
        if not isinstance(deadline, datetime) or deadline.tzinfo is None:
            raise GraphError(f"deadline is a datetime with a time zone, not {deadline!r}")
        if lane == "direct":
            raise GraphError("deadline= says what may go in a batch, and lane='direct' that nothing may: leave out one")
    if settings.get("store") is False and lane_may_wait(lane, graph.models):
        raise GraphError("lane='batch' needs an answer store, where calls wait for their batch: leave out store=False")


def _check_shared_limits(url: str | None) -> None:
    """Checks that there is a client for the place where limits are counted.

    Raises:
        GraphError: the URL is none of Redis, or the extra is not installed.
    """
    if url is None:
        return
    if not url.startswith(("redis://", "rediss://", "$")):
        raise GraphError("shared_limits is the URL of a Redis server, such as 'redis://host:6379/0'")
    if find_spec("redis") is None:
        raise GraphError("shared_limits needs a client for Redis: pip install 'beam-llmdag[redis]'")
