"""Panes that each hold the rows of their window so far, and which of them are new.

A runner's accumulating GroupByKey does not say which rows are new, and Prism fires it more often than its trigger says.
State that belongs to a window is gone on Prism as soon as the watermark passes the window's end, also where late items
are allowed. So rows are kept in the global window under the name of theirs, and a timer takes them away with their
window. It is a timer in event time; timers in real time lost results on Flink.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import TupleCoder, VarIntCoder
from apache_beam.pvalue import PCollection
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow, GlobalWindows, WindowFn
from apache_beam.utils.timestamp import Duration
from apache_beam.utils.windowed_value import WindowedValue

from beam_llmdag.beam.coders import RowCoder
from beam_llmdag.beam.items import Placed
from beam_llmdag.beam.windows.places import PlaceData, at_place, place_data
from beam_llmdag.beam.windows.rewindowed import Rewindowed

__all__ = ["Accumulated"]

_Pane = tuple[PlaceData, list[Placed]]
"""The place of a pane, and its rows."""


class Accumulated(beam.PTransform[Any, Any]):
    """(encoded window, new rows) → (number of old rows, the old and the new rows), in the same windows.

    Args:
        windowing: of windows that do not merge and that end.
    """

    def __init__(self, windowing: beam.Windowing) -> None:
        super().__init__()
        self._windowing = windowing

    def expand(self, grouped: PCollection[Any]) -> Any:
        out = Rewindowed(_OutOfWindow(), beam.Windowing(GlobalWindows())).with_output_types(tuple[bytes, _Pane])
        windowing = self._windowing
        back = Rewindowed(_Accumulate(windowing.windowfn, windowing.allowed_lateness), windowing)
        return grouped | "Out of the window" >> out | "Keep" >> back.with_output_types(tuple[int, list[Placed]])


class _OutOfWindow(beam.DoFn):
    """(encoded window, rows) → the same in the global window, with the place it had."""

    def process(
        self,
        grouped: tuple[bytes, Iterable[Placed]],
        timestamp: Any = beam.DoFn.TimestampParam,
        pane: Any = beam.DoFn.PaneInfoParam,
    ) -> Iterator[WindowedValue]:
        key, rows = grouped
        yield WindowedValue((key, (place_data(timestamp, pane), list(rows))), timestamp, (GlobalWindow(),))


class _Accumulate(beam.DoFn):
    ROWS = BagStateSpec("rows", TupleCoder((TupleCoder((VarIntCoder(),) * 4), RowCoder())))
    EXPIRY = TimerSpec("expiry", TimeDomain.WATERMARK)

    def __init__(self, windowfn: WindowFn, allowed_lateness: Duration) -> None:
        self._window_coder = windowfn.get_window_coder()
        self._allowed_lateness = allowed_lateness

    def process(
        self,
        keyed: tuple[bytes, _Pane],
        kept: Any = beam.DoFn.StateParam(ROWS),
        expiry: Any = beam.DoFn.TimerParam(EXPIRY),
    ) -> Iterator[WindowedValue]:
        key, (place, new) = keyed
        window = self._window_coder.decode(key[1:])
        old = list(kept.read())
        for row in new:
            kept.add(row)
        expiry.set(window.max_timestamp() + self._allowed_lateness)
        yield at_place((len(old), [*old, *new]), place, window)

    @on_timer(EXPIRY)
    def expire(self, kept: Any = beam.DoFn.StateParam(ROWS)) -> None:
        """The window is over, and nothing late is let in any more."""
        kept.clear()
