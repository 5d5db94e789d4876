"""Dags of every shape, for tests of the graph, the plan and the pictures. Nothing here calls a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from beam_llmdag.dag import Dag
from beam_llmdag.model import Model
from beam_llmdag.testing.scripted import ScriptedProvider


class Answer(BaseModel):
    text: str


class Group(BaseModel):
    name: str
    ids: list[str]


class Groups(BaseModel):
    groups: list[Group]


def new_dag(name: str = "shapes", **options: Any) -> Dag:
    """A dag without dimensions, whose model is scripted."""
    options = {"model": "scripted:small", **options}
    return Dag(name, providers={"scripted": ScriptedProvider(lambda request: "yes")}, **options)


def function_of(*parameters: str) -> Callable[..., Any]:
    """A function with these parameters."""
    function: Callable[..., Any] = eval(f"lambda {', '.join(parameters)}: 'x'")
    return function


def add(dag: Dag, name: str, *parameters: str, **options: Any) -> Any:
    """Declares a dimension whose prompt has these parameters, besides `item` or `items`."""
    subject = "items" if options.get("scope") == "global" else "item"
    return dag.dimension(function_of(subject, *parameters), name=name, **options)


def diamond() -> Dag:
    dag = new_dag("diamond")
    add(dag, "filter_spam", output=Answer)
    add(dag, "sentiment", skip_if=lambda filter_spam: filter_spam.text)
    add(dag, "topics", "filter_spam", model=Model("scripted:large", fallbacks=["scripted:small"]))
    add(dag, "summary", "sentiment", "topics", model=lambda item: "scripted:small")
    return dag


def two_barriers() -> Dag:
    dag = new_dag("two_barriers")
    add(dag, "score")
    add(dag, "mean", "score", scope="global")
    add(dag, "rank", "score", "mean")
    add(dag, "language")
    add(dag, "verdict", "rank", "mean", scope="global")
    add(dag, "comment", "language", "verdict")
    return dag


def regroup() -> Dag:
    dag = new_dag("regroup")
    add(dag, "classify")
    add(dag, "group", "classify", scope="global", output=Groups)
    by_category = dag.regroup(function_of("items", "group"), name="by_category")
    add(dag, "analyze", over=by_category)
    add(dag, "advise", "analyze")
    add(dag, "overall", "advise", scope="global")
    return dag


def regroup_of_a_regroup() -> Dag:
    dag = new_dag("regroup_of_a_regroup")
    add(dag, "group", scope="global", output=Groups)
    add(dag, "note")
    teams = dag.regroup(function_of("items", "group"), name="teams")
    add(dag, "name", over=teams)
    add(dag, "merge_teams", "name", scope="global", output=Groups)
    dag.regroup(function_of("items", "name", "merge_teams"), name="units")
    add(dag, "describe", "merge_teams", over="units")
    return dag


def per_group() -> Dag:
    dag = new_dag("per_group")
    add(dag, "classify")
    add(dag, "detail")
    add(dag, "digest", "detail", scope="global", per=lambda classify: classify)
    add(dag, "compare", "digest")
    add(dag, "front_page", "digest", scope="global")
    return dag


def after_only() -> Dag:
    dag = new_dag("after_only")
    first = add(dag, "first")
    add(dag, "census", scope="global")
    add(dag, "second", after=[first])
    add(dag, "third", after=["second", "census"])
    return dag


def only_globals() -> Dag:
    dag = new_dag("only_globals")
    add(dag, "outline", scope="global")
    add(dag, "critique", "outline", scope="global")
    dag.dimension(function_of("outline", "critique"), name="final", scope="global")
    return dag


def computed() -> Dag:
    dag = new_dag("computed")
    add(dag, "short")
    add(dag, "long", skip_if=lambda short: short, samples=3, vote="majority")
    dag.compute(function_of("short", "long"), name="either", on_missing="run")
    dag.compute(function_of("items", "either"), name="count", scope="global", output=int)
    add(dag, "verdict", "either", "count", samples=2)
    return dag


SHAPES: dict[str, Callable[[], Dag]] = {
    shape.__name__: shape
    for shape in (diamond, two_barriers, regroup, regroup_of_a_regroup, per_group, after_only, only_globals, computed)
}
