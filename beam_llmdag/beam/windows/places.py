"""Where an element is, as data that can travel with it: a grouping and a change of windows would lose it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from apache_beam.transforms.window import BoundedWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import PaneInfo, WindowedValue

__all__ = ["PlaceData", "at_place", "place_data"]

PlaceData = tuple[int, int, int, int]
"""Timestamp in microseconds, and the pane's byte and two indices."""


def place_data(timestamp: Timestamp, pane: PaneInfo) -> PlaceData:
    """A timestamp and a pane as data."""
    return timestamp.micros, pane.encoded_byte, pane.index, pane.nonspeculative_index


def at_place(value: Any, data: PlaceData, window: BoundedWindow) -> WindowedValue:
    """`value` where it was."""
    timestamp, pane = _time_and_pane(*data)
    return WindowedValue(value, timestamp, (window,), pane)


@lru_cache(maxsize=64)  # they are dear, and many rows have the same
def _time_and_pane(micros: int, byte: int, index: int, nonspeculative_index: int) -> tuple[Timestamp, PaneInfo]:
    pane = PaneInfo(bool(byte & 1), bool(byte & 2), byte >> 2, index, nonspeculative_index)
    return Timestamp(micros=micros), pane
