"""Pictures of a graph: levels, the critical path, Mermaid, Graphviz, JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from beam_llmdag.graph.dimension import ABSENT, Dimension, Step
from beam_llmdag.graph.order import in_order, step_needs
from beam_llmdag.graph.rules import item_spaces

__all__ = ["critical_path", "levels", "to_dot", "to_json", "to_mermaid"]


def levels(steps: Mapping[str, Step]) -> list[list[str]]:
    """Names of steps that can run at the same time, level by level, in order of declaration."""
    depth: dict[str, int] = {}
    for name in in_order(steps):
        depth[name] = 1 + max((depth[needed] for needed in step_needs(steps[name])), default=-1)
    found: dict[int, list[str]] = {}
    for name in steps:
        found.setdefault(depth[name], []).append(name)
    return [found[level] for level in sorted(found)]


def critical_path(steps: Mapping[str, Step]) -> list[str]:
    """The longest chain of dimensions, each needing the one before it; the first declared of equally long ones."""
    length: dict[str, int] = {}
    before: dict[str, str | None] = {}
    for name in in_order(steps):
        last = before[name] = max(step_needs(steps[name]), key=length.__getitem__, default=None)
        length[name] = (0 if last is None else length[last]) + _makes_calls(steps[name])
    chain: list[str] = []
    end: str | None = max(steps, key=length.__getitem__)
    while end is not None:
        chain.append(end)
        end = before[end]
    return [name for name in reversed(chain) if _makes_calls(steps[name])]


def to_mermaid(name: str, steps: Mapping[str, Step]) -> str:
    """A Mermaid flowchart. Dotted is mere order.

    Boxes are item dimensions, hexagons globals, cylinders regroups, parallelograms computed steps.
    """
    ids = {"items": "items"} | {step: _mermaid_id(step, steps) for step in steps}
    lines = ["---", f"title: {json.dumps(name)}", "---", "flowchart LR", "    items([items])"]
    for step in steps.values():
        opening, closing = _MERMAID_SHAPES[_kind(step)]
        lines.append(f'    {ids[step.name]}{opening}"{step.name}"{closing}')
    for start, end, dotted in _edges(steps):
        lines.append(f"    {ids[start]} {'-.->' if dotted else '-->'} {ids[end]}")
    return "\n".join(lines)


def to_dot(name: str, steps: Mapping[str, Step]) -> str:
    """The graph in Graphviz' language, with the shapes of `to_mermaid`."""
    lines = [f"digraph {_dot_id(name)} {{", "    rankdir=LR;", "    items [shape=oval];"]
    lines += [f"    {_dot_id(step.name)} [shape={_DOT_SHAPES[_kind(step)]}];" for step in steps.values()]
    for start, end, dotted in _edges(steps):
        lines.append(f"    {_dot_id(start)} -> {_dot_id(end)}{' [style=dashed]' if dotted else ''};")
    return "\n".join([*lines, "}"])


def to_json(name: str, steps: Mapping[str, Step]) -> str:
    """The graph as indented JSON."""
    spaces = item_spaces(steps)
    described = [_described(step, spaces[step.name]) for step in steps.values()]
    return json.dumps({"name": name, "steps": described}, indent=2, ensure_ascii=False)


_MERMAID_SHAPES = {"item": ("[", "]"), "global": ("{{", "}}"), "regroup": ("[(", ")]"), "computed": ("[/", "/]")}
_DOT_SHAPES = {"item": "box", "global": "hexagon", "regroup": "cylinder", "computed": "parallelogram"}
_MERMAID_WORDS = frozenset(
    (
        "call",
        "class",
        "classdef",
        "click",
        "default",
        "end",
        "flowchart",
        "graph",
        "href",
        "linkstyle",
        "style",
        "subgraph",
    )
)
_DOT_WORDS = frozenset({"digraph", "edge", "graph", "node", "strict", "subgraph"})


def _makes_calls(step: Step) -> bool:
    return isinstance(step, Dimension) and not step.is_computed


def _kind(step: Step) -> str:
    return "computed" if isinstance(step, Dimension) and step.is_computed else step.scope


def _mermaid_id(name: str, steps: Mapping[str, Step]) -> str:
    """`name`, or a name that no step has where Mermaid would read a word of its own."""
    if name.lower() in _MERMAID_WORDS:
        while name in steps:
            name += "_"
    return name


def _dot_id(name: str) -> str:
    """`name`, quoted where Graphviz would not read it as a name."""
    if name.isascii() and name.isidentifier() and name.lower() not in _DOT_WORDS:
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _edges(steps: Mapping[str, Step]) -> list[tuple[str, str, bool]]:
    """(start, end, whether it is mere order) of every arrow; steps that need nothing hang on the items."""
    edges: list[tuple[str, str, bool]] = []
    for step in steps.values():
        needed = step_needs(step)
        edges += [("items", step.name, False)] if not needed else []
        edges += [(name, step.name, _is_mere_order(step, name)) for name in needed]
    return edges


def _is_mere_order(step: Step, needed: str) -> bool:
    if not isinstance(step, Dimension) or needed == step.over:
        return False
    return all(needed not in function.needs for function in step.functions)


def _described(step: Step, space: str | None) -> dict[str, Any]:
    described: dict[str, Any] = {"name": step.name, "kind": step.scope, "over": space, "needs": step_needs(step)}
    if isinstance(step, Dimension):
        models = "chosen by a function" if step.models is None else [model.spec for model in step.models]
        described |= {
            "after": list(step.after),
            "per_group": step.per is not None,
            "computed": step.is_computed,
            "models": models,
            "samples": step.samples,
            "skip_if": step.skip_if is not None,
            "on_failure": step.on_failure is not ABSENT,
            "on_missing": step.on_missing,
            "output": step.output.schema or "text",
        }
    return described
