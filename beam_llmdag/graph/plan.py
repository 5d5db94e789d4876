"""Dag → stages: the only description of the steps that the Beam layer knows. Pure functions, no Beam.

A *barrier* is a global or a regroup: it waits for all rows. Between barriers, item dimensions run row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from beam_llmdag.graph.dimension import Dimension, Regroup, Step
from beam_llmdag.graph.order import in_order, step_needs
from beam_llmdag.graph.rules import item_spaces

__all__ = [
    "GlobalStage",
    "ItemStage",
    "Plan",
    "PlanKind",
    "RegroupStage",
    "Stage",
    "has_barrier",
    "head_of",
    "make_plan",
    "rows_end_in_head",
]

PlanKind = Literal["staged", "pipelined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemStage:
    """Item dimensions that one ParDo answers, each item walking through them on its own.

    Attributes:
        name: unique in the plan; other stages name their `rows` by it.
        space: regroup whose items these are; None for those that went in.
        dimensions: names, in an order in which each comes after those it needs.
        rows: names of item stages whose rows are joined on the item id; empty: the items as they came.
        sides: globals whose answers these dimensions need.
    """

    name: str
    space: str | None
    dimensions: tuple[str, ...]
    rows: tuple[str, ...]
    sides: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalStage:
    """A global dimension: gathers all rows, asks once (or once per group).

    Attributes: as those of `ItemStage`; `rows` are joined, then gathered.
    """

    name: str
    space: str | None
    rows: tuple[str, ...]
    sides: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegroupStage:
    """A regroup: gathers all rows, makes new items.

    Attributes: as those of `GlobalStage`.
    """

    name: str
    space: str | None
    rows: tuple[str, ...]
    sides: tuple[str, ...]


Stage = ItemStage | GlobalStage | RegroupStage
Unit = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The stages in an order in which each comes after those it needs.

    Attributes:
        kind: `"staged"` or `"pipelined"`.
        stages: see `Stage`.
        leaves: space -> item stages whose rows, joined, are that space's finished rows; empty: no dimension is over it.
    """

    kind: PlanKind
    stages: tuple[Stage, ...]
    leaves: Mapping[str | None, tuple[str, ...]]


def make_plan(steps: Mapping[str, Step], kind: PlanKind) -> Plan:
    """The plan of a validated dag."""
    spaces = item_spaces(steps)
    order = in_order(steps)
    units: list[Unit] = _pipelined_units(order, steps, spaces) if kind == "pipelined" else [(name,) for name in order]
    rows = _rows(units, steps, spaces)
    stages = tuple(_stage(unit, rows[unit], steps, spaces) for unit in units)
    regroups = [name for name, step in steps.items() if isinstance(step, Regroup)]
    leaves = {
        space: _leaves([s for s in stages if isinstance(s, ItemStage) and s.space == space])
        for space in (None, *regroups)
    }
    return Plan(kind=kind, stages=stages, leaves=leaves)


def head_of(plan: Plan) -> tuple[ItemStage, ...]:
    """The item stages before the first barrier, over the items that went in: they wait for no other item."""
    return tuple(s for s in plan.stages if isinstance(s, ItemStage) and s.space is None and not s.sides)


def rows_end_in_head(plan: Plan) -> bool:
    """Whether the items that went in are finished before the first barrier."""
    return set(plan.leaves[None]) <= {stage.name for stage in head_of(plan)}


def has_barrier(plan: Plan) -> bool:
    """Whether something waits for all rows."""
    return any(not isinstance(stage, ItemStage) for stage in plan.stages)


def _stage(unit: Unit, rows: tuple[str, ...], steps: Mapping[str, Step], spaces: Mapping[str, str | None]) -> Stage:
    step = steps[unit[0]]
    space = spaces[step.name]
    needed = dict.fromkeys(n for name in unit for n in step_needs(steps[name]))
    sides = tuple(name for name in needed if _is_barrier(steps[name]) and name != space)
    if isinstance(step, Regroup):
        return RegroupStage(name=step.name, space=space, rows=rows, sides=sides)
    if step.scope == "global":
        return GlobalStage(name=step.name, space=space, rows=rows, sides=sides)
    return ItemStage(name=_unit_name(unit), space=space, dimensions=unit, rows=rows, sides=sides)


def _pipelined_units(order: list[str], steps: Mapping[str, Step], spaces: Mapping[str, str | None]) -> list[Unit]:
    """Barriers alone, and item dimensions of one space that have the same number of barriers before them together."""
    depths = _barrier_depths(order, steps)
    grouped: dict[tuple[str | None, int], list[str]] = {}
    placed: list[tuple[int, int, Unit]] = []
    for position, name in enumerate(order):
        step = steps[name]
        if _is_barrier(step):
            placed.append((2 * depths[name] + 1, position, (name,)))
        else:
            grouped.setdefault((spaces[name], depths[name]), []).append(name)
    for (_, depth), names in grouped.items():
        placed.append((2 * depth, order.index(names[0]), tuple(names)))
    return [unit for _, _, unit in sorted(placed)]


def _barrier_depths(order: list[str], steps: Mapping[str, Step]) -> dict[str, int]:
    """How many barriers lie before each step. A barrier over rows of depth n has depth n, what needs it n + 1."""
    depths: dict[str, int] = {}
    for name in order:
        needed = step_needs(steps[name])
        depths[name] = max((depths[n] + (1 if _is_barrier(steps[n]) else 0) for n in needed), default=0)
    return depths


def _rows(
    units: list[Unit], steps: Mapping[str, Step], spaces: Mapping[str, str | None]
) -> dict[Unit, tuple[str, ...]]:
    """Unit -> names of the item stages whose rows it needs, without those that another of them has passed already."""
    unit_of = {name: unit for unit in units for name in unit}
    passed: dict[Unit, set[Unit]] = {}
    rows: dict[Unit, tuple[str, ...]] = {}
    for unit in units:
        space = spaces[unit[0]]
        needed = dict.fromkeys(n for name in unit for n in _row_needs(steps[name], steps) if n not in unit)
        direct = dict.fromkeys(unit_of[n] for n in needed if not _is_barrier(steps[n]) and spaces[n] == space)
        before = set().union(*(passed[found] for found in direct))
        rows[unit] = tuple(_unit_name(found) for found in direct if found not in before)
        passed[unit] = before | set(direct)
    return rows


def _row_needs(step: Step, steps: Mapping[str, Step]) -> list[str]:
    """What `step` needs, and what tells which group of a `per=` global a row belongs to."""
    needed = step_needs(step)
    globals_per_group = [s.per for name in needed if isinstance(s := steps[name], Dimension) and s.per is not None]
    if isinstance(step, Dimension) and step.scope == "item":
        needed += [name for per in globals_per_group for name in per.needs]
    return needed


def _leaves(stages: list[ItemStage]) -> tuple[str, ...]:
    used = {name for stage in stages for name in stage.rows}
    return tuple(stage.name for stage in stages if stage.name not in used)


def _is_barrier(step: Step) -> bool:
    return step.scope != "item"


def _unit_name(unit: Unit) -> str:
    return "+".join(unit)
