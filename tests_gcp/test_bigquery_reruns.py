"""What is in a table after a run was started again, written by Beam's own connector to an emulator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_stream
from google.cloud import bigquery

from beam_llmdag.beam.io.bigquery.names import parse_source
from beam_llmdag.beam.io.bigquery.run import Run
from beam_llmdag.beam.io.bigquery.table import WriteTableRows
from beam_llmdag.errors import InputError
from beam_llmdag.records.arrow_schemas import rows_schema

METHODS = ["FILE_LOADS", "STREAMING_INSERTS"]
MONDAY = Run(run_id="monday", started_at=datetime(2026, 11, 23, tzinfo=UTC))
TUESDAY = Run(run_id="tuesday", started_at=datetime(2026, 11, 24, tzinfo=UTC))


def record(name: Any, content: str = "") -> dict[str, Any]:
    return {"id": name, "content": content, "metadata": [], "source_ids": []}


def write(dataset: str, beam_args: list[str], records: Any, run: Run = MONDAY, **options: Any) -> None:
    made = beam.Create(records) if isinstance(records, list) else records
    table: Any = parse_source(f"{dataset}.items")
    with beam.Pipeline(options=PipelineOptions(beam_args)) as pipeline:
        pipeline | made | WriteTableRows(table, rows_schema({}), run=run, **options)


def rows(client: bigquery.Client, dataset: str) -> list[tuple[str, str]]:
    found = client.query(f"SELECT id, run_id FROM `{dataset}.items` ORDER BY id, run_id").result()
    return [(row["id"], row["run_id"]) for row in found]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_started_again_under_its_name_is_in_the_table_once(
    method: Any, client: bigquery.Client, dataset: str, beam_args: list[str]
) -> None:
    write(dataset, beam_args, [record("a"), record("b")], method=method)
    write(dataset, beam_args, [record("a")], TUESDAY, method=method)
    days_later = Run(run_id="monday", started_at=datetime(2026, 11, 27, tzinfo=UTC))
    write(dataset, beam_args, [record("a"), record("c")], days_later, method=method)
    assert rows(client, dataset) == [("a", "monday"), ("a", "tuesday"), ("c", "monday")]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_replaces_leaves_other_days_alone(
    method: Any, client: bigquery.Client, dataset: str, beam_args: list[str]
) -> None:
    late = Run(run_id="late", started_at=TUESDAY.started_at)
    write(dataset, beam_args, [record("a")], method=method)
    write(dataset, beam_args, [record("b")], TUESDAY, method=method)
    write(dataset, beam_args, [record("c")], late, method=method, rerun="replace")
    assert rows(client, dataset) == [("a", "monday"), ("c", "late")]


def test_a_run_that_replaces_with_nothing_leaves_nothing_of_its_day(
    client: bigquery.Client, dataset: str, beam_args: list[str]
) -> None:
    write(dataset, beam_args, [record("a")])
    write(dataset, beam_args, [], Run(run_id="empty", started_at=MONDAY.started_at), rerun="replace")
    assert rows(client, dataset) == []


def test_the_rows_of_an_earlier_start_stay_until_all_new_ones_are_known(
    client: bigquery.Client, dataset: str, beam_args: list[str]
) -> None:
    write(dataset, beam_args, [record("a")])
    broken = {**record("c"), "metadata": [("key", object())]}
    with pytest.raises(Exception, match="object is not JSON serializable"):
        write(dataset, beam_args, [record("b"), broken])
    assert rows(client, dataset) == [("a", "monday")]


def test_a_row_that_is_too_long_for_a_streaming_insert_costs_no_other_row(
    client: bigquery.Client, dataset: str, beam_args: list[str]
) -> None:
    write(dataset, beam_args, [record("long", "x" * 10_000_000), record("short")], method="STREAMING_INSERTS")
    assert rows(client, dataset) == [("short", "monday")]


def test_a_row_that_is_too_long_for_a_streaming_insert_is_loaded_from_a_file(
    client: bigquery.Client, dataset: str, beam_args: list[str]
) -> None:
    write(dataset, beam_args, [record("long", "x" * 10_000_000)])
    [found] = client.query(f"SELECT LENGTH(content) AS n FROM `{dataset}.items`").result()
    assert found["n"] == 10_000_000


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"method": "FILE_LOADS"}, 'an unbounded input is written with method="STREAMING_INSERTS"'),
        ({"method": "STREAMING_INSERTS", "rerun": "replace"}, "it can append, not replace"),
    ],
)
def test_an_unbounded_input_can_only_be_appended_by_streaming(
    options: Any, problem: str, dataset: str, beam_args: list[str]
) -> None:
    with pytest.raises(InputError, match=problem):
        write(dataset, beam_args, test_stream.TestStream().advance_watermark_to_infinity(), **options)


def test_an_unbounded_input_leaves_earlier_rows_of_its_run(
    client: bigquery.Client, dataset: str, beam_args: list[str]
) -> None:
    write(dataset, beam_args, [record("a")])
    stream = test_stream.TestStream().add_elements([record("b")]).advance_watermark_to_infinity()
    args = [arg for arg in beam_args if "runner" not in arg]
    write(dataset, [*args, "--runner=BundleBasedDirectRunner", "--streaming"], stream, method="STREAMING_INSERTS")
    assert rows(client, dataset) == [("a", "monday"), ("b", "monday")]
