"""The prompts, outputs and items that all engines share, so that they make the same calls.

`reviews` has the prompts of `pipelines/review_analysis.py`, in a form that an environment without Beam can read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from benchmarks.task import Task

__all__ = [
    "EXAMPLES",
    "GRAPHS",
    "SLOW_SECONDS",
    "Step",
    "canned_answer",
    "ideal_seconds",
    "is_complete",
    "items_of",
    "levels",
]

EXAMPLES = Path(__file__).parent.parent / "examples"
SLOW_SECONDS = 3.0
_SLOW_EVERY = 17  # of 200 items with 3 calls each, 12 have a slow one: 2 %
_DUPLICATED = (7, 8, 9)  # of every ten items: the same as those seven before


class Mood(BaseModel):
    """How a customer feels."""

    label: Literal["positive", "negative", "neutral"]


class Topics(BaseModel):
    """What a review is about."""

    topics: list[str]


class Summary(BaseModel):
    """A review in one sentence."""

    summary: str


class Kind(BaseModel):
    """Whether a text is a review at all."""

    kind: Literal["review", "spam"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One dimension.

    Attributes:
        name: of the dimension.
        needs: steps whose answers the prompt uses.
        template: the prompt, for `str.format`; begins with words that no other step of the graph has.
        output: what the answer must fit.
        answer: what the simulated model says.
        skipped_for: step, field and value for which this one is left out, with all that needs it.
    """

    name: str
    needs: tuple[str, ...] = ()
    template: str
    output: type[BaseModel]
    answer: Mapping[str, Any]
    skipped_for: tuple[str, str, str] | None = None

    def prompt(self, content: str, answers: Mapping[str, Any]) -> str:
        """The prompt about an item, given the answers of the steps before as plain data."""
        return self.template.format(content=content, **{name: answers[name] for name in self.needs})

    def is_skipped(self, answers: Mapping[str, Any]) -> bool:
        """Whether it is left out for an item, given the answers of the steps before."""
        if any(name not in answers for name in self.needs):
            return True
        if self.skipped_for is None:
            return False
        step, field, value = self.skipped_for
        return bool(answers[step][field] == value)


_MOOD = Step(
    name="sentiment",
    template="Rate the mood of this review: positive, negative or neutral?\n\n{content}",
    output=Mood,
    answer={"label": "positive"},
)
_SPAM = ("filter_spam", "kind", "spam")
_REVIEW = "<review>\n{content}\n</review>\n\n"

GRAPHS: Mapping[str, tuple[Step, ...]] = {
    "single": (_MOOD,),
    "branches": (
        _MOOD,
        Step(
            name="topics",
            template="List the topics of this review.\n\n{content}",
            output=Topics,
            answer={"topics": ["speed", "noise", "ease of cleaning"]},
        ),
        Step(
            name="summary",
            needs=("sentiment", "topics"),
            template="Sum up this {sentiment[label]} review about {topics[topics]} in one sentence.\n\n{content}",
            output=Summary,
            answer={"summary": "Quick and quiet, easy to clean, and still free of limescale after six months."},
        ),
    ),
    "chain": (
        _MOOD,
        Step(
            name="topics",
            needs=("sentiment",),
            template="List the topics of this {sentiment[label]} review.\n\n{content}",
            output=Topics,
            answer={"topics": ["speed", "noise", "ease of cleaning"]},
        ),
        Step(
            name="summary",
            needs=("topics",),
            template="Sum up this review about {topics[topics]} in one sentence.\n\n{content}",
            output=Summary,
            answer={"summary": "Quick and quiet, easy to clean, and still free of limescale after six months."},
        ),
    ),
    "reviews": (
        Step(
            name="filter_spam",
            template="{content}\n\nIs this product review spam or a review? spam: an advertisement or a link. "
            "review: a customer tells about a product.",
            output=Kind,
            answer={"kind": "review"},
        ),
        Step(
            name="sentiment",
            needs=("filter_spam",),
            template=_REVIEW + "What is the sentiment? positive: the customer is happy with the product. "
            "negative: the customer is unhappy with it. neutral: neither, or both in equal parts.",
            output=Mood,
            answer={"label": "positive"},
            skipped_for=_SPAM,
        ),
        Step(
            name="topics",
            needs=("filter_spam",),
            template=_REVIEW + "Which topics does the review speak about? Name one to five, in English.",
            output=Topics,
            answer={"topics": ["speed"]},
            skipped_for=_SPAM,
        ),
        Step(
            name="summary",
            needs=("sentiment", "topics"),
            template=_REVIEW + "Summarise this review in one English sentence. Its sentiment is {sentiment[label]}; "
            "it speaks about {topics[topics]}.",
            output=Summary,
            answer={"summary": "Good."},
        ),
    ),
}
_TOLD = {
    step.template.split("{")[0][:20]: (f"(slow: {step.name})", json.dumps(step.answer))
    for graph in ("branches", "chain")
    for step in GRAPHS[graph]
}
"""How a prompt begins -> what makes it slow, and the answer."""


def is_complete(steps: Sequence[Step], answers: Mapping[str, Any]) -> bool:
    """Whether every step has an answer or was left out for what another one said."""
    left_out: set[str] = set()
    for step in steps:
        if step.name in answers:
            continue
        gate = step.skipped_for
        says_so = gate is not None and gate[0] in answers and answers[gate[0]][gate[1]] == gate[2]
        if not says_so and left_out.isdisjoint(step.needs):
            return False
        left_out.add(step.name)
    return True


def levels(graph: str) -> list[list[Step]]:
    """The steps of a graph in groups of which each needs only those before."""
    known: set[str] = set()
    left = list(GRAPHS[graph])
    found: list[list[Step]] = []
    while left:
        level = [step for step in left if known.issuperset(step.needs)]
        found.append(level)
        known.update(step.name for step in level)
        left = [step for step in left if step not in level]
    return found


def items_of(task: Task) -> Iterator[tuple[str, str]]:
    """Id and content of the items of a task."""
    if task.graph in ("reviews", "categories"):
        name = "reviews_20" if task.graph == "reviews" else "categories_10"
        for line in (EXAMPLES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[: task.items]:
            item = json.loads(line)
            yield item["id"], item["content"]
        return
    names = [step.name for step in GRAPHS[task.graph]]
    for number in range(task.items):
        shown = number - 7 if task.contents == "duplicates" and number % 10 in _DUPLICATED else number
        content = (
            f"Kettle {shown}: boils a full litre in just under three minutes and is quieter than the old one. "
            "The lid opens wide enough to clean it properly. No limescale after six months."
        )
        if task.contents == "slow" and number % _SLOW_EVERY == 5:
            content += f" (slow: {names[number // _SLOW_EVERY % len(names)]})"
        yield f"k{number:06d}", content


def canned_answer(prompt: str) -> tuple[str, bool]:
    """What the simulated model says to a prompt of these graphs, and whether it takes `SLOW_SECONDS`.

    Raises:
        KeyError: it is none of them.
    """
    for beginning, (slow, answer) in _TOLD.items():
        if beginning in prompt:
            return answer, slow in prompt
    raise KeyError(f"no step asks {prompt[:100]!r}")


def ideal_seconds(task: Task, calls: int, rate: int | None = None, burst_seconds: int = 0) -> float:
    """The longest of the critical path of an item, all the calls over those in flight, and what a rate limit asks for.

    Args:
        task: whose calls they are.
        calls: how many.
        rate: most calls per second; None for no limit.
        burst_seconds: how many seconds' worth of that may come at once.
    """
    steps = 3 if task.graph == "categories" else len(levels(task.graph))
    path, work = steps * task.latency_seconds, calls * task.latency_seconds
    if task.contents == "slow":
        slow = len(range(5, task.items, _SLOW_EVERY))
        more = SLOW_SECONDS - task.latency_seconds
        path, work = path + (more if slow else 0), work + slow * more
    limited = 0.0 if rate is None else calls / rate - burst_seconds + task.latency_seconds
    return max(path, work / task.in_flight, limited)
