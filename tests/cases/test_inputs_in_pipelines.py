"""Cases of the kind inputs, from a file or a frame through a dag to the results."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import apache_beam as beam
import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from pydantic import BaseModel

from beam_llmdag import Dag, InputError, Item, LLMDag, ReadItems
from beam_llmdag.beam.io.results import WriteResults
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider


def prompt_of(request: Request) -> str:
    content = request.messages[0].content
    assert isinstance(content, str)
    return content


def scripted(answers: Any = lambda request: f"<{prompt_of(request)}>") -> tuple[Dag, ScriptedProvider]:
    provider = ScriptedProvider(answers)
    return Dag("inputs", model="scripted:m", providers={"scripted": provider}), provider


def joining_dag() -> tuple[Dag, ScriptedProvider]:
    """Two dimensions and a join, so that items cross a grouping in the staged plan."""
    dag, provider = scripted()

    @dag.dimension
    def a(item: Item) -> str:
        return f"a {item.id} {item.content} {item.metadata}"

    @dag.dimension
    def b(item: Item) -> str:
        return f"b {item.id}"

    @dag.dimension
    def c(item: Item, a: str, b: str) -> str:
        return f"c {item.id} {item.metadata}"

    return dag, provider


def run_file(dag: Dag, path: Path, folder: Path, plan: Any) -> dict[str, list[dict[str, Any]]]:
    """Reads a file, runs a dag, writes all results; returns the rows of each file."""
    with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as pipeline:
        read = pipeline | ReadItems(path)
        results = read.items | LLMDag(dag, plan=plan)
        results | WriteResults(dag, str(folder), unreadable=read.failures)
    files = {str(path.relative_to(folder).with_suffix("")): path for path in folder.rglob("*.parquet")}
    return {name: pq.read_table(path).to_pylist(maps_as_pydicts="strict") for name, path in files.items()}


class Answer(BaseModel):
    text: str


BRACES = "Set {x} = {{ 7 * 7 }} {% raw %} {# note {0.__class__} %s $y <b>&amp; \\n"


def test_template_syntax_in_data_and_answers_is_only_ever_text(run: Any) -> None:
    """Case inputs-01, with Python functions."""
    dag, provider = scripted([{"text": "{{ item.id }} {% for i in x %} {y}"}])

    @dag.dimension(output=Answer)
    def first(item: Item) -> str:
        return f"Repeat: {item.content}"

    @dag.dimension(output=Answer)
    def second(item: Item, first: Answer) -> str:
        return f"Check: {first.text} / {item.content}"

    run.everywhere(dag, [{"id": "a", "content": BRACES}])
    assert [prompt_of(request) for request in provider.requests] == [
        f"Repeat: {BRACES}",
        f"Check: {{{{ item.id }}}} {{% for i in x %}} {{y}} / {BRACES}",
    ] * 3


def test_a_spreadsheets_csv_keeps_its_ids_to_the_end(tmp_path: Path, plan: Any) -> None:
    """Case inputs-02."""
    text = 'id,content,stars\r\n007,"line one\r\nline two, with comma",5\r\n8,"café ""quoted""",\r\nNA,plain,2\r\n'
    (tmp_path / "reviews.csv").write_bytes(b"\xef\xbb\xbf" + text.encode("utf-8"))
    dag, _ = joining_dag()
    rows = run_file(dag, tmp_path / "reviews.csv", tmp_path / "out", plan)["items"]
    assert [(row["id"], row["content"]) for row in rows] == [
        ("007", "line one\r\nline two, with comma"),
        ("8", 'café "quoted"'),
        ("NA", "plain"),
    ]
    assert [row["c"]["status"] for row in rows] == ["ok"] * 3


def test_a_blank_prompt_is_known_before_the_call_and_null_is_never_a_word(run: Any) -> None:
    """Case inputs-03."""
    items = [{"id": "a", "content": ""}, {"id": "b", "content": " \n\t "}, {"id": "c", "content": None}]
    items.append({"id": "d", "content": "fine"})
    dag, provider = scripted()
    dag.dimension(lambda item: item.content, name="alone")
    outcome = run.everywhere(dag, items)
    assert outcome.statuses("alone") == {"a": "failed", "b": "failed", "c": "failed", "d": "ok"}
    assert [(failure.item_id, failure.attempts) for failure in outcome.failures] == [("a", ()), ("b", ()), ("c", ())]
    assert all("empty" in failure.message or "blank" in failure.message for failure in outcome.failures)
    assert [prompt_of(request) for request in provider.requests] == ["fine"] * 3

    dag, provider = scripted()
    dag.dimension(lambda item: f"Sentiment of: {item.content}", name="framed")
    outcome = run.everywhere(dag, items)
    assert set(outcome.statuses("framed").values()) == {"ok"}
    assert not any(word in prompt_of(request) for request in provider.requests for word in ("None", "nan"))


def test_integer_ids_become_text_and_a_regroup_finds_them(run: Any) -> None:
    """Case inputs-04: second run."""
    dag, _ = scripted(lambda request: "fine")

    @dag.dimension(scope="global")
    def group(items: list[Item]) -> str:
        return "x"

    @dag.regroup
    def by_group(items: list[Item], group: str) -> dict[str, list[str]]:
        return {"one": ["1"], "two": ["2"]}

    @dag.dimension(over=by_group)
    def analyze(item: Item) -> str:
        return "x"

    outcome = run.everywhere(dag, [{"id": 1, "content": "x"}, {"id": 2, "content": "y"}])
    assert [row.item.id for row in outcome.items] == ["1", "2"]
    assert [(row.item.source_ids, row.item.content) for row in outcome.regrouped["by_group"]] == [
        (("1",), "x"),
        (("2",), "y"),
    ]


def test_a_frame_with_a_gap_in_its_ids_is_refused_and_without_it_has_nulls() -> None:
    """Case inputs-06."""
    frame = pd.DataFrame(
        {
            "id": [1, 2, None],
            "content": ["x", None, "z"],
            "when": [pd.Timestamp("2026-01-02", tz="UTC"), pd.NaT, pd.NaT],
            "score": [0.5, float("nan"), 1.0],
        }
    )
    dag, provider = joining_dag()
    with pytest.raises(InputError, match=r"row 2 \(counted from 0\): id is missing"):
        dag.run(frame)
    assert provider.requests == []
    report = dag.run(frame[:2])
    assert [row.item for row in report.items] == [
        Item("1", "x", {"when": "2026-01-02T00:00:00+00:00", "score": 0.5}),
        Item("2", "", {"when": None, "score": None}),
    ]
    asked = " ".join(prompt_of(request) for request in provider.requests)
    assert not any(word in asked for word in ("1.0", "nan", "NaT"))
    with pytest.raises(InputError, match=r"9007199254740992.*may already be rounded"):
        dag.run(pd.DataFrame({"id": [9007199254740993, None], "content": ["x", "y"]}))


def test_the_types_of_a_real_table_survive_a_join_and_can_be_read_again(tmp_path: Path, plan: Any) -> None:
    """Case inputs-07."""
    when = datetime.datetime(2026, 3, 29, 1, 30, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "id": pa.array([9007199254740993, 2]),
            "content": pa.array(["spam", "ham"]).dictionary_encode(),
            "price": pa.array([decimal.Decimal("12.30"), None]),
            "day": pa.array([datetime.date(2026, 3, 29), None]),
            "at": pa.array([when] * 2, pa.timestamp("ns", "Europe/Berlin")),
            "tags": pa.array([["x", "y"], []]),
            "who": pa.array([{"age": 1, "city": None}, None]),
            "m": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
            "f": pa.array([float("nan"), None]),
            "class": ["u", "v"],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    dag, provider = joining_dag()
    rows = run_file(dag, tmp_path / "in.parquet", tmp_path / "out", plan)["items"]
    first = {
        "price": "12.30",
        "day": "2026-03-29",
        "at": "2026-03-29T01:30:00+00:00",
        "tags": ["x", "y"],
        "who": {"age": 1, "city": None},
        "m": {"k": 1},
        "f": None,
        "class": "u",
    }
    second = {**dict.fromkeys(first), "at": first["at"], "tags": [], "class": "v"}
    asked = {prompt_of(request) for request in provider.requests if prompt_of(request).startswith("c")}
    assert asked == {f"c 9007199254740993 {first}", f"c 2 {second}"}
    assert [row["id"] for row in rows] == ["2", "9007199254740993"]
    assert rows[1]["metadata"] == first
    found = duckdb.sql(
        f"SELECT id, c.status, metadata['price'] FROM '{tmp_path / 'out' / 'items.parquet'}' ORDER BY id"
    )
    assert found is not None
    assert found.fetchall() == [("2", "ok", None), ("9007199254740993", "ok", "12.30")]


def test_a_bad_line_is_a_failure_in_the_file_of_failures_and_the_others_are_answered(tmp_path: Path, plan: Any) -> None:
    """Case inputs-08."""
    lines = (
        '{"id": "0041", "content": "a"}\r\n{"id": "0042", "content": \r\n\r\n{"id": "0043", "content": "2026-01-02"}'
    )
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + lines.encode("utf-8"))
    dag, _ = joining_dag()
    files = run_file(dag, tmp_path / "in.jsonl", tmp_path / "out", plan)
    assert [(row["id"], row["content"], row["c"]["status"]) for row in files["items"]] == [
        ("0041", "a", "ok"),
        ("0043", "2026-01-02", "ok"),
    ]
    [failure] = files["failures"]
    assert (failure["dimension"], failure["error_class"]) == ("input", "bad_input")
    assert failure["item_id"].endswith("in.jsonl:line 2")


def test_a_file_without_rows_makes_files_with_full_schemas_and_no_call(tmp_path: Path, plan: Any) -> None:
    """Case inputs-09."""
    pq.write_table(
        pa.table({"id": pa.array([], pa.string()), "content": pa.array([], pa.string())}), tmp_path / "in.parquet"
    )
    dag, provider = scripted()

    @dag.dimension(output=Answer)
    def classify(item: Item) -> str:
        return "x"

    @dag.dimension(scope="global")
    def summary(items: list[Item], classify: list[Answer]) -> str:
        return "x"

    @dag.dimension
    def report(item: Item, summary: str) -> str:
        return f"x {summary}"

    files = run_file(dag, tmp_path / "in.parquet", tmp_path / "out", plan)
    assert provider.requests == []
    assert (files["items"], files["failures"], files["costs"]) == ([], [], [])
    [overall] = files["globals/summary"]
    assert (overall["status"], overall["reason"]) == ("skipped", "no items")
    schema = pq.read_schema(tmp_path / "out" / "items.parquet")
    assert schema.names == ["id", "content", "metadata", "source_ids", "classify", "report"]
    assert schema.field("classify").type.field("data").type.field("text").type == pa.string()
