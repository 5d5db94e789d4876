"""No element of a pipeline grows with the rows of a key, and no prompt is built only to be found too long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import registry
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.testing import test_stream
from apache_beam.transforms.trigger import AccumulationMode, AfterCount, Repeatedly
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from helpers.dags import answered, make_dag, prompt_of

from beam_llmdag import Dag, Item, LLMDag
from beam_llmdag.records.result import Result
from beam_llmdag.testing import ScriptedProvider
from beam_llmdag.testing.pinned import Pinned

CONTENT = "x" * 2_000
ROWS_IN_A_PROMPT = 50
SOUTH = 30
FEW, MANY = 300, 3_000
MEGABYTE = 1_000_000


class Largest(Pinned):
    """The most bytes that an element of a pipeline has when encoded: of those with rows, and of those with answers.

    What comes out of a grouping is no element of that kind: runners stream its values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows = self.answers = 0

    def watch(self, pipeline: beam.Pipeline) -> None:
        for index, made in enumerate(_not_grouped(pipeline)):
            made | f"Measure {index}" >> beam.Map(self._measure, registry.get_coder(made.element_type))

    def _measure(self, element: Any, coder: Any) -> None:
        size = len(coder.encode(element))
        if isinstance(element, Result) or (isinstance(element, tuple) and isinstance(element[-1], Result)):
            self.answers = max(self.answers, size)  # these name the attempts of all chunks
        else:
            self.rows = max(self.rows, size)


def _not_grouped(pipeline: beam.Pipeline) -> list[Any]:
    found: list[Any] = []

    class Visitor(PipelineVisitor):
        def visit_transform(self, applied: AppliedPTransform) -> None:
            if not isinstance(applied.transform, beam.GroupByKey):
                found.extend(applied.outputs.values())

    pipeline.visit(Visitor())
    return found


def shops(north: int) -> Iterator[Item]:
    yield from (Item(f"n{number:04}", CONTENT, {"shop": "north"}) for number in range(north))
    yield from (Item(f"s{number:04}", CONTENT, {"shop": "south"}) for number in range(SOUTH))


class Outcome(Pinned):
    """What is left of a run: answers by dimension and group, and the largest element."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[tuple[str, str], Any] = {}
        self.largest = Largest()

    def keep(self, result: Result) -> None:
        self.answers[result.dimension, result.item_id] = result.data


def counting_dag() -> tuple[Dag, ScriptedProvider]:
    """Globals that count their rows, per key and plain, and a regroup of all of them."""
    dag, provider = make_dag(answered(lambda prompt: {"value": len(prompt.split())}))

    def contents(items: list[Item]) -> str:
        return "\n".join(item.id + item.content for item in items)

    options: dict[str, Any] = {"scope": "global", "output": int, "max_prompt_tokens": ROWS_IN_A_PROMPT * 2_006 // 3}
    dag.dimension(contents, name="overview", per=lambda item: item.metadata["shop"], **options).merge(
        lambda parts: sum(parts)
    )
    dag.dimension(contents, name="total", **options).merge(lambda parts: sum(parts))
    dag.regroup(lambda items, total: [Item("all", f"{len(items)} {total}")], name="gathered")
    dag.compute(lambda item: item.content, name="seen", over="gathered")
    return dag, provider


def counted(north: int, plan: Any) -> Outcome:
    """Runs the dag over so many items of one shop, and a few of another."""
    dag, _ = counting_dag()
    outcome = Outcome()
    pipeline = beam.Pipeline(runner=FnApiRunner())
    results = pipeline | beam.Create(list(shops(north)), reshuffle=False) | LLMDag(dag, plan=plan)
    outcome.largest.watch(pipeline)
    results.globals | "Keep" >> beam.Map(outcome.keep)
    pipeline.run().wait_until_finish()
    return outcome


def test_no_element_grows_with_the_rows_of_a_key(plan: str) -> None:
    """beam-53: so many rows of a key are six megabytes, and runners have limits for an element."""
    few, many = counted(FEW, plan), counted(MANY, plan)
    assert [many.answers["overview", shop] for shop in ("north", "south")] == [MANY, SOUTH]
    assert many.answers["total", ""] == MANY + SOUTH
    assert len(CONTENT) < many.largest.rows <= few.largest.rows
    assert many.largest.answers < MEGABYTE


def test_prompts_about_the_rows_of_a_key_are_the_same_in_both_plans_and_each_time(run: Any) -> None:
    """beam-53."""
    asked = []
    for plan in ("staged", "pipelined", "pipelined"):
        dag, provider = counting_dag()
        run(dag, list(shops(FEW)), plan=plan)
        asked.append(sorted(prompt_of(request) for request in provider.requests))
    assert asked[1:] == asked[:1] * 2


DISCARDING: dict[str, Any] = {}
ACCUMULATING: dict[str, Any] = {
    "trigger": Repeatedly(AfterCount(1)),
    "accumulation_mode": AccumulationMode.ACCUMULATING,
}


def rows_of_a_pane(count: int, windowing: dict[str, Any]) -> Outcome:
    """Runs a plain global over one window of a stream."""
    dag, _ = counting_dag()
    outcome = Outcome()
    pipeline = beam.Pipeline(runner=BundleBasedDirectRunner(), options=PipelineOptions(["--streaming"]))
    elements = [TimestampedValue(item, 1) for item in shops(count)]
    stream = test_stream.TestStream().add_elements(elements).advance_watermark_to_infinity()
    results = pipeline | stream | beam.WindowInto(FixedWindows(10), **windowing) | LLMDag(dag)
    outcome.largest.watch(pipeline)
    results.globals | "Keep" >> beam.Map(outcome.keep)
    pipeline.run().wait_until_finish()
    return outcome


@pytest.mark.parametrize("windowing", [DISCARDING, ACCUMULATING], ids=["discarding", "accumulating"])
def test_no_element_grows_with_the_rows_of_a_pane(windowing: dict[str, Any]) -> None:
    """beam-53, in unbounded input."""
    few, many = rows_of_a_pane(30, windowing), rows_of_a_pane(300, windowing)
    assert many.answers["overview", "north"] == 300
    assert len(CONTENT) < many.largest.rows <= few.largest.rows
