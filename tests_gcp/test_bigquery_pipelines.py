"""The example pipelines from BigQuery to BigQuery, with the simulated model."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery
from helpers.places import EXAMPLES

from pipelines import category_analysis, review_analysis


@pytest.fixture
def reviews(client: bigquery.Client, dataset: str) -> str:
    """The table of the example's first reviews."""
    lines = (EXAMPLES / "reviews_20.jsonl").read_text(encoding="utf-8").splitlines()[:4]
    rows = [json.loads(line) for line in lines]
    columns = [bigquery.SchemaField("id", "STRING"), bigquery.SchemaField("content", "STRING")]
    client.create_table(bigquery.Table(f"{dataset}.reviews", schema=columns))
    few = [{name: row[name] for name in ("id", "content")} for row in rows]
    assert client.insert_rows_json(f"{dataset}.reviews", few) == []
    return f"{dataset}.reviews"


def found(client: bigquery.Client, sql: str) -> list[dict[str, Any]]:
    return [dict(row) for row in client.query(sql).result()]


def test_reviews_of_a_query_become_tables_and_a_run_started_again_is_in_them_once(
    client: bigquery.Client,
    reviews: str,
    dataset: str,
    beam_args: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary = tmp_path / "summary.json"
    args = ["--input", f"bigquery:SELECT id, content FROM `{reviews}`", "--output", f"bigquery:{dataset}.shop"]
    args += ["--model", "simulated", "--run-id", "first", "--run-date", "2026-11-25", "--temp-dataset", dataset]
    args += ["--write-method", "STREAMING_INSERTS", "--summary", f"{summary}", "--show", "1", *beam_args]
    review_analysis.run(args)
    review_analysis.run(args)
    sql = f"SELECT COUNT(*) AS n, MIN(run_date) AS day, MIN(run_id) AS run FROM `{dataset}.shop_items`"
    [rows] = found(client, sql)
    assert (rows["n"], rows["day"].isoformat(), rows["run"]) == (4, "2026-11-25", "first")
    totals = json.loads(summary.read_text(encoding="utf-8"))
    assert (totals["items"], totals["failed"]) == (4, 0)
    assert found(client, f"SELECT SUM(cost_usd) AS cost_usd FROM `{dataset}.shop_costs`") == [
        {"cost_usd": Decimal(str(totals["cost_usd"]))}
    ]
    assert [row["summary"] for row in found(client, f"SELECT summary FROM `{dataset}.shop_runs`")] == [totals]
    printed = capsys.readouterr().out
    assert f"results: bigquery:{dataset}.shop\n\nr01: " in printed


def test_groups_and_globals_go_to_tables_by_load_jobs(
    client: bigquery.Client, reviews: str, dataset: str, beam_args: list[str]
) -> None:
    args = ["--input", f"bigquery:{reviews}", "--output", f"bigquery:{dataset}", "--model", "simulated"]
    category_analysis.run([*args, *beam_args])
    assert sorted(table.table_id for table in client.list_tables(dataset)) == [
        "costs",
        "failures",
        "globals_by_category",
        "globals_group",
        "items",
        "regrouped_by_category",
        "reviews",
        "runs",
    ]
    classified = found(client, f"SELECT classify.status, COUNT(*) AS n FROM `{dataset}.items` GROUP BY classify.status")
    assert classified == [{"status": "ok", "n": 4}]
    assert found(client, f"SELECT status FROM `{dataset}.globals_group`") == [{"status": "ok"}]
