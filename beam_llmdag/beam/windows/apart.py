"""Calls apart from an unbounded source: rows leave its bundles before the first call is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindow, GlobalWindows, WindowFn
from apache_beam.utils.windowed_value import WindowedValue

from beam_llmdag.beam.windows.places import PlaceData, at_place, place_data
from beam_llmdag.beam.windows.rewindowed import Rewindowed
from beam_llmdag.records.result import Row

__all__ = ["Apart"]

_Placed = tuple[bytes, PlaceData, Row]
"""Encoded window, place in it, row."""


class Apart(beam.PTransform[Any, Any]):
    """Rows → the same rows, where they were, in bundles of the runner's making.

    A runner fuses a step with its source. A bundle waits for its calls, so the source would wait as well, and no more
    calls would be in flight than it puts into a bundle: one, perhaps. `Reshuffle` is what breaks that up. It is given
    rows in the global window, because the in-process runner's drops those that are late in theirs.
    """

    def expand(self, rows: PCollection[Any]) -> Any:
        windowing = rows.windowing
        out = Rewindowed(_OutOfWindow(windowing.windowfn), beam.Windowing(GlobalWindows()))
        back = Rewindowed(_IntoWindow(windowing.windowfn), windowing)
        moved = rows | "Out of windows" >> out.with_output_types(_Placed) | beam.Reshuffle()
        return moved | "Into windows" >> back.with_output_types(Row)


class _OutOfWindow(beam.DoFn):
    def __init__(self, windowfn: WindowFn) -> None:
        self._coder = windowfn.get_window_coder()

    def process(
        self,
        row: Row,
        window: Any = beam.DoFn.WindowParam,
        timestamp: Any = beam.DoFn.TimestampParam,
        pane: Any = beam.DoFn.PaneInfoParam,
    ) -> Iterator[WindowedValue]:
        placed = (self._coder.encode(window), place_data(timestamp, pane), row)
        yield WindowedValue(placed, timestamp, (GlobalWindow(),))


class _IntoWindow(beam.DoFn):
    def __init__(self, windowfn: WindowFn) -> None:
        self._coder = windowfn.get_window_coder()

    def process(self, placed: _Placed) -> Iterator[WindowedValue]:
        window, place, row = placed
        yield at_place(row, place, self._coder.decode(window))
