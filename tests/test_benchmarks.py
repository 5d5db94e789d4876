"""The harness of the benchmarks, on five items: what is counted and written, never how long it took."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from helpers.places import ROOT

from benchmarks.cases import CASES, PEERS, Case, Entry
from benchmarks.docs import update_docs
from benchmarks.graphs import GRAPHS, ideal_seconds, is_complete, items_of
from benchmarks.memory import WAYS, measure
from benchmarks.runner import run_case
from benchmarks.server import ServerSettings
from benchmarks.stores import STEPS, costs
from benchmarks.table import shown_table, shown_targets
from benchmarks.targets import checked_targets
from benchmarks.task import Task
from benchmarks.traffic import read_traffic

FIELDS = [
    "case",
    "engine",
    "plan",
    "items",
    "calls",
    "in_flight",
    "latency_ms",
    "wall_s",
    "ideal_s",
    "efficiency",
    "cpu_us_per_call",
    "peak_rss_mb",
    "first_result_s",
    "ratio_to_bare",
]


def make_task(**known: Any) -> Task:
    return Task(
        **{"engine": "llmdag", "graph": "branches", "items": 5, "in_flight": 5, "latency_seconds": 0.0, **known}
    )


def made(entry: Entry, name: str = "tiny") -> dict[str, Any]:
    """The record of a case with one row."""
    [record] = run_case(Case(name=name, title="", entries=(entry,)), 1, lambda _line: None)
    return record


def test_a_row_has_all_fields_in_order_and_counts_the_calls_at_the_server() -> None:
    entry = Entry(task=make_task(plan="pipelined"), vendor=ServerSettings(latency_seconds=0.0), calls=15)
    record = made(entry)
    assert list(record)[: len(FIELDS)] == FIELDS
    assert (record["calls"], record["answered"], record["calls_429"], record["paid_twice"]) == (15, 15, 0, 0)
    assert (record["items"], record["items_lost"], record["note"]) == (5, 0, "")
    assert record["first_result_s"] <= record["wall_s"]


def test_a_resumed_run_makes_no_call() -> None:
    task = make_task(plan="staged", store="answers.sqlite")
    record = made(Entry(task=task, calls=0, resumed=True))
    assert (record["calls"], record["items_lost"]) == (0, 0)


def test_rows_are_compared_with_the_bare_loop_of_the_same_size() -> None:
    bare, ours = (Entry(task=make_task(engine=engine), calls=15) for engine in ("in_process_loop", "llmdag"))
    records = run_case(Case(name="tiny", title="", entries=(bare, ours)), 1, lambda _line: None)
    assert [record["calls"] for record in records] == [15, 15]
    assert records[0]["ratio_to_bare"] == 1
    assert records[1]["ratio_to_bare"] == records[1]["wall_s"] / records[0]["wall_s"]


def test_an_engine_that_cannot_do_a_case_says_why() -> None:
    record = made(Entry(task=make_task(), calls=15, cannot="it has no graph"))
    assert (record["wall_s"], record["note"]) == (None, "not run: it has no graph")


def test_a_peer_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PEERS, "langchain_abatch", "not-there")
    record = made(Entry(task=make_task(engine="langchain_abatch"), calls=15))
    assert record["note"] == "not run: not installed: make bench-peers"


def test_a_run_that_fails_tells_the_error() -> None:
    record = made(Entry(task=make_task(plan="sideways"), calls=15))
    assert record["wall_s"] is None
    assert "plan is 'auto', 'staged' or 'pipelined', not 'sideways'" in record["note"]


def test_ideal_is_the_longer_of_the_critical_path_and_the_work_over_the_calls_in_flight() -> None:
    assert ideal_seconds(make_task(items=10, in_flight=100, latency_seconds=0.2), 30) == pytest.approx(0.4)
    assert ideal_seconds(make_task(items=100, in_flight=10, latency_seconds=0.2), 300) == pytest.approx(6.0)
    tails = make_task(graph="chain", items=200, in_flight=600, latency_seconds=0.2, contents="slow")
    assert ideal_seconds(tails, 600) == pytest.approx(3.4)


def test_two_percent_of_the_calls_of_a_slow_task_are_slow_and_none_of_an_item_twice() -> None:
    task = make_task(graph="chain", items=200, contents="slow")
    slow = [content.count("(slow: ") for _, content in items_of(task)]
    assert (sum(slow), max(slow)) == (12, 1)


def test_three_of_ten_items_repeat_another_when_duplicates_are_asked_for() -> None:
    contents = [content for _, content in items_of(make_task(items=100, contents="duplicates"))]
    assert len(set(contents)) == 70


def test_an_item_is_complete_when_the_missing_answers_were_left_out_on_purpose() -> None:
    steps = GRAPHS["reviews"]
    assert is_complete(steps, {"filter_spam": {"kind": "spam"}})
    assert not is_complete(steps, {"filter_spam": {"kind": "review"}})
    assert not is_complete(steps, {})


def test_an_answer_paid_twice_is_a_second_good_one_to_the_same_request(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    requests = [("a", 0, 200), ("a", 1, 200), ("b", 0, 429), ("b", 1, 200), ("c", 0, 200), ("c", 1, 200)]
    lines = [
        {"fingerprint": name, "repeat": repeat, "status": status, "received_at": 100.0, "finished_at": 100.5}
        for name, repeat, status in requests
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    traffic = read_traffic(log, {("c", 0)}, 6, None, 1)
    assert (traffic.calls, traffic.answered, traffic.calls_429, traffic.paid_twice) == (6, 4, 1, 1)
    assert (traffic.calls_per_s, traffic.late_share_429, traffic.goodput_share) == (8, None, None)


def test_goodput_is_measured_against_what_the_limit_allowed(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    lines = [
        {"fingerprint": str(n), "repeat": 0, "status": 200, "received_at": n / 10, "finished_at": n / 10}
        for n in range(91)
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_traffic(log, set(), 1, 10, 1).goodput_share == pytest.approx(0.91)


def test_the_docs_get_tables_targets_and_charts_between_their_markers(tmp_path: Path) -> None:
    page = ROOT / "docs" / "performance.md"
    (tmp_path / "performance.md").write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    known = {"engine": "llmdag", "plan": "pipelined", "store": False, "http": False, "note": "", "items": 10_000}
    record = dict.fromkeys(FIELDS) | known | {"case": "c0", "cpu_us_per_call": 55.4, "in_flight": 1000}
    update_docs([record], tmp_path)
    update_docs([record], tmp_path)
    text = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert "| c0 | µs of CPU per call, pipelined | ≤ 60 | 55.4 | met |" in text
    assert text.count("### c0: ") == 1
    assert "55 µs" in (tmp_path / "images" / "engine-cost.svg").read_text(encoding="utf-8")
    assert "beam-llmdag, pipelined" in shown_table([record])
    assert "not measured" in shown_targets(checked_targets([record]))


def test_every_case_has_rows_of_the_library_and_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(any(entry.task.engine == "llmdag" for entry in case.entries) for case in CASES)


def test_every_step_of_a_store_is_measured(tmp_path: Path) -> None:
    measured = asyncio.run(costs(str(tmp_path / "answers.sqlite"), alone=2, many=5))
    assert tuple(measured) == STEPS
    assert all(min(cost) > 0 for cost in measured.values())


@pytest.mark.parametrize("way", WAYS)
def test_the_memory_of_a_run_is_measured_with_all_its_rows(way: str, tmp_path: Path) -> None:
    made = measure(way, 20, str(tmp_path))
    assert made["rows"] == 20
    assert made["mb"] > 0
