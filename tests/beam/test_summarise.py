"""`Summarise`: one dict at the end of a batch pipeline."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.testing import test_stream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from beam_llmdag import CallError, Dag, Failure, GraphError, Item, LLMDag, Price, Usage
from beam_llmdag.beam.summarise import Summarise
from beam_llmdag.model import Answer, Request
from beam_llmdag.testing import ScriptedProvider


def regrouping_dag() -> Dag:
    def answers(request: Request) -> Any:
        prompt = str(request.messages[0].content)
        if prompt.startswith("fail"):
            return CallError("refused", "no", usage=Usage(input_tokens=3))
        return Answer(text="fine", usage=Usage(input_tokens=10, output_tokens=2, reasoning_tokens=1))

    prices = {"scripted:m": Price(input=1.0, output=2.0)}
    dag = Dag("sums", model="scripted:m", providers={"scripted": ScriptedProvider(answers)}, prices=prices)

    @dag.dimension(skip_if=lambda item: item.id == "s")
    def each(item: Item) -> str:
        return "fail" if item.id == "f" else "ask"

    @dag.dimension(scope="global")
    def group(items: list[Item], each: list[str]) -> str:
        return "group"

    @dag.regroup
    def by_group(items: list[Item], group: str) -> dict[str, list[str]]:
        return {"g": [item.id for item in items]}

    @dag.dimension(over=by_group)
    def analyze(item: Item) -> str:
        return "analyze"

    return dag


def line(
    items: int, calls: int, skipped: int, failed: int, tokens: tuple[int, int, int], usd: float, left_out: int = 0
) -> dict[str, Any]:
    nothing = {"cache_read": 0, "cache_write": 0, "cache_write_1h": 0}
    names = {"input": tokens[0], "output": tokens[1], **nothing, "reasoning": tokens[2]}
    return {
        "items": items,
        "calls": calls,
        "skipped": skipped,
        "failed": failed,
        "pending": 0,
        "store_hits": 0,
        "left_out": left_out,
        "tokens": names,
        "cost_usd": usd,
        "unpriced_calls": 0,
    }


def check_summary(dag: Dag, source: Any, plan: Any, expected: Any, *, unreadable: Any = ()) -> None:
    """Runs a pipeline and demands that its summary is one element, equal to `expected`."""
    with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as pipeline:
        results = pipeline | "Source" >> source | LLMDag(dag, plan=plan)
        failures = pipeline | "Failures" >> beam.Create(list(unreadable)).with_output_types(Failure)
        summary = results | Summarise(dag, unreadable=failures)
        assert_that(summary, equal_to([expected]))


def test_all_results_are_added_up_by_dimension_and_by_model(plan: Any) -> None:
    items = [{"id": name, "content": "x"} for name in ("a", "b", "f", "s")]
    expected = {
        **line(4, 5, 1, 1, (43, 8, 4), 59e-6, left_out=2),
        "cost_is_complete": True,
        "unpriced_models": [],
        "by_dimension": {
            "each": line(4, 3, 1, 1, (23, 4, 2), 31e-6),
            "group": line(1, 1, 0, 0, (10, 2, 1), 14e-6, left_out=2),
            "analyze": line(1, 1, 0, 0, (10, 2, 1), 14e-6),
        },
        "by_model": {"scripted:m": line(5, 5, 0, 1, (43, 8, 4), 59e-6, left_out=2)},
    }
    check_summary(regrouping_dag(), beam.Create(items, reshuffle=False), plan, expected)


def test_windows_are_added_up_together(plan: Any) -> None:
    provider = ScriptedProvider([Answer(text="fine", usage=Usage())])
    dag = Dag(
        "sums", model="scripted:m", providers={"scripted": provider}, prices={"scripted:m": Price(input=1, output=1)}
    )

    @dag.dimension
    def each(item: Item) -> str:
        return "ask"

    times = [TimestampedValue({"id": str(second), "content": "x"}, second) for second in (0, 15)]
    one = line(2, 2, 0, 0, (0, 0, 0), 0.0)
    expected = {
        **one,
        "cost_is_complete": True,
        "unpriced_models": [],
        "by_dimension": {"each": one},
        "by_model": {"scripted:m": one},
    }
    check_summary(dag, beam.Create(times, reshuffle=False) | beam.WindowInto(FixedWindows(10)), plan, expected)


def test_no_items_make_a_summary_of_zeros_with_all_dimensions(plan: Any) -> None:
    nothing = line(0, 0, 0, 0, (0, 0, 0), 0.0)
    skipped = {**nothing, "items": 1, "skipped": 1}
    expected = {
        **nothing,
        "skipped": 2,
        "cost_is_complete": True,
        "unpriced_models": [],
        "by_dimension": {"each": nothing, "group": skipped, "analyze": nothing, "by_group": skipped},
        "by_model": {},
    }
    check_summary(regrouping_dag(), beam.Create([], reshuffle=False), plan, expected)


def test_records_that_could_not_be_read_count_as_failed(plan: Any) -> None:
    bad = Failure(dimension="input", item_id="in.jsonl:line 2", error_class="bad_input", message="not JSON")
    nothing = line(0, 0, 0, 0, (0, 0, 0), 0.0)
    provider = ScriptedProvider(["fine"])
    dag = Dag("sums", model="scripted:m", providers={"scripted": provider})

    @dag.dimension
    def each(item: Item) -> str:
        return "ask"

    expected = {
        **nothing,
        "failed": 2,
        "cost_is_complete": True,
        "unpriced_models": [],
        "by_dimension": {"each": nothing, "input": {**nothing, "failed": 2}},
        "by_model": {},
    }
    check_summary(dag, beam.Create([{"id": "no content"}], reshuffle=False), plan, expected, unreadable=[bad])


def test_a_stream_cannot_be_summarised() -> None:
    dag = Dag("sums", model="scripted:m", providers={"scripted": ScriptedProvider(["fine"])})

    @dag.dimension
    def each(item: Item) -> str:
        return "ask"

    pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([]))
    results = pipeline | test_stream.TestStream() | LLMDag(dag)
    with pytest.raises(GraphError, match="unbounded results never end"):
        results | Summarise(dag)
