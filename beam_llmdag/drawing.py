"""Pictures of a graph: levels, the critical path, Mermaid, Graphviz, JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from beam_llmdag.dimension import ABSENT, Dimension, Function, Regroup, Step
from beam_llmdag.validation import item_spaces, step_needs

__all__ = ["critical_path", "levels", "to_dot", "to_json", "to_mermaid"]


def levels(steps: Mapping[str, Step]) -> list[list[str]]:
    """Names of steps that can run at the same time, level by level, in order of declaration."""
    depth: dict[str, int] = {}

    def depth_of(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((depth_of(needed) for needed in step_needs(steps[name])), default=-1)
        return depth[name]

    found: dict[int, list[str]] = {}
    for name in steps:
        found.setdefault(depth_of(name), []).append(name)
    return [found[level] for level in sorted(found)]


def critical_path(steps: Mapping[str, Step]) -> list[str]:
    """The longest chain of dimensions, each needing the one before it."""
    longest: dict[str, list[str]] = {}

    def path_to(name: str) -> list[str]:
        if name not in longest:
            before = max((path_to(needed) for needed in step_needs(steps[name])), key=len, default=[])
            longest[name] = [*before, name] if isinstance(steps[name], Dimension) else before
        return longest[name]

    return max((path_to(name) for name in steps), key=len)


def to_mermaid(name: str, steps: Mapping[str, Step]) -> str:
    """A Mermaid flowchart: boxes are item dimensions, hexagons globals, cylinders regroups; dotted is mere order."""
    lines = ["---", f"title: {json.dumps(name)}", "---", "flowchart LR", "    items([items])"]
    for step in steps.values():
        opening, closing = _MERMAID_SHAPES[_kind(step)]
        lines.append(f'    {step.name}{opening}"{step.name}"{closing}')
    for start, end, dotted in _edges(steps):
        lines.append(f"    {start} {'-.->' if dotted else '-->'} {end}")
    return "\n".join(lines)


def to_dot(name: str, steps: Mapping[str, Step]) -> str:
    """The graph in Graphviz' language."""
    lines = [f"digraph {json.dumps(name)} {{", "    rankdir=LR;", "    items [shape=oval];"]
    lines += [f"    {step.name} [shape={_DOT_SHAPES[_kind(step)]}];" for step in steps.values()]
    for start, end, dotted in _edges(steps):
        lines.append(f"    {start} -> {end}{' [style=dashed]' if dotted else ''};")
    return "\n".join([*lines, "}"])


def to_json(name: str, steps: Mapping[str, Step]) -> str:
    """The graph as indented JSON."""
    spaces = item_spaces(steps)
    described = [_described(step, spaces[step.name]) for step in steps.values()]
    return json.dumps({"name": name, "steps": described}, indent=2, ensure_ascii=False)


_MERMAID_SHAPES = {"item": ("[", "]"), "global": ("{{", "}}"), "regroup": ("[(", ")]")}
_DOT_SHAPES = {"item": "box", "global": "hexagon", "regroup": "cylinder"}


def _kind(step: Step) -> str:
    return "regroup" if isinstance(step, Regroup) else step.scope


def _edges(steps: Mapping[str, Step]) -> list[tuple[str, str, bool]]:
    """(start, end, whether it is mere order) of every arrow; steps that need nothing hang on the items."""
    edges: list[tuple[str, str, bool]] = []
    for step in steps.values():
        needed = step_needs(step)
        ordered = set(step.after) if isinstance(step, Dimension) else set()
        edges += [("items", step.name, False)] if not needed else []
        edges += [(name, step.name, name in ordered) for name in needed]
    return edges


def _described(step: Step, space: str | None) -> dict[str, Any]:
    described: dict[str, Any] = {"name": step.name, "kind": _kind(step), "over": space, "needs": step_needs(step)}
    if isinstance(step, Dimension):
        model = "chosen by a function" if isinstance(step.model, Function) else [m.spec for m in step.model.chain()]
        described |= {
            "after": list(step.after),
            "per_group": step.per is not None,
            "models": model,
            "skip_if": step.skip_if is not None,
            "on_failure": step.on_failure is not ABSENT,
            "on_missing": step.on_missing,
            "output": step.output.schema or "text",
        }
    return described
