"""`Watch`: who hangs on it hears of each question, each try and each result, in order."""

from __future__ import annotations

import asyncio

from helpers.calls import failed, make_caller
from helpers.dags import make_dag, row

from beam_llmdag import Attempt, Item, Result, Row
from beam_llmdag.run.evaluate_global import evaluate_global
from beam_llmdag.run.walk import Route, walk


class Diary:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def asked(self, dimension: str, subject: str) -> None:
        self.lines.append(f"{dimension} of {subject} asked")

    def attempted(self, dimension: str, subject: str, attempt: Attempt) -> None:
        self.lines.append(f"{dimension} of {subject} attempted: {attempt.error_class or 'good'}")

    def answered(self, result: Result) -> None:
        self.lines.append(f"{result.dimension} of {result.item_id} answered: {result.status}")


def test_a_watch_hears_of_questions_tries_and_results_as_they_happen():
    dag, _ = make_dag([failed("overloaded"), "fine", "all fine"])

    @dag.dimension()
    def mood(item: Item) -> str:
        return "Mood?"

    @dag.compute()
    def size(mood: str) -> int:
        return len(mood)

    @dag.dimension(skip_if=lambda mood: True)
    def reply(mood: str) -> str:
        return "Reply!"

    @dag.dimension(scope="global")
    def report(mood: list[str]) -> str:
        return "Report."

    diary = Diary()

    async def run() -> None:
        caller = make_caller(dag.providers, watch=diary)
        steps = [step for step in dag.dimensions.values() if step.scope == "item"]
        done = await walk(Row(item=Item("1", "x")), Route(steps, dag), {}, caller)
        await evaluate_global(dag.dimensions["report"], [done, row("2", mood="well")], {}, dag, caller)
        await caller.aclose()

    asyncio.run(run())
    assert diary.lines == [
        "mood of 1 asked",
        "mood of 1 attempted: overloaded",
        "mood of 1 attempted: good",
        "mood of 1 answered: ok",
        "size of 1 answered: ok",
        "reply of 1 answered: skipped",
        "report of  asked",
        "report of  attempted: good",
        "report of  answered: ok",
    ]
