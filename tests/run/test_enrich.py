"""One line for a table: `enrich`."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel

from beam_llmdag import CallError, GraphError, InputError, enrich
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider


class Sentiment(BaseModel):
    label: Literal["good", "bad"]
    stars: int


ROWS: list[dict[str, Any]] = [{"review": "I love it", "price": 3}, {"review": "It broke", "price": None}]


def answer(request: Request) -> Any:
    prompt = str(request.messages[0].content)
    if "unspeakable" in prompt:
        return CallError("refused", "not this one")
    if request.output is None:
        return f"<{prompt}>"
    return {"label": "good", "stars": 5} if "love" in prompt else {"label": "bad", "stars": 1}


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider(answer)


def asked(table: Any, prompt: Any, provider: ScriptedProvider, **options: Any) -> Any:
    return enrich(table, prompt, model="own:m", providers={"own": provider}, **{"store": False, **options})


def test_a_pandas_frame_comes_back_with_a_column_per_field_its_index_and_types(provider: ScriptedProvider) -> None:
    given = pd.DataFrame(ROWS, index=["x", "y"])
    frame = asked(given, "Sentiment of: {review}", provider, output=Sentiment)
    assert list(frame.columns) == ["review", "price", "sentiment.label", "sentiment.stars"]
    pd.testing.assert_frame_equal(frame[["review", "price"]], given)
    assert frame["sentiment.label"].tolist() == ["good", "bad"]
    assert str(frame["sentiment.stars"].dtype) == "Int64"


@pytest.mark.parametrize("kind", [pl.DataFrame, pa.Table.from_pylist, list])
def test_other_tables_come_back_as_their_own_kind(kind: Any, provider: ScriptedProvider) -> None:
    given = kind(ROWS)
    made = asked(given, "Sentiment of: {review}", provider, output=Sentiment)
    assert type(made) is type(given)
    rows = made if isinstance(made, list) else made.to_dicts() if isinstance(made, pl.DataFrame) else made.to_pylist()
    assert rows == [
        {**ROWS[0], "sentiment.label": "good", "sentiment.stars": 5},
        {**ROWS[1], "sentiment.label": "bad", "sentiment.stars": 1},
    ]


def test_cells_are_data_and_never_templates(provider: ScriptedProvider) -> None:
    rows = [{"a b": "{c} {{x}} {", "c": 7}]
    assert asked(rows, '{a b}|{c}|{{"x": 1}}', provider)[0]["answer"] == '<{c} {{x}} {|7|{"x": 1}>'


def test_several_questions_are_asked_at_once(provider: ScriptedProvider) -> None:
    prompts = {"mood": "Mood of {review}", "cost": "Is {price} much?"}
    rows = asked(ROWS[:1], prompts, provider, output={"mood": Sentiment, "cost": str})
    assert rows[0] == {**ROWS[0], "mood.label": "good", "mood.stars": 5, "cost": "<Is 3 much?>"}


def test_an_empty_cell_is_not_asked_about_and_its_answer_is_empty(provider: ScriptedProvider) -> None:
    frame = asked(pd.DataFrame({"review": ["fine", None, float("nan"), ""]}), "Say {review}", provider, name="said")
    assert frame["said"].tolist() == ["<Say fine>", None, None, None]
    assert frame["said.status"].tolist() == ["ok", "skipped", "skipped", "skipped"]
    assert len(provider.requests) == 1


def test_where_something_failed_the_answer_is_empty_and_a_column_says_why(provider: ScriptedProvider) -> None:
    rows = asked([*ROWS, {"review": "unspeakable", "price": 1}], "{review}", provider, output=Sentiment)
    assert [row["sentiment.label"] for row in rows] == ["good", "bad", None]
    assert rows[0]["sentiment.error"] is None
    assert "not this one" in rows[2]["sentiment.error"]


def test_asked_again_what_is_known_costs_nothing(provider: ScriptedProvider, store: str) -> None:
    asked(ROWS, "{review}", provider, store=store)
    more = [*ROWS, {"review": "new", "price": 1}]
    assert asked(more, "{review}", provider, store=store)[2]["answer"] == "<new>"
    assert len(provider.requests) == 3


def test_columns_without_names_are_named_by_their_numbers(provider: ScriptedProvider) -> None:
    frame = asked(pd.DataFrame([["fine", 1]]), "{0} {1}", provider, output=str)
    assert frame["answer"].tolist() == ["<fine 1>"]


def test_a_name_that_is_taken_gets_an_underscore(provider: ScriptedProvider) -> None:
    assert asked([{"answer": "x"}], "{answer}", provider) == [{"answer": "x", "answer_": "<x>"}]


@pytest.mark.parametrize("table", [pd.DataFrame({"review": []}), pl.DataFrame({"review": []}), []])
def test_a_table_without_rows_comes_back(table: Any, provider: ScriptedProvider) -> None:
    assert len(asked(table, "{review}", provider, output=Sentiment)) == 0


@pytest.mark.parametrize(
    ("prompt", "options", "told"),
    [
        ("{reviews}", {}, "'answer': {reviews} is no column; there are 'review', 'price'. Write {{ and }} for braces"),
        ('Answer as {"x": 1}: {review}', {}, "is no column"),
        ("{review", {}, "a single {"),
        (["{review}"], {}, "a prompt is a text"),
        ({"a": "{review}"}, {"name": "b"}, "leave out name="),
        ({"a": "{review}"}, {"output": {"b": str}}, "prompts for 'a', and outputs for 'b'"),
    ],
)
def test_a_prompt_that_cannot_be_right_is_refused_before_any_call(
    prompt: Any, options: Any, told: str, provider: ScriptedProvider
) -> None:
    with pytest.raises(GraphError) as raised:
        asked(ROWS, prompt, provider, **options)
    assert told in str(raised.value)
    assert provider.requests == []


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("reviews.csv", "not a str"),
        (iter(ROWS), "not a list_iterator"),
        (["a text"], "not a list with other things"),
        (ROWS[0], "not a dict"),
    ],
)
def test_what_is_no_table_is_refused_before_any_call(table: Any, told: str, provider: ScriptedProvider) -> None:
    with pytest.raises(InputError, match=told):
        asked(table, "{review}", provider)
    assert provider.requests == []
