"""A frame in, a frame out."""

from __future__ import annotations

import datetime
from typing import Any, Literal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel

from beam_llmdag import CallError, Dag, Item
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider


class Author(BaseModel):
    name: str
    age: int | None


class Verdict(BaseModel):
    label: Literal["good", "bad"]
    stars: int
    sure: bool
    share: float
    tags: list[str]
    author: Author
    day: datetime.date


VERDICT = {
    "label": "good",
    "stars": 5,
    "sure": True,
    "share": 0.5,
    "tags": ["a", "b"],
    "author": {"name": "Zoe", "age": None},
    "day": "2026-01-02",
}
FIELDS = [f"verdict.{name}" for name in VERDICT]


def answered(request: Request) -> Any:
    prompt = str(request.messages[0].content)
    if "broken" in prompt:
        return CallError("refused", "not this one")
    return VERDICT if prompt.startswith("verdict") else f"<{prompt}>"


def review_dag() -> Dag:
    dag = Dag("reviews", model="scripted:m", providers={"scripted": ScriptedProvider(answered)})

    @dag.dimension(output=Verdict)
    def verdict(item: Item) -> str:
        return f"verdict {item.content}"

    @dag.dimension
    def words(item: Item, verdict: Verdict) -> str:
        return f"words {item.id}"

    return dag


def reviews(*contents: str) -> pd.DataFrame:
    index = pd.Index([f"k{number}" for number, _ in enumerate(contents)], name="id")
    when = pd.to_datetime(["2026-01-02"] * len(contents))
    return pd.DataFrame({"when": when, "content": list(contents), "price": 1.5}, index=index)


def test_a_pandas_frame_comes_back_with_a_column_for_each_field_of_an_answer() -> None:
    given = reviews("fine", "great")
    frame = review_dag().run(given).to_pandas()
    assert list(frame.columns) == ["when", "content", "price", *FIELDS, "words"]
    pd.testing.assert_frame_equal(frame[["when", "content", "price"]], given)
    assert frame.loc["k1", "verdict.author"] == {"name": "Zoe", "age": None}
    assert frame["verdict.tags"].tolist() == [["a", "b"]] * 2
    assert frame["words"].tolist() == ["<words k0>", "<words k1>"]
    assert frame["verdict.stars"].sum() == 10
    assert list(given.columns) == ["when", "content", "price"]


def test_where_something_failed_there_are_columns_that_say_so() -> None:
    frame = review_dag().run(reviews("fine", "broken")).to_pandas()
    own = ["verdict.status", "verdict.error", "words", "words.status", "words.error"]
    assert list(frame.columns) == ["when", "content", "price", *FIELDS, *own]
    assert frame["verdict.status"].tolist() == ["ok", "failed"]
    assert frame["verdict.error"].tolist()[0] is None
    assert "not this one" in frame["verdict.error"].tolist()[1]
    assert frame["words.status"].tolist() == ["ok", "skipped"]
    assert "verdict" in frame["words.error"].tolist()[1]
    assert [str(frame[name].dtype) for name in ("verdict.stars", "verdict.sure", "verdict.share")] == [
        "Int64",
        "boolean",
        "float64",
    ]
    assert frame["verdict.stars"].tolist() == [5, pd.NA]


def test_a_polars_frame_comes_back_as_one() -> None:
    given = pl.from_pandas(reviews("fine", "broken"), include_index=True)
    frame = review_dag().run(given).to_polars()
    assert frame.columns[:4] == ["id", "when", "content", "price"]
    assert frame.select(given.columns).equals(given)
    assert frame["verdict.stars"].to_list() == [5, None]
    assert frame["verdict.author"].to_list() == [{"name": "Zoe", "age": None}, None]
    assert frame["verdict.status"].to_list() == ["ok", "failed"]
    assert frame.schema["verdict.tags"] == pl.List(pl.String)


@pytest.mark.parametrize("make", [pl.from_pandas, pa.Table.from_pandas, lambda frame: frame])
def test_every_kind_of_frame_becomes_every_other(make: Any) -> None:
    given = make(reviews("fine", "great").reset_index())
    report = review_dag().run(given)
    columns = ["id", "when", "content", "price", *FIELDS, "words"]
    assert list(report.to_pandas().columns) == columns
    assert report.to_polars().columns == columns
    assert report.to_polars()["words"].to_list() == report.to_pandas()["words"].tolist()


def test_an_index_with_a_name_is_a_column_of_a_polars_frame() -> None:
    frame = review_dag().run(reviews("fine")).to_polars()
    assert frame["id"].to_list() == ["k0"]


def test_items_that_are_no_frame_become_one() -> None:
    items = [{"asin": 7, "text": "fine", "stars": 5}, {"asin": 8, "text": "great", "tags": ["x"]}]
    report = review_dag().run(items, id_field="asin", content_field="text")
    for frame in (report.to_pandas(), report.to_polars()):
        assert list(frame.columns) == ["asin", "text", "stars", "tags", *FIELDS, "words"]
    assert report.to_polars()["stars"].to_list() == [5, None]
    assert report.to_pandas()["asin"].tolist() == ["7", "8"]


def test_nothing_becomes_a_frame_without_rows_and_with_the_columns_of_the_answers() -> None:
    report = review_dag().run([])
    for frame in (report.to_pandas(), report.to_polars()):
        assert list(frame.columns) == ["id", "content", *FIELDS, "words"]
        assert len(frame) == 0


def test_a_column_that_is_called_like_an_answer_stays_and_the_answer_gets_an_underscore() -> None:
    given = pd.DataFrame({"content": ["fine"], "words": ["mine"], "verdict.label": ["mine"]})
    report = review_dag().run(given)
    for frame in (report.to_pandas(), report.to_polars()):
        assert list(frame["words"]) == ["mine"]
        assert list(frame["verdict.label"]) == ["mine"]
        assert list(frame["verdict.label_"]) == ["good"]
        assert str(next(iter(frame["words_"]))).startswith("<words")


def test_the_new_items_of_a_regroup_are_a_frame_of_their_own() -> None:
    dag = review_dag()

    @dag.dimension(scope="global")
    def overall(items: list[Item]) -> str:
        return "all"

    @dag.regroup
    def by_all(items: list[Item], overall: str) -> dict[str, list[str]]:
        return {"all": [item.id for item in items]}

    @dag.dimension(over=by_all)
    def digest(item: Item) -> str:
        return f"digest {item.id}"

    report = dag.run(reviews("fine", "great"))
    for frame in (report.to_pandas("by_all"), report.to_polars("by_all")):
        assert list(frame.columns) == ["id", "content", "source_ids", "digest"]
        assert [list(ids) for ids in frame["source_ids"]] == [["k0", "k1"]]
    assert "digest" not in report.to_pandas().columns
