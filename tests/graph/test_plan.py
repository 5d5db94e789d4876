"""Plans as a reviewer reads them: `tests/golden/plans/<shape>.txt`."""

from typing import Any

import pytest
from helpers import places
from helpers.graphs import SHAPES, add, new_dag, per_group

from beam_llmdag.dag import Dag
from beam_llmdag.graph.plan import GlobalStage, ItemStage, PlanKind, RegroupStage, make_plan
from beam_llmdag.graph.rules import item_spaces
from beam_llmdag.testing.scripted import ScriptedProvider

GOLDEN = places.GOLDEN / "plans"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_plan_reads_as_agreed(shape: str) -> None:
    dag = SHAPES[shape]()
    text = f"{dag.explain('staged')}\n\n{dag.explain('pipelined')}\n"
    assert text == (GOLDEN / f"{shape}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["staged", "pipelined"])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_stage_finds_what_it_needs_in_the_stages_before_it(shape: str, kind: PlanKind) -> None:
    dag = SHAPES[shape]()
    answered: dict[str, set[str]] = {}  # item stage -> dimensions that its rows have answers of
    barriers: set[str] = set()
    for stage in make_plan(dag.steps, kind).stages:
        in_rows = {name for rows in stage.rows for name in answered[rows]}
        assert set(stage.sides) <= barriers
        assert stage.space is None or stage.space in barriers
        names = stage.dimensions if isinstance(stage, ItemStage) else (stage.name,)
        for name in names:
            assert set(dag.needs(name)) <= in_rows | barriers | {stage.space}
            in_rows |= {name} if isinstance(stage, ItemStage) else set()
        if isinstance(stage, ItemStage):
            answered[stage.name] = in_rows
        else:
            barriers.add(stage.name)


@pytest.mark.parametrize("kind", ["staged", "pipelined"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_step_is_in_one_stage_and_every_answer_in_the_leaves(shape: str, kind: PlanKind) -> None:
    dag = SHAPES[shape]()
    plan = make_plan(dag.steps, kind)
    planned = [n for s in plan.stages for n in (s.dimensions if isinstance(s, ItemStage) else (s.name,))]
    assert sorted(planned) == sorted(dag.steps)
    rows = {stage.name: stage for stage in plan.stages if isinstance(stage, ItemStage)}

    def reached(names: tuple[str, ...]) -> set[str]:
        return {d for n in names for d in (*rows[n].dimensions, *reached(rows[n].rows))}

    spaces = item_spaces(dag.steps)
    for space, leaves in plan.leaves.items():
        expected = {n for n, d in dag.dimensions.items() if d.scope == "item" and spaces[n] == space}
        assert reached(leaves) == expected


def test_a_row_brings_along_what_tells_its_group() -> None:
    plan = make_plan(per_group().steps, "staged")
    compare = next(stage for stage in plan.stages if stage.name == "compare")
    assert compare == ItemStage(
        name="compare", space=None, dimensions=("compare",), rows=("classify",), sides=("digest",)
    )


def test_the_kinds_of_stages_are_those_of_the_steps() -> None:
    stages = make_plan(SHAPES["regroup"]().steps, "pipelined").stages
    assert [type(stage) for stage in stages] == [ItemStage, GlobalStage, RegroupStage, ItemStage, GlobalStage]


def test_a_row_is_not_joined_with_an_earlier_self() -> None:
    dag = new_dag()
    add(dag, "a")
    add(dag, "b", "a")
    add(dag, "c", "a", "b")
    stages = make_plan(dag.steps, "staged").stages
    assert [stage.rows for stage in stages] == [(), ("a",), ("b",)]


def test_a_chain_of_a_thousand_is_planned() -> None:
    dag = new_dag()
    for number in range(1000):
        add(dag, f"d{number}", *([f"d{number - 1}"] if number else []))
    assert len(make_plan(dag.steps, "staged").stages) == 1000
    assert len(make_plan(dag.steps, "pipelined").stages) == 1


def test_an_item_hears_of_its_own_group_without_needing_what_the_groups_are_made_of(run: Any) -> None:
    echo = ScriptedProvider(lambda request: request.messages[-1].content)
    dag = Dag("groups", model="scripted:x", providers={"scripted": echo})
    dag.dimension(lambda item: item.content, name="classify")
    dag.dimension(
        lambda items: " ".join(item.id for item in items),
        name="digest",
        scope="global",
        per=lambda classify: classify,
    )
    dag.dimension(lambda item, digest: f"{item.id} is one of {digest}", name="compare")
    items = [{"id": "1", "content": "a"}, {"id": "2", "content": "b"}, {"id": "3", "content": "a"}]
    assert run.everywhere(dag, items).data("compare") == {
        "1": "1 is one of 1 3",
        "2": "2 is one of 2",
        "3": "3 is one of 1 3",
    }


def test_what_comes_after_a_regroup_waits_for_it_and_runs(run: Any) -> None:
    dag = new_dag()
    add(dag, "group", scope="global")
    dag.regroup(lambda items, group: {"all": [item.id for item in items]}, name="made")
    add(dag, "last", after=["made"])
    assert run.everywhere(dag, [{"id": "1", "content": "a"}]).data("last") == {"1": "yes"}
