"""Unbounded input: panes, late items, triggers, drains; on the in-process runner that plays a stream and on Prism.

What comes late or early is up to the order of events. On Prism a `TestStream` waits until all that came before has been
dealt with; the in-process runner goes on at once, so that tests about order run on Prism alone.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.testing import test_stream
from apache_beam.transforms import trigger
from apache_beam.transforms.periodicsequence import PeriodicImpulse
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

from beam_llmdag import Dag, GraphError, Item, LLMDag
from beam_llmdag.beam import panes
from beam_llmdag.beam.windows.accumulated import whole_pane
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider
from beam_llmdag.testing.pinned import Pinned

DISCARDING, ACCUMULATING = AccumulationMode.DISCARDING, AccumulationMode.ACCUMULATING
EARLY, ON_TIME, LATE = PaneInfoTiming.EARLY, PaneInfoTiming.ON_TIME, PaneInfoTiming.LATE
FIRST, SECOND = IntervalWindow(0, 10), IntervalWindow(10, 20)

Streamed = Callable[..., Any]


@pytest.fixture
def on_prism(prism: str, run: Any) -> Streamed:
    """Runs a dag over a stream on Prism, in the pipelined plan."""
    # it reports its end, when the output that pytest gave it is closed already
    logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)
    return partial(run, runner=PrismRunner(), flags=["--streaming", f"--prism_location={prism}"])


@pytest.fixture(params=["direct", "prism"])
def streamed(request: pytest.FixtureRequest, run: Any) -> Any:
    """Runs a dag over a stream in the pipelined plan."""
    if request.param == "prism":
        return request.getfixturevalue("on_prism")
    return partial(run, runner=BundleBasedDirectRunner(), flags=["--streaming"])


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


def test_a_late_item_has_its_window_answered_once_more_and_no_other(on_prism: Streamed) -> None:
    dag, provider = summarising_dag()
    windows = beam.WindowInto(FixedWindows(10), allowed_lateness=20)
    outcome = on_prism(dag, late_stream() | windows)
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


def test_where_panes_accumulate_a_late_item_is_seen_together_with_those_before_it(on_prism: Streamed) -> None:
    dag, provider = summarising_dag()
    windows = beam.WindowInto(FixedWindows(10), allowed_lateness=20, accumulation_mode=ACCUMULATING)
    outcome = on_prism(dag, late_stream() | windows)
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
    on_prism: Streamed, mode: int, last: str
) -> None:
    dag, _ = summarising_dag()
    early = trigger.AfterWatermark(early=trigger.AfterCount(2))
    stream = test_stream.TestStream().add_elements(items(1, 2)).add_elements(items(3)).advance_watermark_to_infinity()
    outcome = on_prism(dag, stream | beam.WindowInto(FixedWindows(10), trigger=early, accumulation_mode=mode))
    assert answers(outcome, "summary") == [(FIRST, EARLY, "<01+02>"), (FIRST, ON_TIME, last)]
    assert outcome.data("report") == {
        "01": "<01 in <01+02>>",
        "02": "<02 in <01+02>>",
        "03": f"<03 in {last}>",
    }
    assert len(outcome.items) == 3


def test_in_one_window_without_an_end_a_trigger_says_which_items_belong_together(on_prism: Streamed) -> None:
    dag, _ = summarising_dag()
    by_two = trigger.Repeatedly(trigger.AfterCount(2))
    stream = (
        test_stream.TestStream().add_elements(items(1, 2)).add_elements(items(3, 4)).advance_watermark_to_infinity()
    )
    outcome = on_prism(dag, stream | beam.WindowInto(GlobalWindows(), trigger=by_two, accumulation_mode=DISCARDING))
    assert sorted(result.data for result in outcome.globals) == ["<01+02>", "<03+04>"]
    assert outcome.data("report") == {
        "01": "<01 in <01+02>>",
        "02": "<02 in <01+02>>",
        "03": "<03 in <03+04>>",
        "04": "<04 in <03+04>>",
    }


def test_a_global_per_group_answers_for_the_groups_of_a_pane(on_prism: Streamed) -> None:
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

    outcome = on_prism(dag, late_stream() | beam.WindowInto(FixedWindows(10), allowed_lateness=20))
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


def test_a_regroup_makes_new_items_per_pane_with_everything_that_comes_after_it(on_prism: Streamed) -> None:
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

    outcome = on_prism(dag, late_stream() | beam.WindowInto(FixedWindows(10), allowed_lateness=20))
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


def test_a_pane_whose_rows_come_slowly_to_the_state_loses_none_of_them(
    on_prism: Streamed, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag, _ = summarising_dag()

    def slowly(*part: Any) -> Any:
        time.sleep(0.3)  # Prism would split a bundle that shows no progress for 0.1 s
        return whole_pane(*part)

    monkeypatch.setattr(panes, "whole_pane", slowly)
    windows = beam.WindowInto(FixedWindows(10), allowed_lateness=20, accumulation_mode=ACCUMULATING)
    stream = test_stream.TestStream().advance_watermark_to(0).add_elements(items(*range(1, 7)))
    outcome = on_prism(dag, stream.advance_watermark_to_infinity() | windows)
    assert answers(outcome, "summary") == [(FIRST, ON_TIME, "<01+02+03+04+05+06>")]
    assert sorted(outcome.data("report")) == ["01", "02", "03", "04", "05", "06"]


def test_bounded_items_in_accumulating_windows_are_answered_once(on_prism: Streamed) -> None:
    dag, provider = summarising_dag()
    windows = beam.WindowInto(FixedWindows(10), allowed_lateness=20, accumulation_mode=ACCUMULATING)
    outcome = on_prism(dag, beam.Create(items(1, 2), reshuffle=False) | windows)
    assert answers(outcome, "summary") == [(FIRST, ON_TIME, "<01+02>")]
    assert sorted(row.value.item.id for row in outcome.seen["items"]) == ["01", "02"]
    assert len(provider.requests) == 2 + 1 + 2


def test_what_lies_between_two_globals_is_asked_again_when_panes_accumulate_and_is_on_the_bill(
    on_prism: Streamed,
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
    outcome = on_prism(dag, stream.advance_watermark_to_infinity() | windows)
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


class Log(Pinned):
    """What happened, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[str] = []
        self.lock = threading.Lock()

    def add(self, entry: str) -> None:
        with self.lock:
            self.entries.append(entry)


def test_items_that_need_no_global_leave_before_their_window_is_answered(streamed: Streamed) -> None:
    log = Log()

    def answer(request: Request) -> str:
        if prompt_of(request).startswith("all"):
            log.add("global")
        return "yes"

    dag = Dag("streamed", model="scripted:m", providers={"scripted": ScriptedProvider(answer)})
    dag.dimension(lambda item: item.id, name="classify")
    dag.dimension(lambda items, classify: f"all {len(items)}", name="summary", scope="global")
    stream = test_stream.TestStream().add_elements(items(1)).add_elements(items(2)).advance_watermark_to(9)
    streamed(
        dag,
        stream.advance_watermark_to_infinity() | beam.WindowInto(FixedWindows(10)),
        then=lambda results: results.items | "Note" >> beam.Map(lambda row: log.add(row.item.id)),
    )
    assert sorted(log.entries[:2]) == ["01", "02"]
    assert log.entries[2:] == ["global"]


def ticks(count: int, every_seconds: float) -> Any:
    """Items from a source that ticks in real time, named by their number."""
    start = time.time()
    stop = start + (count - 0.5) * every_seconds
    impulse = PeriodicImpulse(start_timestamp=start, stop_timestamp=stop, fire_interval=every_seconds)
    return impulse | beam.Map(lambda at: {"id": f"{round((float(at) - start) / every_seconds):02}", "content": "x"})


class PatientProvider(ScriptedProvider):
    """Answers one prompt only when something else has come out at the end of the pipeline."""

    def __init__(self, slow: str) -> None:
        super().__init__(["yes"])
        self.slow = slow
        self.other_came_out = threading.Event()

    def saw(self, what: str) -> None:
        if what != self.slow:
            self.other_came_out.set()

    async def answer(self, request: Request) -> Any:
        if prompt_of(request) == self.slow:
            async with asyncio.timeout(60):
                while not self.other_came_out.is_set():
                    await asyncio.sleep(0.01)
        return await super().answer(request)


def test_a_slow_call_holds_back_the_watermark_and_no_other_item(on_prism: Streamed) -> None:
    provider = PatientProvider("00")
    dag = Dag("streamed", model="scripted:m", providers={"scripted": provider})
    dag.dimension(lambda item: item.id, name="verdict")

    def note(results: Any) -> Any:
        _ = results.items | "Note" >> beam.Map(lambda row: provider.saw(row.item.id))
        return per_second(results)

    outcome = on_prism(dag, ticks(10, 0.2), then=note)
    assert outcome.statuses("verdict") == {f"{number:02}": "ok" for number in range(10)}
    assert sum(seen.value[1] for seen in outcome.seen["then"]) == 10  # the slow one was not late for its second


@pytest.mark.parametrize("mode", [DISCARDING, ACCUMULATING], ids=["discarding", "accumulating"])
def test_a_slow_global_holds_up_no_other_window(on_prism: Streamed, mode: int) -> None:
    provider = PatientProvider("window of 00")
    dag = Dag("streamed", model="scripted:m", providers={"scripted": provider})
    dag.dimension(lambda items: f"window of {items[0].id}", name="summary", scope="global")
    dag.dimension(lambda item, summary: item.id, name="report")
    windows = beam.WindowInto(FixedWindows(0.5), allowed_lateness=60, accumulation_mode=mode)
    outcome = on_prism(
        dag,
        ticks(20, 0.1) | windows,
        then=lambda results: results.items | "Note" >> beam.Map(lambda row: provider.saw(f"window of {row.item.id}")),
    )
    assert outcome.statuses("report") == {f"{number:02}": "ok" for number in range(20)}


def test_a_source_that_ends_in_the_middle_of_a_window_loses_nothing(on_prism: Streamed) -> None:
    dag, provider = summarising_dag()
    outcome = on_prism(dag, ticks(20, 0.05) | beam.WindowInto(FixedWindows(0.5)))
    names = [f"{number:02}" for number in range(20)]
    assert [row.item.id for row in outcome.items] == names
    assert set(outcome.statuses("report").values()) == {"ok"}
    gathered = "+".join(sorted(result.data.strip("<>") for result in outcome.globals))
    assert sorted(gathered.split("+")) == names
    assert len(provider.requests) == 20 + len(outcome.globals) + 20


def test_rows_that_no_trigger_has_fired_yet_come_out_at_a_drain(on_prism: Streamed) -> None:
    dag, _ = summarising_dag()
    by_two = trigger.Repeatedly(trigger.AfterCount(2))
    stream = test_stream.TestStream().add_elements(items(1, 2)).add_elements(items(3)).advance_watermark_to_infinity()
    outcome = on_prism(dag, stream | beam.WindowInto(GlobalWindows(), trigger=by_two, accumulation_mode=DISCARDING))
    assert outcome.data("report") == {"01": "<01 in <01+02>>", "02": "<02 in <01+02>>", "03": "<03 in <03>>"}


def test_all_outputs_have_the_windows_and_the_trigger_of_the_input() -> None:
    dag, _ = summarising_dag()
    early = trigger.AfterWatermark(early=trigger.AfterCount(2))
    pipeline = beam.Pipeline(runner=BundleBasedDirectRunner())
    windows = beam.WindowInto(FixedWindows(10), trigger=early, accumulation_mode=ACCUMULATING)
    source = pipeline | late_stream() | windows
    results = source | LLMDag(dag)
    for output in (results.items, results.globals, results.failures, results.costs):
        assert output.windowing == source.windowing


@pytest.mark.parametrize(
    ("windows", "why"),
    [
        (beam.WindowInto(GlobalWindows()), r"one window without an end; put beam.WindowInto.*AfterCount"),
        (
            beam.WindowInto(FixedWindows(10), trigger=trigger.AfterCount(2), accumulation_mode=DISCARDING),
            r"would never see some rows: .*put Repeatedly\(…\) around it",
        ),
        (
            beam.WindowInto(
                GlobalWindows(),
                trigger=trigger.Repeatedly(trigger.AfterCount(2)),
                accumulation_mode=ACCUMULATING,
            ),
            r"keep them for ever; use AccumulationMode.DISCARDING",
        ),
        (
            beam.WindowInto(Sessions(5), allowed_lateness=5, accumulation_mode=ACCUMULATING),
            r"cannot merge them when windows do; use AccumulationMode.DISCARDING",
        ),
    ],
    ids=["no trigger", "a trigger that ends", "accumulating without an end", "accumulating sessions"],
)
def test_windows_in_which_a_global_cannot_be_right_are_refused_with_the_remedy(windows: Any, why: str) -> None:
    dag, _ = summarising_dag()
    pipeline = beam.Pipeline(runner=BundleBasedDirectRunner())
    with pytest.raises(GraphError, match=why):
        pipeline | late_stream() | windows | LLMDag(dag)


def test_the_staged_plan_refuses_panes_and_names_the_plan_that_can(run: Any) -> None:
    dag, _ = summarising_dag()
    windows = beam.WindowInto(FixedWindows(10), allowed_lateness=20)
    with pytest.raises(GraphError, match=r"more than once.*or use plan='pipelined'"):
        run(dag, late_stream() | windows, plan="staged", runner=BundleBasedDirectRunner())
