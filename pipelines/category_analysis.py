"""Reviews by category: name one for each review, merge the names into groups, analyse each group.

    python -m pipelines.category_analysis --input examples/categories_10.jsonl --output output --model simulated

    items ──► classify ──► group (one answer over all) ──► by_category (N reviews → M groups) ──► analyze

The rows of the reviews, those of the groups, the merged grouping, failures and costs become Parquet files.
"""

from __future__ import annotations

from collections.abc import Sequence

from apache_beam.runners.runner import PipelineResult
from pydantic import BaseModel, Field

from beam_llmdag.dag import Dag
from beam_llmdag.records.item import Item
from pipelines.ending import analyse, run_as_program
from pipelines.models import Models, chosen_models
from pipelines.options import parse_settings

__all__ = ["Category", "Group", "Groups", "Insight", "category_dag", "main", "run"]


class Category(BaseModel):
    """The kind of product that a review is about."""

    category: str = Field(description="One to three words.")


class Group(BaseModel):
    """Reviews of one kind of product."""

    name: str = Field(description="One to three words.")
    ids: list[str] = Field(description="Ids of the reviews, as they were given.")


class Groups(BaseModel):
    """All reviews, each in one group."""

    groups: list[Group]


class Insight(BaseModel):
    """What customers say about one kind of product."""

    strengths: list[str] = Field(max_length=5)
    weaknesses: list[str] = Field(max_length=5)
    advice: str = Field(description="One or two sentences.")


def classify(item: Item) -> str:
    """Asks for the kind of product."""
    return (
        f"<review>\n{item.content}\n</review>\n\n"
        "Which one category of a shop does the reviewed product belong to? Answer in one to three English words."
    )


def group(items: list[Item], classify: list[Category]) -> str:
    """Asks to merge the categories of all reviews into groups."""
    labels = "\n".join(f"{item.id}: {answer.category}" for item, answer in zip(items, classify, strict=True))
    return (
        "Merge these labels into a few groups of products that a shop would put on one shelf. "
        "Put every id into exactly one group. One label stands on each line, behind its id.\n\n"
        f"{labels}"
    )


def by_category(group: Groups) -> dict[str, list[str]]:
    """Makes one item of each group: its name -> the ids of its reviews. Groups of one name are one."""
    ids: dict[str, list[str]] = {}
    for answer in group.groups:
        ids.setdefault(answer.name, []).extend(answer.ids)
    return ids


def analyze(item: Item) -> str:
    """Asks what the reviews of a group say together."""
    return (
        f"<reviews>\n{item.content}\n</reviews>\n\n"
        f"What do customers say about these products ({item.id})? Name up to five strengths and up to five weaknesses "
        "that the reviews mention, and give the shop one piece of advice."
    )


def category_dag(models: Models) -> Dag:
    """The graph, to be answered by `models`."""
    dag = Dag("categories", model=models.main, providers=models.providers)
    dag.dimension(classify, output=Category, model=models.first)
    dag.dimension(group, output=Groups, scope="global")
    groups = dag.regroup(by_category)
    dag.dimension(analyze, output=Insight, over=groups)
    return dag


def run(argv: Sequence[str] | None = None) -> PipelineResult:
    """Runs the pipeline with the options in `argv` (by default the command line's) and waits for its end."""
    settings, options = parse_settings(argv, "Group reviews by category and analyse each group.")
    with chosen_models(settings) as models:
        return analyse(category_dag(models), models, settings, options)


def main() -> None:
    """Runs the pipeline from the command line."""
    run_as_program(run)


if __name__ == "__main__":
    main()
