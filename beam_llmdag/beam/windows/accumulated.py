"""Panes that each hold the rows of their window so far, and which of them are new.

A runner's accumulating GroupByKey does not say which rows are new, and Prism fires it more often than its trigger says.
State that belongs to a window is gone on Prism as soon as the watermark passes the window's end, also where late items
are allowed. So rows are kept in the global window under the name of theirs, and a timer takes them away with their
window. It is a timer in event time; timers in real time lost results on Flink. Rows travel to the state one by one:
all the rows of a window in one element would be more than runners let an element be.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.coders import BytesCoder, TupleCoder, VarIntCoder
from apache_beam.pvalue import PCollection
from apache_beam.transforms.combiners import CountCombineFn
from apache_beam.transforms.userstate import BagStateSpec, CombiningValueStateSpec
from apache_beam.transforms.window import GlobalWindow, GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from beam_llmdag.beam.coders import RowCoder
from beam_llmdag.beam.items import Placed
from beam_llmdag.beam.windows.places import PlaceData, place_data
from beam_llmdag.beam.windows.rewindowed import Rewindowed

__all__ = ["ARRIVED", "KEPT", "WAITING", "OneByOne", "Part", "whole_pane"]

Part = tuple[bytes, PlaceData, int, list[Placed]]
"""The name of a pane, where it is, how many rows it has, and one of them; none if it has none."""

_PLACED = TupleCoder((TupleCoder((VarIntCoder(),) * 4), RowCoder()))

KEPT = BagStateSpec("kept", _PLACED)
"""State: rows of the panes that there have been."""

WAITING = BagStateSpec("waiting", TupleCoder((BytesCoder(), _PLACED)))
"""State: rows of panes that have not arrived whole, each under its pane's name."""

ARRIVED = CombiningValueStateSpec("arrived", VarIntCoder(), CountCombineFn())
"""State: the number of rows in `WAITING`."""


class OneByOne(beam.PTransform[Any, Any]):
    """(encoded window, rows of a pane) → (encoded window, `Part`) for each of the rows, in the global window."""

    def expand(self, grouped: PCollection[Any]) -> Any:
        apart = Rewindowed(_OneByOneFn(), beam.Windowing(GlobalWindows()))
        return grouped | "One by one" >> apart.with_output_types(tuple[bytes, Part])


class _OneByOneFn(beam.DoFn):
    def process(
        self,
        grouped: tuple[bytes, Iterable[Placed]],
        timestamp: Any = beam.DoFn.TimestampParam,
        pane: Any = beam.DoFn.PaneInfoParam,
    ) -> Iterator[WindowedValue]:
        key, rows = grouped
        placed = list(rows)
        # Not the pane's index: runners leave it out. All parts are of one bundle, so they are kept or lost together.
        name, place = uuid.uuid4().bytes, place_data(timestamp, pane)
        for part in [[row] for row in placed] or [[]]:
            yield WindowedValue((key, (name, place, len(placed), part)), timestamp, (GlobalWindow(),))


def whole_pane(part: Part, waiting: Any, arrived: Any) -> list[Placed] | None:
    """The rows of a pane if this is the last of its parts, else None.

    Args:
        part: what has come; runners promise no order.
        waiting: state `WAITING`.
        arrived: state `ARRIVED`.
    """
    name, _, size, rows = part
    for row in rows:
        waiting.add((name, row))
        arrived.add(row)
    if arrived.read() < size:
        return None
    all_waiting = list(waiting.read())
    pane = [row for other, row in all_waiting if other == name]
    if len(pane) < size:
        return None
    others = [(other, row) for other, row in all_waiting if other != name]
    waiting.clear()
    arrived.clear()
    for named in others:
        waiting.add(named)
        arrived.add(named)
    return pane
