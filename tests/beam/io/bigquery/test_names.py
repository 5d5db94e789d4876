from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta, timezone

import apache_beam as beam
import pytest

from beam_llmdag.beam.io.bigquery.names import Dataset, Query, Table, parse_dataset, parse_destination, parse_source
from beam_llmdag.beam.io.bigquery.read import ReadBigQueryItems
from beam_llmdag.beam.io.bigquery.run import Run
from beam_llmdag.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bigquery:my-project.shop.reviews", Table(project="my-project", dataset="shop", name="reviews")),
        ("`my-project.shop.reviews`", Table(project="my-project", dataset="shop", name="reviews")),
        ("example.com:my-project.shop.t-1", Table(project="example.com:my-project", dataset="shop", name="t-1")),
        ("bigquery:SELECT 1 AS id", Query(sql="SELECT 1 AS id")),
        ("\n with t AS (SELECT 1) SELECT * FROM t", Query(sql="\n with t AS (SELECT 1) SELECT * FROM t")),
        ("selections-1.with.select", Table(project="selections-1", dataset="with", name="select")),
    ],
)
def test_a_source_is_a_table_or_a_query(text: str, expected: Table | Query) -> None:
    assert parse_source(text) == expected


@pytest.mark.parametrize(
    "text", ["bigquery:", "bigquery:reviews", "shop.reviews", "a.b.c.d", "My-Project.shop.reviews"]
)
def test_what_is_neither_table_nor_query_is_an_error_that_says_what_is(text: str) -> None:
    with pytest.raises(InputError, match=r"write bigquery:project\.dataset\.table or 'bigquery:SELECT …'"):
        parse_source(text)


def test_a_prefix_begins_the_name_of_every_table() -> None:
    plain, prefixed = parse_destination("bigquery:my-project.shop"), parse_destination("my-project.shop.daily")
    assert plain == Dataset(project="my-project", name="shop")
    assert [str(place.table("items")) for place in (plain, prefixed)] == [
        "my-project.shop.items",
        "my-project.shop.daily_items",
    ]


@pytest.mark.parametrize("text", ["bigquery:shop", "my-project.my-shop", "my-project.shop.a.b"])
def test_what_is_no_dataset_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match=r"no dataset; write bigquery:project\.dataset"):
        parse_destination(text)


def test_a_dataset_has_no_prefix() -> None:
    with pytest.raises(InputError, match=r"my-project\.shop\.daily: no dataset; write project\.dataset"):
        parse_dataset("my-project.shop.daily")


def test_the_day_of_a_run_is_that_of_its_start_in_utc() -> None:
    run = Run(run_id="r", started_at=datetime(2026, 11, 24, 1, tzinfo=timezone(timedelta(hours=2))))
    assert run.columns() == {
        "run_id": "r",
        "run_date": "2026-11-23",
        "run_started_at": "2026-11-23T23:00:00.000000Z",
    }


def test_the_day_of_a_run_can_be_said() -> None:
    run = Run(run_id="r", started_at=datetime(2026, 11, 24, tzinfo=UTC), run_date=date(2026, 11, 1))
    assert run.columns()["run_date"] == "2026-11-01"


@pytest.mark.parametrize(
    ("run_id", "started_at", "problem"),
    [(" ", datetime(2026, 11, 24, tzinfo=UTC), "blank"), ("r", datetime(2026, 11, 24), "no zone")],
)
def test_a_run_has_a_name_and_a_time_with_a_zone(run_id: str, started_at: datetime, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Run(run_id=run_id, started_at=started_at)


def test_without_googles_packages_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.bigquery", None)
    with pytest.raises(InputError, match=r"pip install 'beam-llmdag\[gcp\]'"):
        beam.Pipeline() | ReadBigQueryItems("my-project.shop.reviews")
