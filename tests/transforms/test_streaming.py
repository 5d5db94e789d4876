"""Unbounded input: panes, late items, triggers, drains; on the in-process runner that plays a stream and on Prism."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.testing import test_stream
from apache_beam.transforms import trigger
from apache_beam.transforms.trigger import AccumulationMode
from apache_beam.transforms.window import (
    FixedWindows,
    GlobalWindows,
    IntervalWindow,
    Sessions,
    SlidingWindows,
    TimestampedValue,
)
from apache_beam.utils.windowed_value import PaneInfoTiming

from beam_llmdag import Dag, Item
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider

DISCARDING, ACCUMULATING = AccumulationMode.DISCARDING, AccumulationMode.ACCUMULATING
EARLY, ON_TIME, LATE = PaneInfoTiming.EARLY, PaneInfoTiming.ON_TIME, PaneInfoTiming.LATE
FIRST, SECOND = IntervalWindow(0, 10), IntervalWindow(10, 20)

Streamed = Callable[..., Any]


@pytest.fixture(params=["direct", "prism"])
def streamed(request: pytest.FixtureRequest, run: Any) -> Streamed:
    """Runs a dag over a stream in the pipelined plan."""
    if request.param == "direct":
        runner, flags = BundleBasedDirectRunner(), ["--streaming"]
    else:
        runner, flags = PrismRunner(), ["--streaming", f"--prism_location={request.getfixturevalue('prism')}"]

    def run_stream(dag: Dag, source: Any, **options: Any) -> Any:
        return run(dag, source, runner=runner, flags=flags, **options)

    return run_stream


def prompt_of(request: Request) -> str:
    content = request.messages[0].content
    assert isinstance(content, str)
    return content


def scripted(**options: Any) -> tuple[Dag, ScriptedProvider]:
    provider = ScriptedProvider(lambda request: f"<{prompt_of(request)}>", **options)
    return Dag("streamed", model="scripted:m", providers={"scripted": provider}), provider


def items(*seconds: int) -> list[TimestampedValue]:
    """Items named by their seconds."""
    return [TimestampedValue({"id": f"{second:02}", "content": "x"}, second) for second in seconds]


def late_stream() -> Any:
    """1 and 2 in time, 13 in the next window, then 4, late."""
    stream = test_stream.TestStream().advance_watermark_to(0).add_elements(items(1, 2)).advance_watermark_to(12)
    return stream.add_elements(items(13)).add_elements(items(4)).advance_watermark_to_infinity()


def summarising_dag() -> tuple[Dag, ScriptedProvider]:
    """classify, a global over it, and report, which needs the global."""
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


def answers(outcome: Any, dimension: str) -> list[tuple[Any, int, Any]]:
    """(window, timing of the pane, data) of a global's answers."""
    seen = [entry for entry in outcome.seen["globals"] if entry.value.dimension == dimension]
    return sorted((entry.window, entry.pane.timing, entry.value.data) for entry in seen)


def prompts(provider: ScriptedProvider) -> list[str]:
    return sorted(prompt_of(request) for request in provider.requests)


def test_a_late_item_has_its_window_answered_once_more_and_no_other(streamed: Streamed) -> None:
    dag, provider = summarising_dag()
    windows = beam.WindowInto(FixedWindows(10), allowed_lateness=20)
    outcome = streamed(dag, late_stream() | windows)
    assert answers(outcome, "summary") == [
        (FIRST, ON_TIME, "<01+02>"),
        (FIRST, LATE, "<04>"),
        (SECOND, ON_TIME, "<13>"),
    ]
    assert outcome.data("report") == {
        "01": "<01 in <01+02>>",
        "02": "<02 in <01+02>>",
        "04": "<04 in <04>>",
        "13": "<13 in <13>>",
    }
    assert len(outcome.items) == 4
    assert len(provider.requests) == 4 + 3 + 4


def test_where_panes_accumulate_a_late_item_is_seen_together_with_those_before_it(streamed: Streamed) -> None:
    dag, provider = summarising_dag()
    windows = beam.WindowInto(FixedWindows(10), allowed_lateness=20, accumulation_mode=ACCUMULATING)
    outcome = streamed(dag, late_stream() | windows)
    assert answers(outcome, "summary") == [
        (FIRST, ON_TIME, "<01+02>"),
        (FIRST, LATE, "<01+02+04>"),
        (SECOND, ON_TIME, "<13>"),
    ]
    assert outcome.data("report") == {
        "01": "<01 in <01+02>>",
        "02": "<02 in <01+02>>",
        "04": "<04 in <01+02+04>>",
        "13": "<13 in <13>>",
    }
    assert len(outcome.items) == 4
    assert len(provider.requests) == 4 + 3 + 4


@pytest.mark.parametrize(("mode", "last"), [(DISCARDING, "<03>"), (ACCUMULATING, "<01+02+03>")])
def test_an_early_pane_answers_before_the_window_ends_and_each_item_comes_out_once(
    streamed: Streamed, mode: int, last: str
) -> None:
    dag, _ = summarising_dag()
    early = trigger.AfterWatermark(early=trigger.AfterCount(2))
    stream = test_stream.TestStream().add_elements(items(1, 2)).add_elements(items(3)).advance_watermark_to_infinity()
    outcome = streamed(dag, stream | beam.WindowInto(FixedWindows(10), trigger=early, accumulation_mode=mode))
    assert answers(outcome, "summary") == [(FIRST, EARLY, "<01+02>"), (FIRST, ON_TIME, last)]
    assert outcome.data("report") == {
        "01": "<01 in <01+02>>",
        "02": "<02 in <01+02>>",
        "03": f"<03 in {last}>",
    }
    assert len(outcome.items) == 3


def test_in_one_window_without_an_end_a_trigger_says_which_items_belong_together(streamed: Streamed) -> None:
    dag, _ = summarising_dag()
    by_two = trigger.Repeatedly(trigger.AfterCount(2))
    stream = (
        test_stream.TestStream().add_elements(items(1, 2)).add_elements(items(3, 4)).advance_watermark_to_infinity()
    )
    outcome = streamed(dag, stream | beam.WindowInto(GlobalWindows(), trigger=by_two, accumulation_mode=DISCARDING))
    assert sorted(result.data for result in outcome.globals) == ["<01+02>", "<03+04>"]
    assert outcome.data("report") == {
        "01": "<01 in <01+02>>",
        "02": "<02 in <01+02>>",
        "03": "<03 in <03+04>>",
        "04": "<04 in <03+04>>",
    }


def test_a_global_per_group_answers_for_the_groups_of_a_pane(streamed: Streamed) -> None:
    dag, _ = scripted()

    @dag.dimension
    def classify(item: Item) -> str:
        return "odd" if int(item.id) % 2 else "even"

    @dag.dimension(scope="global", per=lambda classify: classify)
    def digest(items: list[Item], classify: list[str]) -> str:
        return "+".join(item.id for item in items)

    @dag.dimension
    def place(item: Item, digest: str) -> str:
        return f"{item.id} in {digest}"

    outcome = streamed(dag, late_stream() | beam.WindowInto(FixedWindows(10), allowed_lateness=20))
    found = {(seen.window, seen.pane.timing, seen.value.item_id, seen.value.data) for seen in outcome.seen["globals"]}
    assert found == {
        (FIRST, ON_TIME, "<odd>", "<01>"),
        (FIRST, ON_TIME, "<even>", "<02>"),
        (FIRST, LATE, "<even>", "<04>"),
        (SECOND, ON_TIME, "<odd>", "<13>"),
    }
    assert outcome.data("place") == {
        "01": "<01 in <01>>",
        "02": "<02 in <02>>",
        "04": "<04 in <04>>",
        "13": "<13 in <13>>",
    }


def test_a_regroup_makes_new_items_per_pane_with_everything_that_comes_after_it(streamed: Streamed) -> None:
    dag, _ = scripted()

    @dag.dimension(scope="global")
    def group(items: list[Item]) -> str:
        return "+".join(item.id for item in items)

    @dag.regroup
    def by_parity(items: list[Item], group: str) -> dict[str, list[str]]:
        parities = {"odd": [i.id for i in items if int(i.id) % 2], "even": [i.id for i in items if not int(i.id) % 2]}
        return {name: ids for name, ids in parities.items() if ids}

    @dag.dimension(over=by_parity)
    def analyze(item: Item) -> str:
        return f"{item.id}"

    @dag.dimension(scope="global", over=by_parity)
    def overall(items: list[Item], analyze: list[str]) -> str:
        return f"{len(items)} groups"

    outcome = streamed(dag, late_stream() | beam.WindowInto(FixedWindows(10), allowed_lateness=20))
    assert answers(outcome, "overall") == [
        (FIRST, ON_TIME, "<2 groups>"),
        (FIRST, LATE, "<1 groups>"),
        (SECOND, ON_TIME, "<1 groups>"),
    ]
    assert sorted(
        (seen.window, seen.pane.timing, seen.value.item.id, seen.value.results["analyze"].data)
        for seen in outcome.seen["regrouped by_parity"]
    ) == [
        (FIRST, ON_TIME, "even", "<even>"),
        (FIRST, ON_TIME, "odd", "<odd>"),
        (FIRST, LATE, "even", "<even>"),
        (SECOND, ON_TIME, "odd", "<odd>"),
    ]
    assert [row.item.id for row in outcome.items] == ["01", "02", "04", "13"]
    assert all(not row.results for row in outcome.items)


def test_what_lies_between_two_globals_is_asked_again_when_panes_accumulate_and_is_on_the_bill(
    streamed: Streamed,
) -> None:
    dag, provider = scripted()

    @dag.dimension(scope="global")
    def theme(items: list[Item]) -> str:
        return "+".join(item.id for item in items)

    @dag.dimension
    def fit(item: Item, theme: str) -> str:
        return f"{item.id} in {theme}"

    @dag.dimension(scope="global")
    def verdict(items: list[Item], fit: list[str]) -> str:
        return " ".join(fit)

    stream = test_stream.TestStream().add_elements(items(1)).advance_watermark_to(12).add_elements(items(4))
    windows = beam.WindowInto(FixedWindows(10), allowed_lateness=20, accumulation_mode=ACCUMULATING)
    outcome = streamed(dag, stream.advance_watermark_to_infinity() | windows)
    assert answers(outcome, "verdict") == [
        (FIRST, ON_TIME, "<<01 in <01>>>"),
        (FIRST, LATE, "<<01 in <01+04>> <04 in <01+04>>>"),
    ]
    assert outcome.data("fit") == {"01": "<01 in <01>>", "04": "<04 in <01+04>>"}
    assert [(cost.dimension, cost.item_id) for cost in outcome.costs if cost.dimension == "fit"] == [
        ("fit", "01"),
        ("fit", "01"),
        ("fit", "04"),
    ]
    assert len(outcome.costs) == len(provider.requests)


def test_an_item_in_two_sliding_windows_is_in_the_panes_of_both(streamed: Streamed) -> None:
    dag, _ = summarising_dag()
    stream = test_stream.TestStream().add_elements(items(1, 6)).advance_watermark_to_infinity()
    outcome = streamed(dag, stream | beam.WindowInto(SlidingWindows(10, 5)))
    assert {(seen.value.item.id, seen.window, seen.value.results["report"].data) for seen in outcome.seen["items"]} == {
        ("01", IntervalWindow(-5, 5), "<01 in <01>>"),
        ("01", FIRST, "<01 in <01+06>>"),
        ("06", FIRST, "<06 in <01+06>>"),
        ("06", IntervalWindow(5, 15), "<06 in <06>>"),
    }
    assert len(outcome.items) == 4


def test_items_of_a_session_see_the_global_of_their_session(streamed: Streamed) -> None:
    dag, _ = summarising_dag()
    stream = test_stream.TestStream().add_elements(items(1, 4, 20)).advance_watermark_to_infinity()
    outcome = streamed(dag, stream | beam.WindowInto(Sessions(5)))
    assert outcome.data("report") == {"01": "<01 in <01+04>>", "04": "<04 in <01+04>>", "20": "<20 in <20>>"}
    assert {seen.window for seen in outcome.seen["items"]} == {IntervalWindow(1, 9), IntervalWindow(20, 25)}


def test_items_come_out_with_the_timestamp_they_had_and_are_not_late_for_what_comes_after(
    run: Any, streamed: Streamed
) -> None:
    dag, _ = summarising_dag()
    stream = test_stream.TestStream().add_elements(items(1, 2)).advance_watermark_to(5).add_elements(items(8))
    outcome = streamed(dag, stream.advance_watermark_to_infinity() | beam.WindowInto(FixedWindows(10)), then=per_second)
    assert {(seen.value.item.id, seen.timestamp) for seen in outcome.seen["items"]} == {
        ("01", 1.0),
        ("02", 2.0),
        ("08", 8.0),
    }
    assert sorted(seen.value for seen in outcome.seen["then"]) == [("", 1), ("", 1), ("", 1)]


def per_second(results: Any) -> Any:
    """How many items there are per second."""
    keyed = results.items | beam.WindowInto(FixedWindows(1)) | "Key" >> beam.Map(lambda row: ("", row.item.id))
    return keyed | beam.GroupByKey() | beam.MapTuple(lambda key, ids: (key, len(list(ids))))
