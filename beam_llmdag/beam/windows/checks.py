"""Whether a plan can run in the windows of its input. Wrong ones are told when the pipeline is built."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import TypeOptions
from apache_beam.pvalue import PCollection
from apache_beam.transforms.trigger import AccumulationMode, AfterWatermark, DataLossReason, DefaultTrigger
from apache_beam.transforms.window import GlobalWindows, NonMergingWindowFn

from beam_llmdag.errors import GraphError
from beam_llmdag.graph.plan import ItemStage, Plan, has_barrier

__all__ = ["check_windows", "fires_once"]


def check_windows(dag_name: str, plan: Plan, elements: PCollection[Any]) -> None:
    """Checks that what waits for rows (globals, regroups, joins, the search for duplicate ids) hears of their end.

    Raises:
        GraphError: it cannot; the message names the step and the remedy.
    """
    waiting = _waiting(plan, bounded=elements.is_bounded)
    if waiting is None:
        return
    if not elements.is_bounded and plan.kind == "pipelined":
        if has_barrier(plan):
            _check_panes(f"dag {dag_name!r}: {waiting}", elements)
        return
    windowing = elements.windowing
    where = f"dag {dag_name!r}: {waiting} waits for all rows of a window, but"
    streamed = "" if elements.is_bounded else ", or use plan='pipelined'"
    if not elements.is_bounded and isinstance(windowing.windowfn, GlobalWindows):
        raise GraphError(
            f"{where} the input is unbounded and has one window without an end; put beam.WindowInto(…) before{streamed}"
        )
    if not fires_once(windowing, bounded=elements.is_bounded):
        raise GraphError(
            f"{where} the input's trigger or allowed lateness lets a window fire more than once; put "
            f"beam.WindowInto(…) with the default trigger and no allowed lateness before{streamed}"
        )
    sides = next((stage for stage in plan.stages if stage.sides), None)
    if sides is not None and not isinstance(windowing.windowfn, NonMergingWindowFn):
        raise GraphError(
            f"dag {dag_name!r}: {sides.name!r} needs the answer of {sides.sides[0]!r} for its own window, which Beam "
            f"cannot find in windows that merge, such as sessions; use fixed or sliding windows{streamed}"
        )


def fires_once(windowing: beam.Windowing, *, bounded: bool) -> bool:
    """Whether each window has one pane, at its end."""
    return _at_the_end(windowing) and (bounded or windowing.allowed_lateness == 0)


def _check_panes(waiting: str, elements: PCollection[Any]) -> None:
    """Checks that rows can be gathered by window and pane.

    Raises:
        GraphError: they cannot.
    """
    windowing = elements.windowing
    endless = isinstance(windowing.windowfn, GlobalWindows)
    if endless and _at_the_end(windowing):
        raise GraphError(
            f"{waiting} waits for all rows of a window, but the input is unbounded and has one window without an end; "
            f"put beam.WindowInto(…) before, with windows that end or a trigger such as Repeatedly(AfterCount(100))"
        )
    loss = windowing.triggerfn.may_lose_data(windowing)
    if loss != DataLossReason.NO_POTENTIAL_LOSS and not _allows_loss(elements):
        raise GraphError(
            f"{waiting} would never see some rows: the input's trigger {windowing.triggerfn} may end before its window "
            f"({loss.name}); put Repeatedly(…) around it, or give AfterWatermark a late trigger"
        )
    if windowing.accumulation_mode != AccumulationMode.ACCUMULATING or fires_once(windowing, bounded=False):
        return
    if endless or not isinstance(windowing.windowfn, NonMergingWindowFn):
        why = (
            "a window without an end would keep them for ever" if endless else "Beam cannot merge them when windows do"
        )
        raise GraphError(
            f"{waiting} would see all rows of its window so far (accumulation mode ACCUMULATING), but {why}; use "
            f"AccumulationMode.DISCARDING, or fixed or sliding windows"
        )


def _allows_loss(elements: PCollection[Any]) -> bool:
    """Whether the pipeline was started with Beam's own option for it."""
    return bool(elements.pipeline.options.view_as(TypeOptions).allow_unsafe_triggers)


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


def _at_the_end(windowing: beam.Windowing) -> bool:
    """Whether nothing fires before a window's end, but for late rows."""
    trigger = windowing.triggerfn
    return isinstance(trigger, DefaultTrigger) or (isinstance(trigger, AfterWatermark) and not trigger.early)
