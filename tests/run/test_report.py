"""What a person sees of a run, and what programs read of it."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa
import pytest
from pydantic import BaseModel

from beam_llmdag import CallError, Dag, Item, Price, Report, Usage
from beam_llmdag.model import Answer, Request
from beam_llmdag.testing import ScriptedProvider


class Verdict(BaseModel):
    label: Literal["good", "bad"]
    scores: dict[str, int]


def answered(request: Request) -> Any:
    prompt = str(request.messages[0].content)
    usage = Usage(input_tokens=1000, output_tokens=50)
    if prompt == "verdict broken":
        return CallError("refused", "not <this> one", usage=usage)
    text = '{"label": "good", "scores": {"b": 2, "a": 1}}' if prompt.startswith("verdict") else prompt
    return Answer(text=text, usage=usage)


def sample_report(**options: Any) -> Report:
    prices = {"scripted:m": Price(input=0.25, output=2.0)}
    providers = {"scripted": ScriptedProvider(answered)}
    dag = Dag("reviews", model="scripted:m", providers=providers, prices=prices)

    @dag.dimension(output=Verdict)
    def verdict(item: Item) -> str:
        return f"verdict {item.id}"

    @dag.dimension(skip_if=lambda item: item.id == "2")
    def words(item: Item) -> str:
        return f"words {item.id}"

    @dag.dimension(scope="global", model="scripted:free")
    def all_of(items: list[Item], verdict: list[Verdict]) -> str:
        return ",".join(item.id for item in items)

    @dag.regroup
    def by_label(items: list[Item], verdict: list[Verdict], all_of: str) -> dict[str, list[str]]:
        return {"good": [item.id for item, found in zip(items, verdict, strict=True) if found]}

    @dag.dimension(over=by_label)
    def digest(item: Item) -> str:
        return f"digest {item.id}"

    names = options.pop("ids", ["2", "1", "broken"])
    items = [{"id": name, "content": f"text {name}", "stars": 4} for name in names]
    return dag.run(items, **options)


def test_the_repr_is_a_table_by_dimension_and_model_and_the_failures() -> None:
    assert repr(sample_report()) == (
        "               items  calls  skipped  failed  tokens in  tokens out      cost $\n"
        "───────────────────────────────────────────────────────────────────────────────\n"
        "verdict            3      3        0       1      3,000         150    0.001050\n"
        "words              3      2        1       0      2,000         100    0.000700\n"
        "all_of             1      1        0       0      1,000          50  ≥ 0.000000\n"
        "digest             1      1        0       0      1,000          50    0.000350\n"
        "───────────────────────────────────────────────────────────────────────────────\n"
        "scripted:free      1      1        0       0      1,000          50  ≥ 0.000000\n"
        "scripted:m         6      6        0       1      6,000         300    0.002100\n"
        "───────────────────────────────────────────────────────────────────────────────\n"
        "total              3      7        1       1      7,000         350  ≥ 0.002100\n"
        "all_of did not see 1 of its rows: they lack answers that it needs\n"
        "the cost is a lower bound: 1 calls of scripted:free have no known cost\n"
        "failed: dimension 'verdict', item 'broken': scripted:m: not <this> one"
    )


def test_in_a_notebook_the_repr_is_escaped() -> None:
    shown = sample_report()._repr_html_()
    assert shown.startswith("<pre>")
    assert "not &lt;this&gt; one" in shown


def test_only_the_first_failures_are_shown() -> None:
    dag = Dag("failing", model="scripted:m", providers={"scripted": ScriptedProvider([CallError("refused", "no")])})

    @dag.dimension
    def each(item: Item) -> str:
        return "x"

    lines = repr(dag.run([str(number) for number in range(8)])).split("\n")
    assert sum(line.startswith("failed: ") for line in lines) == 5
    assert lines[-1] == "… and 3 more failures, see .failures"


def test_what_the_store_answered_is_said(tmp_path: Any) -> None:
    sample_report(store=tmp_path / "a.sqlite", ids=["1"])
    assert "4 answers came from the store and cost nothing" in repr(
        sample_report(store=tmp_path / "a.sqlite", ids=["1"])
    )


def test_answers_are_typed_and_named_by_item_group_or_nothing() -> None:
    report = sample_report()
    assert report.answers("verdict") == {
        "2": Verdict(label="good", scores={"b": 2, "a": 1}),
        "1": Verdict(label="good", scores={"b": 2, "a": 1}),
    }
    assert report.answers("all_of") == {"": "1,2"}
    assert report.answers("digest") == {"good": "digest good"}
    with pytest.raises(KeyError):
        report.answers("unknown")


def test_rows_are_nested_plain_data_in_the_order_of_the_items() -> None:
    rows = sample_report().to_rows()
    assert [row["id"] for row in rows] == ["2", "1", "broken"]
    assert list(rows[0]) == ["id", "content", "metadata", "source_ids", "verdict", "words"]
    assert rows[0]["metadata"] == {"stars": 4}
    assert rows[0]["verdict"]["data"] == {"label": "good", "scores": {"b": 2, "a": 1}}
    assert (rows[0]["words"]["status"], rows[0]["words"]["reason"]) == ("skipped", "its skip_if is true")
    assert (rows[2]["verdict"]["status"], rows[2]["verdict"]["data"]) == ("failed", None)
    assert rows[1]["verdict"]["cost_nano_usd"] == 350_000


def test_rows_of_a_regroup_are_its_new_items() -> None:
    [row] = sample_report().to_rows("by_label")
    assert (row["id"], row["source_ids"], row["digest"]["data"]) == ("good", ["1", "2"], "digest good")


def test_the_arrow_schema_does_not_depend_on_the_answers() -> None:
    all_failed = sample_report(ids=["broken"]).to_arrow()
    nothing = sample_report(ids=[]).to_arrow()
    assert sample_report().to_arrow().schema == all_failed.schema
    assert nothing.drop_columns("metadata").schema == all_failed.drop_columns("metadata").schema
    data = all_failed.schema.field("verdict").type.field("data").type
    assert data.field("scores").type == pa.map_(pa.string(), pa.int64())
    assert (all_failed.num_rows, nothing.num_rows) == (1, 0)


def test_the_summary_has_the_documented_keys_and_exact_sums() -> None:
    summary = sample_report().summary.to_json()
    assert {"items", "calls", "skipped", "failed", "tokens", "cost_usd", "by_dimension", "by_model"} <= set(summary)
    assert (summary["items"], summary["calls"], summary["skipped"], summary["failed"]) == (3, 7, 1, 1)
    nothing = {"cache_read": 0, "cache_write": 0, "cache_write_1h": 0, "reasoning": 0}
    assert summary["tokens"] == {"input": 7000, "output": 350, **nothing}
    assert summary["cost_usd"] == 0.0021
    assert (summary["cost_is_complete"], summary["unpriced_models"]) == (False, ["scripted:free"])
    assert (
        set(summary["by_dimension"]["verdict"])
        == set(summary["by_model"]["scripted:m"])
        == (set(summary) - {"by_dimension", "by_model", "cost_is_complete", "unpriced_models"})
    )
