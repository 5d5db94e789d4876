"""What an answer store costs per call: a look that finds nothing, a paid answer put in, a look that finds it.

    python -m benchmarks.stores

Against SQLite in a file, and PostgreSQL and Redis on this machine, which keep what they have confirmed (fsync,
append-only file written at once). "alone" is how long one such step takes while nothing else happens, "of 100" how long
it takes for each of 2,000 with 100 under way at the same time; "CPU" what this process works for it then.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from beam_llmdag.calls.store.answers import AnswerStore, Asked, Payer
from beam_llmdag.calls.store.place import open_store
from beam_llmdag.records.result import Attempt
from beam_llmdag.usage import Usage
from engines.servers import new_postgres, new_redis

__all__ = ["STEPS", "Cost", "costs", "main"]

STEPS = ("get, not there", "put", "get")
_ANSWER = '{"label": "positive", "confidence": 0.9}'
_ALONE = 100
_MANY, _TOGETHER = 2000, 100


class Cost(NamedTuple):
    """Of one step, in microseconds.

    Attributes:
        alone: from its beginning to its end, while nothing else happens.
        together: the same, as a share of many.
        cpu: of this process, as a share of many.
    """

    alone: float
    together: float
    cpu: float


async def costs(place: str, *, alone: int = _ALONE, many: int = _MANY) -> dict[str, Cost]:
    """What each of `STEPS` costs in the store at a place.

    Args:
        place: see `open_store`; nobody else uses it.
        alone: how often each is done one by one.
        many: how often each is done with others.
    """
    store = open_store(place)
    try:
        await _put(store, "warm")  # it connects, and makes its tables
        steps: tuple[Callable[[AnswerStore, str], Awaitable[None]], ...] = (_miss, _put, _hit)
        return {name: await _cost(store, step, alone, many) for name, step in zip(STEPS, steps, strict=True)}
    finally:
        await store.aclose()


async def _cost(store: AnswerStore, step: Callable[[AnswerStore, str], Awaitable[None]], alone: int, many: int) -> Cost:
    began = time.perf_counter()
    for number in range(alone):
        await step(store, f"alone {number}")
    single = (time.perf_counter() - began) / alone
    waiting = iter(range(many))

    async def work() -> None:
        for number in waiting:
            await step(store, f"many {number}")

    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(_TOGETHER, many)):
            tasks.create_task(work())
    spent, worked = time.perf_counter() - began, time.process_time() - cpu
    return Cost(single * 1e6, spent / many * 1e6, worked / many * 1e6)


async def _miss(store: AnswerStore, key: str) -> None:
    found = await store.find([key], _payer(key))
    assert not found.answers


async def _put(store: AnswerStore, key: str) -> None:
    asked = Asked(key=key, model="anthropic:claude-haiku-4-5", payer=_payer(key), parts="{}")
    attempt = Attempt(model=asked.model, usage=Usage(input_tokens=200, output_tokens=20), cost_nano_usd=300_000)
    await store.end(store.begin(asked), asked, attempt, _ANSWER)


async def _hit(store: AnswerStore, key: str) -> None:
    found = await store.find([key], _payer(key))
    assert [answer.text for answer in found.answers] == [_ANSWER]


def _payer(key: str) -> Payer:
    return Payer.of("benchmark", "sentiment", key)


def main() -> None:
    """Measures, and prints a table in Markdown with ratios to SQLite."""
    print("| store | step | µs alone | µs of 100 | µs of CPU | CPU over SQLite's |")
    print("|---|---|---:|---:|---:|---:|")
    base: dict[str, Cost] = {}
    with _places() as places:
        for name, place in places:
            measured = asyncio.run(costs(place))
            base = base or measured
            for step, cost in measured.items():
                ratio = cost.cpu / base[step].cpu
                cells = f"{cost.alone:,.0f} | {cost.together:,.0f} | {cost.cpu:,.0f} | {ratio:.1f}"
                print(f"| {name} | {step} | {cells} |", flush=True)


@contextmanager
def _places() -> Iterator[Iterator[tuple[str, str]]]:
    """Stores that nobody has used, the servers running."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stores-")))
        postgres = new_postgres()
        stack.callback(shutil.rmtree, postgres.folder, ignore_errors=True)
        stack.callback(postgres.stop)
        redis = new_redis(folder, "--appendonly", "yes", "--appendfsync", "always")
        redis.start()
        stack.callback(redis.stop)
        yield iter(
            [("SQLite", f"{folder}/answers.sqlite"), ("PostgreSQL", postgres.new_database()), ("Redis", redis.url)]
        )


if __name__ == "__main__":
    main()
