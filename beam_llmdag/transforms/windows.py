"""Whether a plan can run in the windows of its input. Wrong ones are told when the pipeline is built."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.trigger import AfterWatermark, DefaultTrigger
from apache_beam.transforms.window import GlobalWindows, NonMergingWindowFn

from beam_llmdag.errors import GraphError
from beam_llmdag.plan import ItemStage, Plan

__all__ = ["check_windows"]


def check_windows(dag_name: str, plan: Plan, elements: PCollection[Any]) -> None:
    """Checks that what waits for all rows of a window (globals, regroups, joins, the search for duplicate ids) can.

    Raises:
        GraphError: it cannot; the message names the step and the remedy.
    """
    waiting = _waiting(plan, bounded=elements.is_bounded)
    if waiting is None:
        return
    windowing = elements.windowing
    where = f"dag {dag_name!r}: {waiting} waits for all rows of a window, but"
    if not elements.is_bounded and isinstance(windowing.windowfn, GlobalWindows):
        raise GraphError(
            f"{where} the input is unbounded and has one window without an end; put beam.WindowInto(…) before"
        )
    if not _fires_once(windowing, bounded=elements.is_bounded):
        raise GraphError(
            f"{where} the input's trigger or allowed lateness lets a window fire more than once; put "
            f"beam.WindowInto(…) with the default trigger and no allowed lateness before"
        )
    sides = next((stage for stage in plan.stages if stage.sides), None)
    if sides is not None and not isinstance(windowing.windowfn, NonMergingWindowFn):
        raise GraphError(
            f"dag {dag_name!r}: {sides.name!r} needs the answer of {sides.sides[0]!r} for its own window, which Beam "
            f"cannot find in windows that merge, such as sessions; use fixed or sliding windows"
        )


def _waiting(plan: Plan, *, bounded: bool) -> str | None:
    """The first step that groups rows, in words; None if none does."""
    for stage in plan.stages:
        if not isinstance(stage, ItemStage):
            return repr(stage.name)
        if len(stage.rows) > 1:
            return f"the join before {stage.name!r}"
    if any(len(leaves) > 1 for leaves in plan.leaves.values()):
        return "the join of finished rows"
    return "the search for duplicate ids" if bounded else None


def _fires_once(windowing: beam.Windowing, *, bounded: bool) -> bool:
    trigger = windowing.triggerfn
    at_the_end = isinstance(trigger, DefaultTrigger) or (isinstance(trigger, AfterWatermark) and not trigger.early)
    return at_the_end and (bounded or windowing.allowed_lateness == 0)
