"""How many calls are in flight, and how fast they go, when a stream comes in small bundles.

    python -m benchmarks.streaming --prism PATH

A source hands its items to the runner in bundles of a fixed size, as fast as the runner takes them. Every call takes
half a second, 50 may be in flight: 100 calls per second at best. Where the source is slower than that, it is the limit:
"source" is what comes through with calls that take no time. The ideal is the lower of the two. The second table has a
source that ticks in real time, and as many items in flight as come within half a second when nothing holds them up.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.utils.timestamp import Duration

from beam_llmdag import Dag, Item, LLMDag, Model
from beam_llmdag.testing import ScriptedProvider

CALL_SECONDS = 0.5
MOST_IN_FLIGHT = 50
BUNDLE_SIZES = (1, 2, 5, 10, 50, 100)
TICKS_PER_SECOND = (10, 40, 80)


class _Numbers(RestrictionProvider):
    def initial_restriction(self, count: int) -> OffsetRange:
        return OffsetRange(0, count)

    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def restriction_size(self, _: int, restriction: OffsetRange) -> int:
        return int(restriction.size())


class SmallBundles(beam.DoFn):
    """A count -> that many items, in bundles of `size`: the source gives the rest back to the runner after each."""

    def __init__(self, size: int) -> None:
        self._size = size

    @beam.DoFn.unbounded_per_element()
    def process(self, _: int, tracker: Any = beam.DoFn.RestrictionParam(_Numbers())) -> Iterator[dict[str, str]]:
        position = tracker.current_restriction().start
        for _ in range(self._size):
            if not tracker.try_claim(position):
                return
            yield {"id": str(position), "content": "x"}
            position += 1
        tracker.defer_remainder(Duration(0))


class Answers(ScriptedProvider):
    """Remembers when the first call began and the last one ended."""

    def __init__(self, call_seconds: float) -> None:
        super().__init__(["yes"], latency_seconds=call_seconds)
        self.began = 0.0
        self.ended = 0.0

    async def answer(self, request: Any) -> Any:
        self.began = self.began or time.monotonic()
        try:
            return await super().answer(request)
        finally:
            self.ended = time.monotonic()


def measure(source: Any, count: int, prism: str, call_seconds: float) -> tuple[int, float]:
    """Peak of calls in flight, and calls per second."""
    provider = Answers(call_seconds)
    dag = Dag("bench", model=Model("scripted:m", max_in_flight=MOST_IN_FLIGHT), providers={"scripted": provider})

    @dag.dimension
    def verdict(item: Item) -> str:
        return f"{item.id}"

    options = PipelineOptions(["--streaming", f"--prism_location={prism}"])
    with beam.Pipeline(runner=PrismRunner(), options=options) as pipeline:
        _ = pipeline | source | LLMDag(dag, store=False)
    assert len(provider.requests) == count
    return provider.peak_in_flight, count / (provider.ended - provider.began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prism", default=".tools/prism", help="path of the Prism binary")
    parser.add_argument("--items", type=int, default=400)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    _show_bundle_sizes(options.items, options.prism)
    _show_ticks(options.items, options.prism)


def _show_bundle_sizes(count: int, prism: str) -> None:
    print(f"{'bundle size':>11}  {'source, items/s':>15}  {'peak in flight':>14}  {'calls/s':>7}  {'of ideal':>8}")
    for size in BUNDLE_SIZES:
        _, alone = measure(bundles(count, size), count, prism, 0)
        peak, rate = measure(bundles(count, size), count, prism, CALL_SECONDS)
        ideal = min(alone, MOST_IN_FLIGHT / CALL_SECONDS)
        print(f"{size:>11}  {alone:>15.0f}  {peak:>14}  {rate:>7.1f}  {rate / ideal:>8.0%}", flush=True)


def bundles(count: int, size: int) -> Any:
    """Items in bundles of `size`."""
    return beam.Create([count]) | "Source" >> beam.ParDo(SmallBundles(size))


def ticks(count: int, per_second: int) -> Any:
    """Items that come one by one in real time."""
    start = time.time() + 1
    stop = start + (count - 0.5) / per_second
    impulse = PeriodicImpulse(start_timestamp=start, stop_timestamp=stop, fire_interval=1 / per_second)
    return impulse | beam.Map(lambda at: {"id": str(float(at)), "content": "x"})


def _show_ticks(count: int, prism: str) -> None:
    print(f"{'ticks/s':>11}  {'ideal in flight':>15}  {'peak in flight':>14}  {'calls/s':>7}  {'of ideal':>8}")
    for rate in TICKS_PER_SECOND:
        peak, reached = measure(ticks(count, rate), count, prism, CALL_SECONDS)
        print(
            f"{rate:>11}  {rate * CALL_SECONDS:>15.0f}  {peak:>14}  {reached:>7.1f}  {reached / rate:>8.0%}", flush=True
        )


if __name__ == "__main__":
    main()
