"""A DoFn that keeps many answers in flight and emits each with its own window and timestamp."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.components.adaptive_throttler import ThrottlingSignaler
from apache_beam.typehints.decorators import IOTypeHints
from apache_beam.utils.windowed_value import WindowedValue

from beam_llmdag.beam.config import RunConfig
from beam_llmdag.beam.metrics import THROTTLED, DimensionMetrics
from beam_llmdag.beam.strict import stop_if_strict
from beam_llmdag.calls.caller import Caller
from beam_llmdag.calls.in_flight import InFlight
from beam_llmdag.calls.worker import this_worker
from beam_llmdag.records.result import Result
from beam_llmdag.run.evaluate_global import Sides

__all__ = ["CallFn"]


class CallFn(beam.DoFn):
    """Base of the steps that make calls.

    `process` submits and emits what has ended; it blocks when `most_in_flight` are on their way, and `finish_bundle`
    waits for the rest. Results leave as `WindowedValue`s: what is merely yielded would get the window of whichever
    element is processed at that moment. Side inputs come as keyword arguments, `side_<global>`: group -> `Result`.

    Args:
        config: the run.
        dimensions: names of the dimensions whose results it makes.
        most_in_flight: elements on their way per DoFn instance; calls have limits of their own, per process.
    """

    def __init__(self, config: RunConfig, dimensions: tuple[str, ...], most_in_flight: int) -> None:
        self._config = config
        self._dimensions = dimensions
        self._most_in_flight = most_in_flight
        self._flight: InFlight[WindowedValue, Any] | None = None

    def answer(self, element: Any, sides: Sides, caller: Caller) -> Coroutine[Any, Any, Any]:
        """What is to be done with an element: called on the bundle's thread, runs on the process' event loop."""
        raise NotImplementedError

    def results(self, made: Any) -> Iterable[Result]:
        """The new results in what `answer` made, to be counted."""
        raise NotImplementedError

    def start(self, flight: InFlight[WindowedValue, Any], element: Any, place: WindowedValue, sides: Sides) -> None:
        """Submits what is to be done with an element."""
        flight.submit(place, self.answer(element, sides, self._caller))

    def outputs(self, _: InFlight[WindowedValue, Any], place: WindowedValue, made: Any) -> Iterable[Any]:
        """What leaves the step once something that was submitted has ended; may submit more to the first argument."""
        return (place.with_value(made),)

    def default_type_hints(self) -> IOTypeHints:
        """None: Beam would take the annotation of `**sides` for that of each side input."""
        return IOTypeHints.empty()

    def setup(self) -> None:
        self._enter()
        self._metrics = {name: DimensionMetrics(name) for name in self._dimensions}
        self._throttling = ThrottlingSignaler(THROTTLED)

    def start_bundle(self) -> None:
        self._cancel()  # what a failed bundle left behind
        if not self._worker.calls.lives:
            self._enter()
        for metrics in self._metrics.values():
            metrics.drop()
        self._flight = InFlight(self._worker.calls)

    def flight(self) -> InFlight[WindowedValue, Any]:
        """What is on its way in this bundle."""
        assert self._flight is not None
        return self._flight

    def process(
        self,
        element: Any,
        place: Any = beam.DoFn.WindowedValueParam,  # one parameter: Beam fills them in slowly
        **sides: Any,
    ) -> Iterator[Any]:
        flight = self.flight()
        named = {name.removeprefix("side_"): groups for name, groups in sides.items()}
        self.start(flight, element, place, named)
        yield from self.ended(flight)

    def ended(self, flight: InFlight[WindowedValue, Any]) -> Iterator[Any]:
        """What leaves the step once something was submitted; waits while too much is on its way."""
        try:
            yield from self._emit(flight)
            while flight.pending >= self._most_in_flight:
                flight.wait()
                yield from self._emit(flight)
        except BaseException:  # also when a later step raised and this generator is closed: the bundle has failed
            self._cancel()
            raise

    def finish_bundle(self) -> Iterator[Any]:
        flight = self.flight()
        try:
            while flight.pending:
                flight.wait()
                yield from self._emit(flight)
        except BaseException:
            self._cancel()
            raise
        self._flight = None
        for metrics in self._metrics.values():
            metrics.flush()
        self._signal_throttling()

    def teardown(self) -> None:
        self._cancel()
        self._worker.leave(self._config.options.run_id)

    def _enter(self) -> None:
        self._worker = this_worker()
        options = self._config.options
        self._caller = self._worker.enter(options, self._config.graph, self._worker.progress(options.run_id))

    def _emit(self, flight: InFlight[WindowedValue, Any]) -> Iterator[Any]:
        for place, made in flight.ended():
            for result in self.results(made):
                self._count(result)
            yield from self.outputs(flight, place, made)

    def _count(self, result: Result) -> None:
        self._metrics[result.dimension].count(result)
        if result.status == "failed":
            stop_if_strict(self._config, result)

    def _signal_throttling(self) -> None:
        """Tells the runner how long limits held calls back: more workers would not have helped."""
        if seconds := self._worker.throttled_seconds():
            self._throttling.signal_throttled(seconds)

    def _cancel(self) -> None:
        if self._flight is not None:
            self._flight.cancel()
            self._flight = None
