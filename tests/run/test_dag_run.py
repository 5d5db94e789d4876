"""`dag.run`: what may go in, what comes out, and what stays behind (nothing)."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from beam_llmdag import CallError, Dag, InputError, Item, Model, Report
from beam_llmdag.model import Request
from beam_llmdag.records.item import derived_id
from beam_llmdag.testing import ScriptedProvider, Simulator


def echoing_dag() -> Dag:
    provider = ScriptedProvider(lambda request: f"<{request.messages[0].content}>")
    dag = Dag("echo", model="scripted:m", providers={"scripted": provider})

    @dag.dimension
    def echo(item: Item) -> str:
        return f"{item.id} {item.content} {item.metadata.get('stars')}"

    return dag


def records() -> Iterator[dict[str, Any]]:
    yield {"id": "b", "content": "x", "stars": 5}
    yield {"id": "a", "content": "y", "stars": 1}


SOURCES: dict[str, Any] = {
    "list of dicts": list(records()),
    "generator": records(),
    "tuple": tuple(records()),
    "items": [Item(r["id"], r["content"], {"stars": r["stars"]}) for r in records()],
    "pandas": pd.DataFrame(list(records())),
    "polars": pl.DataFrame(list(records())),
    "pyarrow": pa.Table.from_pylist(list(records())),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_items_come_from_anything_that_holds_records_and_keep_its_order(source: Any) -> None:
    report = echoing_dag().run(source)
    assert isinstance(report, Report)
    assert [(row.item.id, row.results["echo"].data) for row in report.items] == [("b", "<b x 5>"), ("a", "<a y 1>")]


def test_texts_get_ids_from_their_content_and_equal_ones_a_number() -> None:
    great = derived_id("great", {})
    assert list(echoing_dag().run(["great", "bad", "great"]).answers("echo")) == [
        great,
        derived_id("bad", {}),
        f"{great}-2",
    ]


def test_other_names_of_the_fields_can_be_given() -> None:
    report = echoing_dag().run([{"key": 7, "text": "x", "stars": 1}], id_field="key", content_field="text")
    assert report.answers("echo") == {"7": "<7 x 1>"}


def test_a_single_text_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"a single str is no list of items; pass \[it\] instead"):
        echoing_dag().run("great")


def test_no_items_give_an_empty_report() -> None:
    report = echoing_dag().run([])
    assert (report.items, report.globals, report.failures, report.costs) == ([], [], [], [])
    assert report.to_rows() == []


def test_a_second_run_is_answered_by_the_store_and_costs_nothing(tmp_path: Path) -> None:
    dag = echoing_dag()
    store = tmp_path / "deep" / "answers.sqlite"
    first = dag.run(["x", "y"], store=store)
    second = dag.run(["x", "y"], store=store)
    assert (first.summary.total.calls, second.summary.total.calls) == (2, 0)
    assert (second.summary.total.store_hits, second.costs) == (2, [])
    assert second.answers("echo") == first.answers("echo")


def test_the_default_store_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMDAG_STORE", str(tmp_path / "answers.sqlite"))
    echoing_dag().run(["x"])
    assert (tmp_path / "answers.sqlite").exists()


def test_failures_globals_and_costs_come_in_the_order_of_the_dag_and_the_items() -> None:
    def answers(request: Request) -> Any:
        return CallError("refused", "no") if "fail" in str(request.messages[0].content) else "fine"

    dag = Dag("order", model="scripted:m", providers={"scripted": ScriptedProvider(answers)})

    @dag.dimension
    def second(item: Item) -> str:
        return "fail"

    @dag.dimension
    def first(item: Item) -> str:
        return f"fail {item.id}"

    report = dag.run([{"id": name, "content": "x"} for name in ("c", "a", "b")])
    expected = [(dimension, name) for dimension in ("second", "first") for name in "cab"]
    assert [(failure.dimension, failure.item_id) for failure in report.failures] == expected
    assert [(cost.dimension, cost.item_id) for cost in report.costs] == expected


def test_ctrl_c_ends_the_run_at_once_and_cancels_its_calls() -> None:
    main = threading.main_thread().ident
    assert main is not None

    def answers(request: Request) -> str:
        if request.messages[0].content == "9":
            signal.pthread_kill(main, signal.SIGINT)
        return "fine"

    provider = ScriptedProvider(answers, latency_seconds=30)
    dag = Dag("interrupted", model="scripted:m", providers={"scripted": provider})

    @dag.dimension
    def each(item: Item) -> str:
        return item.id

    with pytest.raises(KeyboardInterrupt):
        dag.run([{"id": str(number), "content": "x"} for number in range(10)])
    assert provider.cancelled == len(provider.requests)
    assert provider.in_flight == 0


def test_fifty_runs_leave_no_thread_no_file_and_no_connection_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    with Simulator(answers=lambda request: "fine") as simulator:

        def once(number: int) -> None:
            dag = Dag("loop", model=Model("openai-chat:gpt-5-mini", base_url=simulator.base_url("openai")))
            dag.dimension(ask)
            assert dag.run(["x"], store=tmp_path / f"{number}.sqlite").summary.total.calls == 1

        for number in range(3):
            once(number)
        gc.collect()
        before = (threading.active_count(), open_files())
        for number in range(3, 53):
            once(number)
        gc.collect()
        assert (threading.active_count(), open_files()) == before
        assert simulator.request_count == 53


def ask(item: Item) -> str:
    return "x"


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
