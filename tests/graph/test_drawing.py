"""Pictures of a graph; the plans' pictures are golden texts, `tests/golden/plans/<shape>.{mmd,dot,json}`."""

import json
import time

import pytest
from helpers import places
from helpers.graphs import SHAPES, add, diamond, new_dag, regroup, two_barriers

from beam_llmdag.dag import Dag

GOLDEN = places.GOLDEN / "plans"


@pytest.mark.parametrize("shape", ["diamond", "regroup", "per_group", "after_only", "computed"])
def test_a_picture_is_as_agreed(shape: str) -> None:
    dag = SHAPES[shape]()
    assert dag.to_mermaid() + "\n" == (GOLDEN / f"{shape}.mmd").read_text(encoding="utf-8")
    assert dag.to_dot() + "\n" == (GOLDEN / f"{shape}.dot").read_text(encoding="utf-8")
    assert dag.to_json() + "\n" == (GOLDEN / f"{shape}.json").read_text(encoding="utf-8")


def test_a_computed_step_is_a_level_and_no_part_of_the_critical_path() -> None:
    dag = SHAPES["computed"]()
    assert dag.levels() == [["short"], ["long"], ["either"], ["count"], ["verdict"]]
    assert dag.critical_path() == ["short", "long", "verdict"]


def test_levels_are_what_can_run_together() -> None:
    assert diamond().levels() == [["filter_spam"], ["sentiment", "topics"], ["summary"]]
    assert two_barriers().levels() == [["score", "language"], ["mean"], ["rank"], ["verdict"], ["comment"]]


def test_a_regroup_is_a_level_and_no_part_of_the_critical_path() -> None:
    dag = regroup()
    assert dag.levels() == [["classify"], ["group"], ["by_category"], ["analyze"], ["advise"], ["overall"]]
    assert dag.critical_path() == ["classify", "group", "analyze", "advise", "overall"]


def test_the_critical_path_is_the_longest_chain() -> None:
    assert two_barriers().critical_path() == ["score", "mean", "rank", "verdict", "comment"]


def test_of_equally_long_chains_the_first_declared_is_taken() -> None:
    assert diamond().critical_path() == ["filter_spam", "sentiment", "summary"]


def test_order_of_declaration_does_not_matter() -> None:
    dag = new_dag()
    add(dag, "b", "a")
    add(dag, "a")
    assert dag.levels() == [["a"], ["b"]]
    assert dag.critical_path() == ["a", "b"]


def test_a_need_that_is_both_data_and_order_is_drawn_as_data() -> None:
    dag = new_dag()
    add(dag, "a")
    add(dag, "b", "a", after=["a"])
    assert "    a --> b" in dag.to_mermaid().splitlines()
    assert "    a -> b;" in dag.to_dot().splitlines()


def test_names_that_are_words_of_a_drawing_language_are_drawn() -> None:
    dag = new_dag('a "quoted" name')
    add(dag, "end")
    add(dag, "end_", "end")
    add(dag, "node", "end_")
    assert dag.to_mermaid().splitlines() == [
        "---",
        'title: "a \\"quoted\\" name"',
        "---",
        "flowchart LR",
        "    items([items])",
        '    end__["end"]',
        '    end_["end_"]',
        '    node["node"]',
        "    items --> end__",
        "    end__ --> end_",
        "    end_ --> node",
    ]
    assert dag.to_dot().splitlines() == [
        'digraph "a \\"quoted\\" name" {',
        "    rankdir=LR;",
        "    items [shape=oval];",
        "    end [shape=box];",
        "    end_ [shape=box];",
        '    "node" [shape=box];',
        "    items -> end;",
        "    end -> end_;",
        '    end_ -> "node";',
        "}",
    ]


def chain(length: int) -> Dag:
    dag = new_dag()
    for number in reversed(range(length)):  # declared from the end, which is the deepest way to walk it
        add(dag, f"d{number}", *([f"d{number - 1}"] if number else []))
    return dag


def test_a_chain_of_two_thousand_needs_no_stack() -> None:
    dag = chain(2000)
    assert dag.critical_path() == [f"d{number}" for number in range(2000)]
    assert dag.levels() == [[f"d{number}"] for number in range(2000)]
    assert len(json.loads(dag.to_json())["steps"]) == 2000


def test_a_ladder_of_diamonds_takes_no_exponential_time() -> None:
    dag = new_dag()
    add(dag, "top0")
    for number in range(1, 60):
        before = f"top{number - 1}"
        add(dag, f"left{number}", before)
        add(dag, f"right{number}", before)
        add(dag, f"top{number}", f"left{number}", f"right{number}")
    started = time.process_time()
    assert len(dag.critical_path()) == 119
    assert len(dag.levels()) == 119
    dag.explain("staged")
    dag.explain("pipelined")
    assert time.process_time() - started < 5


def test_a_wide_graph_has_two_levels() -> None:
    dag = new_dag()
    names = [f"d{number}" for number in range(500)]
    for name in names:
        add(dag, name)
    add(dag, "all_of_them", *names[:250])
    assert dag.levels() == [names, ["all_of_them"]]
