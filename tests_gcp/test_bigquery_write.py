"""Results in BigQuery, written by Beam's own connector to an emulator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from google.cloud import bigquery
from pydantic import BaseModel

from beam_llmdag.beam.io.bigquery.run import Run
from beam_llmdag.beam.io.bigquery.write import WriteBigQueryResults
from beam_llmdag.beam.llm_dag import Results
from beam_llmdag.dag import Dag
from beam_llmdag.errors import InputError
from beam_llmdag.records.item import Item
from beam_llmdag.records.result import Attempt, CostRow, Failure, Result, Row
from beam_llmdag.usage import Usage

MODEL = "openai:gpt-5-mini"
METHODS = ["FILE_LOADS", "STREAMING_INSERTS"]
MONDAY = Run(run_id="monday", started_at=datetime(2026, 11, 23, 23, 30, tzinfo=UTC))


class Part(BaseModel):
    name: str
    stars: int | None
    cost_nano_usd: int


class Review(BaseModel):
    label: str
    confidence: float
    topics: list[str | None]
    parts: list[Part]
    scores: dict[str, float]
    extra: Any


ANSWER = {
    "label": "good ü",
    "confidence": 0.25,
    "topics": ["price", None, "size"],
    "parts": [{"name": "lid", "stars": 2**62 + 1, "cost_nano_usd": 5}],
    "scores": {"taste": 1.5},
    "extra": {"any": ["thing", 1]},
}


def _prompt() -> str:
    return "?"


def review_dag() -> Dag:
    dag = Dag("reviews", model=MODEL)
    dag.dimension(_prompt, name="review", output=Review)
    dag.dimension(_prompt, name="overall", output=Part, scope="global")
    return dag


def row(name: str, data: Any = None) -> Row:
    usage = Usage(input_tokens=10, output_tokens=2)
    attempts = tuple(Attempt(model=MODEL, usage=usage, cost_nano_usd=nano_usd) for nano_usd in (1, 1_234_567_890))
    status: Any = "failed" if data is None else "ok"
    result = Result(dimension="review", item_id=name, status=status, data=data, attempts=attempts)
    item = Item(name, f"text {name}", {"lang": "de", "stars": 5, "nested": {"a": [1, None]}})
    return Row(item=item, results={"review": result})


def write(dataset: str, beam_args: list[str], rows: list[Row], run: Run = MONDAY, **options: Any) -> None:
    overall = Result(
        dimension="overall", item_id="", status="ok", data={"name": "all", "stars": None, "cost_nano_usd": 7}
    )
    failure = Failure(dimension="review", item_id="b", error_class="timeout", message="no answer")
    bill = Attempt(model=MODEL, usage=Usage(input_tokens=3), cost_nano_usd=1_500)
    cost = CostRow(dimension="review", item_id="a", number=1, attempt=bill)
    with beam.Pipeline(options=PipelineOptions(beam_args)) as pipeline:
        results = Results(
            pipeline | "rows" >> beam.Create(rows),
            pipeline | "globals" >> beam.Create([overall]),
            pipeline | "failures" >> beam.Create([failure]),
            pipeline | "costs" >> beam.Create([cost]),
            {},
        )
        results | WriteBigQueryResults(review_dag(), dataset, run=run, **options)


def read(client: bigquery.Client, table: str, columns: str = "*", order: str = "id") -> list[dict[str, Any]]:
    return [dict(found) for found in client.query(f"SELECT {columns} FROM `{table}` ORDER BY {order}").result()]


@pytest.fixture(scope="module", params=METHODS)
def written(request: pytest.FixtureRequest, new_dataset: Callable[[], str], beam_args: list[str]) -> str:
    """A dataset with the results of a good item and a failed one, in tables that begin with `shop_`."""
    dataset = new_dataset()
    write(f"{dataset}.shop", beam_args, [row("a", ANSWER), row("b")], method=request.param)
    return f"{dataset}.shop"


def test_answers_come_back_as_records_and_arrays_with_exact_numbers(client: bigquery.Client, written: str) -> None:
    found = read(client, f"{written}_items")[0]
    assert {name: found[name] for name in ("run_id", "run_date", "id", "content", "source_ids")} == {
        "run_id": "monday",
        "run_date": date(2026, 11, 23),
        "id": "a",
        "content": "text a",
        "source_ids": [],
    }
    assert found["run_started_at"] == MONDAY.started_at
    assert found["metadata"] == {"lang": "de", "stars": 5, "nested": {"a": [1, None]}}
    data = found["review"]["data"]
    assert {name: data[name] for name in ("label", "confidence", "topics", "parts")} == {
        "label": "good ü",
        "confidence": 0.25,
        "topics": ["price", "size"],
        "parts": ANSWER["parts"],
    }
    assert found["review"]["reason"] == "not in this table, since an array of BigQuery holds no null: data.topics[1]"
    assert found["review"]["cost_usd"] == Decimal("1.234567891")
    assert [(attempt["cost_usd"], attempt["input_tokens"]) for attempt in found["review"]["attempts"]] == [
        (Decimal("0.000000001"), 10),
        (Decimal("1.234567890"), 10),
    ]


def test_what_has_no_one_type_is_json_that_sql_looks_into(client: bigquery.Client, written: str) -> None:
    columns = (
        "JSON_VALUE(metadata, '$.nested.a[0]') AS nested, JSON_VALUE(review.data.scores, '$.taste') AS taste, "
        "JSON_VALUE(review.data.extra, '$.any[0]') AS extra"
    )
    found = read(client, f"{written}_items", columns)[0]
    assert found == {"nested": "1", "taste": "1.5", "extra": "thing"}


def test_a_failed_answer_is_a_row_without_data(client: bigquery.Client, written: str) -> None:
    found = read(client, f"{written}_items", "id, review.status, review.data")[1]
    assert found == {"id": "b", "status": "failed", "data": None}


def test_failures_costs_and_globals_have_tables_of_their_own(client: bigquery.Client, written: str) -> None:
    assert read(client, f"{written}_failures", "run_id, item_id, error_class, message", "item_id") == [
        {"run_id": "monday", "item_id": "b", "error_class": "timeout", "message": "no answer"}
    ]
    assert read(client, f"{written}_costs", "item_id, attempt, input_tokens, cost_usd", "item_id") == [
        {"item_id": "a", "attempt": 1, "input_tokens": 3, "cost_usd": Decimal("0.0000015")}
    ]
    assert read(client, f"{written}_globals_overall", "dimension, data", "dimension") == [
        {"dimension": "overall", "data": {"name": "all", "stars": None, "cost_nano_usd": 7}}
    ]


def test_tables_are_partitioned_by_run_date_and_clustered_by_run_id_also_without_rows(
    client: bigquery.Client, dataset: str, beam_args: list[str]
) -> None:
    write(dataset, beam_args, [], method="STREAMING_INSERTS")
    table = client.get_table(f"{dataset}.items")
    assert (table.time_partitioning.field, table.time_partitioning.type_, table.clustering_fields, table.num_rows) == (
        "run_date",
        "DAY",
        ["run_id"],
        0,
    )


def test_a_table_that_does_not_fit_the_dag_is_an_error_before_the_run(
    client: bigquery.Client, dataset: str, beam_args: list[str]
) -> None:
    columns = [bigquery.SchemaField("run_id", "STRING"), bigquery.SchemaField("run_date", "STRING")]
    client.create_table(bigquery.Table(f"{dataset}.items", schema=columns))
    with pytest.raises(InputError, match="its column run_date is STRING and not DATE; it lacks the column run_started"):
        write(dataset, beam_args, [row("a")])


def test_a_dataset_that_is_not_there_is_an_error_that_says_how_to_make_it(beam_args: list[str]) -> None:
    with pytest.raises(InputError, match="bq mk --location=EU --dataset test-project:nowhere"):
        write("test-project.nowhere", beam_args, [row("a")])
