"""Items from BigQuery, read by Beam's own connector from an emulator."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from google.cloud import bigquery

from beam_llmdag.beam.io.bigquery.read import ReadBigQueryItems
from beam_llmdag.errors import InputError
from beam_llmdag.records.item import Item, derived_id
from beam_llmdag.records.result import Failure

METHODS = ["DIRECT_READ", "EXPORT"]
COLUMNS = [
    bigquery.SchemaField("id", "STRING"),
    bigquery.SchemaField("content", "STRING"),
    bigquery.SchemaField("stars", "INT64"),
    bigquery.SchemaField("price", "NUMERIC"),
    bigquery.SchemaField("at", "TIMESTAMP"),
    bigquery.SchemaField("day", "DATE"),
    bigquery.SchemaField("tags", "STRING", "REPEATED"),
    bigquery.SchemaField("shop", "RECORD", fields=[bigquery.SchemaField("name", "STRING")]),
    bigquery.SchemaField("more", "JSON"),
]
ROW = {
    "id": "007",
    "content": "gut",
    "stars": str(2**62 + 1),
    "price": "12.300000001",
    "at": "2026-11-25T01:30:00.123456Z",
    "day": "2026-11-25",
    "tags": ["x", "y"],
    "shop": {"name": "Süd"},
    "more": '{"a": [1, null]}',
}
ITEM = Item(
    "007",
    "gut",
    {
        "stars": 2**62 + 1,
        "price": "12.300000001",
        "at": "2026-11-25T01:30:00.123456+00:00",
        "day": "2026-11-25",
        "tags": ["x", "y"],
        "shop": {"name": "Süd"},
        "more": {"a": [1, None]},
    },
)


@pytest.fixture
def reviews(client: bigquery.Client, dataset: str) -> str:
    """A table of one review."""
    table = bigquery.Table(f"{dataset}.reviews", schema=COLUMNS)
    client.create_table(table)
    assert client.insert_rows_json(table, [ROW]) == []
    return f"{dataset}.reviews"


def check(
    beam_args: list[str], source: str, items: list[Item], failures: list[Failure] | None = None, **options: Any
) -> None:
    with beam.Pipeline(options=PipelineOptions(beam_args)) as pipeline:
        found = pipeline | ReadBigQueryItems(source, **options)
        assert_that(found.items, equal_to(items), label="items")
        assert_that(found.failures, equal_to(failures or []), label="failures")


@pytest.mark.parametrize("method", METHODS)
def test_a_row_of_a_table_is_an_item_with_exact_values(method: Any, reviews: str, beam_args: list[str]) -> None:
    check(beam_args, reviews, [ITEM], method=method)


@pytest.mark.parametrize("method", METHODS)
def test_a_row_of_a_query_is_an_item(method: Any, reviews: str, dataset: str, beam_args: list[str]) -> None:
    query = f"SELECT id, UPPER(content) AS text, stars - 1 AS less FROM `{reviews}`"
    wanted = [Item("007", "GUT", {"less": 2**62})]
    check(beam_args, f"bigquery:{query}", wanted, content_field="text", temp_dataset=dataset, method=method)


def test_rows_without_an_id_column_get_derived_ids(reviews: str, dataset: str, beam_args: list[str]) -> None:
    query = f"SELECT content FROM `{reviews}` UNION ALL SELECT content FROM `{reviews}`"
    name = derived_id("gut", {})
    check(beam_args, query, [Item(name, "gut"), Item(f"{name}-2", "gut")], temp_dataset=dataset)


def test_a_row_without_an_id_is_a_failure_that_shows_it(
    client: bigquery.Client, dataset: str, beam_args: list[str]
) -> None:
    table = bigquery.Table(f"{dataset}.few", schema=COLUMNS[:2])
    client.create_table(table)
    assert client.insert_rows_json(table, [{"id": None, "content": "lost"}, {"id": "b", "content": "found"}]) == []
    where = f"{dataset}.few: the row that begins {{'id': None, 'content': 'lost'}}"
    message = f"{where}: id is missing (null or empty); fill it in, or leave the whole field out"
    failure = Failure(dimension="input", item_id=where, error_class="bad_input", message=message)
    check(beam_args, f"{dataset}.few", [Item("b", "found")], [failure])


def test_reading_leaves_every_dataset_in_place(
    client: bigquery.Client, reviews: str, dataset: str, beam_args: list[str]
) -> None:
    before = sorted(found.dataset_id for found in client.list_datasets())
    check(beam_args, reviews, [ITEM])
    assert sorted(found.dataset_id for found in client.list_datasets()) == before
    assert [table.table_id for table in client.list_tables(dataset)] == ["reviews"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("test-project.nowhere.reviews", "test-project.nowhere.reviews: "),
        ("SELECT id FROM `test-project.nowhere.reviews`", "SELECT id FROM `test-project.nowhere.reviews`: "),
        ("SELECT 1 AS id, 'x' AS text", "query: no column 'content'; its columns are 'id', 'text'"),
    ],
)
def test_a_wrong_source_is_an_error_before_the_run(source: str, problem: str, beam_args: list[str]) -> None:
    with pytest.raises(InputError, match=problem):
        check(beam_args, source, [])
