"""A plan in words."""

from __future__ import annotations

from collections.abc import Mapping

from beam_llmdag.graph.dimension import Dimension, Step
from beam_llmdag.graph.plan import GlobalStage, ItemStage, PlanKind, Stage, make_plan
from beam_llmdag.providers.base import ProviderFactory, asked_schema

__all__ = ["explain"]


def explain(name: str, steps: Mapping[str, Step], kind: PlanKind, providers: Mapping[str, ProviderFactory]) -> str:
    """The stages of a plan, their models, and what a model's API cannot express of an output, line by line."""
    plan = make_plan(steps, kind)
    lines = [f"dag {name!r}, {kind} plan"]
    for number, stage in enumerate(plan.stages, start=1):
        lines.append(f"{number}. {_told(stage, steps)}")
        names = stage.dimensions if isinstance(stage, ItemStage) else (stage.name,)
        for step in (steps[n] for n in names):
            if isinstance(step, Dimension):
                lines += [f"   {line}" for line in _dimension_lines(step, providers)]
    return "\n".join(lines)


def _told(stage: Stage, steps: Mapping[str, Step]) -> str:
    items = f"items of {stage.space}" if stage.space else "the items"
    rows = f"rows of {', '.join(stage.rows)}" if stage.rows else items
    joined = "joined " if len(stage.rows) > 1 else ""
    sides = f", with the answer of {', '.join(stage.sides)}" if stage.sides else ""
    if isinstance(stage, ItemStage):
        return f"per item: {', '.join(stage.dimensions)} — over {joined}{rows}{sides}"
    if isinstance(stage, GlobalStage):
        step = steps[stage.name]
        kind = "per group" if isinstance(step, Dimension) and step.per is not None else "global"
        return f"{kind}: {stage.name} — gathers {joined}{rows}{sides}"
    return f"regroup: {stage.name} — gathers {joined}{rows}{sides}"


def _dimension_lines(dimension: Dimension, providers: Mapping[str, ProviderFactory]) -> list[str]:
    if dimension.is_computed:
        return [f"{dimension.name}: computed, without a call"]
    samples = f"; {dimension.samples} samples" if dimension.samples > 1 else ""
    if dimension.models is None:
        return [f"{dimension.name}: a function picks the model per item{samples}"]
    lines = [f"{dimension.name}: {', then '.join(model.spec for model in dimension.models)}{samples}"]
    for model in dimension.models:
        wire = asked_schema(dimension.asked.schema, model, providers)
        lines += [f"  {model.spec}: {note}" for note in wire.notes] if wire is not None else []
    return lines
