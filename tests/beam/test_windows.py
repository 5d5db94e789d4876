"""Windows, timestamps and panes: every result stays where its item was."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.testing import test_stream
from apache_beam.transforms import trigger
from apache_beam.transforms.window import (
    FixedWindows,
    GlobalWindow,
    IntervalWindow,
    Sessions,
    SlidingWindows,
    TimestampedValue,
)
from apache_beam.utils.windowed_value import PaneInfo, PaneInfoTiming, WindowedValue

from beam_llmdag import Dag, GraphError, Item
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider


def prompt_of(request: Request) -> str:
    content = request.messages[0].content
    assert isinstance(content, str)
    return content


def scripted(**options: Any) -> tuple[Dag, ScriptedProvider]:
    provider = ScriptedProvider(lambda request: f"<{prompt_of(request)}>", **options)
    return Dag("windowed", model="scripted:m", providers={"scripted": provider}), provider


def at(*seconds: int) -> Any:
    """Items named by their seconds."""
    times = [TimestampedValue({"id": str(second), "content": f"at {second}"}, second) for second in seconds]
    return beam.Create(times, reshuffle=False)


def places(outcome: Any, name: str) -> set[tuple[str, Any, float]]:
    """(id, window, timestamp) of all elements of an output."""
    return {
        (seen.value.item.id if hasattr(seen.value, "item") else seen.value.item_id, seen.window, seen.timestamp)
        for seen in outcome.seen[name]
    }


def joined_dag(**options: Any) -> tuple[Dag, ScriptedProvider]:
    """a and b independent, c needs both; b fails for item 12."""
    dag, provider = scripted(**options)

    @dag.dimension
    def a(item: Item) -> str:
        return f"a {item.id}"

    @dag.dimension
    def b(item: Item) -> str:
        if item.id == "12":
            raise ValueError("no twelve")
        return f"b {item.id}"

    @dag.dimension(on_missing="run")
    def c(item: Item, a: str, b: str) -> str:
        return f"c {item.id}"

    return dag, provider


def test_results_failures_and_costs_keep_the_place_of_their_item_however_slow_a_call_is(run: Any, plan: str) -> None:
    """Case beam-02."""
    slow = {"0": 0.4, "5": 0.1, "12": 0.2, "19": 0.05}
    dag, _ = joined_dag(latency_seconds=lambda request: slow[prompt_of(request).split()[1]])
    outcome = run(dag, at(0, 5, 12, 19) | beam.WindowInto(FixedWindows(10)), plan=plan)
    early, late = IntervalWindow(0, 10), IntervalWindow(10, 20)
    expected = {("0", early, 0.0), ("5", early, 5.0), ("12", late, 12.0), ("19", late, 19.0)}
    assert places(outcome, "items") == expected
    assert len(outcome.seen["items"]) == 4
    assert places(outcome, "costs") == expected
    assert places(outcome, "failures") == {("12", late, 12.0)}
    assert outcome.data("c") == {name: f"<c {name}>" for name in slow}


def summarising_dag() -> tuple[Dag, ScriptedProvider]:
    dag, provider = scripted()

    @dag.dimension
    def classify(item: Item) -> str:
        return item.id

    @dag.dimension(scope="global")
    def summary(items: list[Item], classify: list[str]) -> str:
        return "+".join(item.id for item in items)

    @dag.dimension
    def report(item: Item, summary: str) -> str:
        return f"{item.id} in {summary}"

    return dag, provider


def test_a_global_answers_once_per_window_that_has_items(run: Any, plan: str) -> None:
    """Case beam-03."""
    dag, provider = summarising_dag()
    outcome = run(dag, at(0, 5, 25) | beam.WindowInto(FixedWindows(10)), plan=plan)
    assert {(seen.window, seen.value.data) for seen in outcome.seen["globals"]} == {
        (IntervalWindow(0, 10), "<0+5>"),
        (IntervalWindow(20, 30), "<25>"),
    }
    assert outcome.data("report") == {"0": "<0 in <0+5>>", "5": "<5 in <0+5>>", "25": "<25 in <25>>"}
    assert len(provider.requests) == 3 + 2 + 3


def test_an_item_in_two_sliding_windows_sees_the_global_of_each(run: Any, plan: str) -> None:
    dag, _ = summarising_dag()
    outcome = run(dag, at(1, 6, 11) | beam.WindowInto(SlidingWindows(10, 5)), plan=plan)
    seen = {(s.value.item.id, s.window, s.value.results["report"].data) for s in outcome.seen["items"]}
    assert seen == {
        ("1", IntervalWindow(-5, 5), "<1 in <1>>"),
        ("1", IntervalWindow(0, 10), "<1 in <1+6>>"),
        ("6", IntervalWindow(0, 10), "<6 in <1+6>>"),
        ("6", IntervalWindow(5, 15), "<6 in <11+6>>"),
        ("11", IntervalWindow(5, 15), "<11 in <11+6>>"),
        ("11", IntervalWindow(10, 20), "<11 in <11>>"),
    }
    assert len(outcome.seen["items"]) == 6


def test_in_sessions_items_are_answered_joined_and_gathered_by_session(run: Any, plan: str) -> None:
    dag, _ = joined_dag()

    @dag.dimension(scope="global")
    def summary(items: list[Item], a: list[str]) -> str:
        return "+".join(item.id for item in items)

    outcome = run(dag, at(0, 3, 20) | beam.WindowInto(Sessions(5)), plan=plan)
    assert {(seen.window, seen.value.data) for seen in outcome.seen["globals"]} == {
        (IntervalWindow(0, 8), "<0+3>"),
        (IntervalWindow(20, 25), "<20>"),
    }
    assert outcome.data("c") == {"0": "<c 0>", "3": "<c 3>", "20": "<c 20>"}
    assert {(name, time) for name, _, time in places(outcome, "items")} == {("0", 0.0), ("3", 3.0), ("20", 20.0)}


def test_sessions_are_refused_when_an_item_needs_the_global_of_its_window(run: Any, plan: str) -> None:
    dag, _ = summarising_dag()
    with pytest.raises(GraphError, match=r"'report' needs the answer of 'summary' for its own window.*sessions"):
        run(dag, at(0) | beam.WindowInto(Sessions(5)), plan=plan)


@pytest.mark.parametrize(
    "windowing",
    [
        beam.WindowInto(
            FixedWindows(10),
            trigger=trigger.AfterWatermark(early=trigger.AfterCount(1)),
            accumulation_mode=trigger.AccumulationMode.DISCARDING,
        ),
        beam.WindowInto(
            FixedWindows(10),
            trigger=trigger.Repeatedly(trigger.AfterCount(1)),
            accumulation_mode=trigger.AccumulationMode.DISCARDING,
        ),
    ],
)
def test_a_trigger_that_fires_in_between_is_refused(run: Any, plan: str, windowing: Any) -> None:
    dag, _ = summarising_dag()
    with pytest.raises(GraphError, match=r"waits for all rows of a window.*trigger"):
        run(dag, at(0) | windowing, plan=plan)


STREAMING: Any = BundleBasedDirectRunner()  # the in-process runner that plays a stream


def stream(*seconds: int) -> Any:
    events = test_stream.TestStream()
    for second in seconds:
        item = {"id": str(second), "content": f"at {second}"}
        events = events.advance_watermark_to(second).add_elements([TimestampedValue(item, second)])
    return events.advance_watermark_to_infinity()


def test_a_global_over_unbounded_input_in_one_window_is_refused_with_the_remedy(run: Any, plan: str) -> None:
    dag, _ = summarising_dag()
    with pytest.raises(GraphError, match=r"'summary' waits for all rows.*unbounded.*WindowInto"):
        run(dag, stream(0, 5), plan=plan, runner=STREAMING)


def test_joins_in_unbounded_input_without_windows_are_refused_when_staged_and_run_when_pipelined(run: Any) -> None:
    dag, _ = joined_dag()
    with pytest.raises(GraphError, match=r"the join before 'c' waits"):
        run(dag, stream(0, 5), plan="staged", runner=STREAMING)
    outcome = run(dag, stream(0, 5), plan="pipelined", runner=STREAMING)
    assert places(outcome, "items") == {("0", GlobalWindow(), 0.0), ("5", GlobalWindow(), 5.0)}
    assert outcome.data("c") == {"0": "<c 0>", "5": "<c 5>"}


def test_a_global_over_a_windowed_stream_answers_per_window(run: Any, plan: str) -> None:
    dag, _ = summarising_dag()
    outcome = run(dag, stream(0, 5, 25) | beam.WindowInto(FixedWindows(10)), plan=plan, runner=STREAMING)
    assert outcome.data("report") == {"0": "<0 in <0+5>>", "5": "<5 in <0+5>>", "25": "<25 in <25>>"}


def test_in_a_stream_the_join_never_mixes_items_that_share_an_id(run: Any, plan: str) -> None:
    dag, _ = scripted()

    @dag.dimension
    def a(item: Item) -> str:
        return f"a {item.content}"

    @dag.dimension
    def b(item: Item) -> str:
        return f"b {item.content}"

    @dag.dimension
    def c(item: Item, a: str, b: str) -> str:
        return f"{item.content}: {a} {b}"

    same = [TimestampedValue({"id": "x", "content": content}, 1) for content in ("first", "second")]
    events = test_stream.TestStream().add_elements(same).advance_watermark_to_infinity()
    outcome = run(dag, events | beam.WindowInto(FixedWindows(10)), plan=plan, runner=STREAMING)
    assert {(row.item.content, row.results["c"].data) for row in outcome.items} == {
        ("first", "<first: <a first> <b first>>"),
        ("second", "<second: <a second> <b second>>"),
    }
    assert len(outcome.items) == 2


class _InPane(beam.DoFn):
    def process(self, element: Any) -> Any:
        pane = PaneInfo(True, False, PaneInfoTiming.LATE, 3, 2)
        yield WindowedValue(element, 7, (GlobalWindow(),), pane)


def test_the_pane_of_an_item_is_kept_through_the_search_for_duplicates_and_a_join(run: Any, plan: str) -> None:
    dag, _ = joined_dag()
    outcome = run(dag, at(0) | beam.ParDo(_InPane()), plan=plan)
    [seen] = outcome.seen["items"]
    assert (seen.timestamp, seen.pane) == (7.0, PaneInfo(True, False, PaneInfoTiming.LATE, 3, 2))
    assert {cost.pane for cost in outcome.seen["costs"]} == {seen.pane}
