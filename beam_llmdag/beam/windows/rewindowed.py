"""A ParDo that says in which windows its output is, without assigning elements to windows anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam

__all__ = ["Rewindowed", "SameRewindowed", "changed"]


class Rewindowed(beam.ParDo):
    """`beam.ParDo(fn)` whose output has another windowing than its input.

    `WindowInto` would give an element that is in one of several overlapping windows to all of them once more. Here an
    element stays where it is, or goes where the `WindowedValue` that `fn` yields says.

    Args:
        fn: the DoFn.
        windowing: that of the output.
    """

    def __init__(self, fn: beam.DoFn, windowing: beam.Windowing) -> None:
        super().__init__(fn)
        self._windowing = windowing

    def get_windowing(self, _: Any) -> beam.Windowing:
        """See the class."""
        return self._windowing


class SameRewindowed(Rewindowed):
    """Elements → the same elements in another windowing, see `Rewindowed`."""

    def __init__(self, windowing: beam.Windowing) -> None:
        super().__init__(_Same(), windowing)


class _Same(beam.DoFn):
    def process(self, element: Any) -> Iterator[Any]:
        yield element


def changed(windowing: beam.Windowing, **parts: Any) -> beam.Windowing:
    """A windowing with some of its parts (trigger, accumulation mode, …) replaced."""
    kept = {
        "windowfn": windowing.windowfn,
        "triggerfn": windowing.triggerfn,
        "accumulation_mode": windowing.accumulation_mode,
        "timestamp_combiner": windowing.timestamp_combiner,
        "allowed_lateness": windowing.allowed_lateness,
    }
    return beam.Windowing(**{**kept, **parts})
