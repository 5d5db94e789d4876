"""What a streaming insert to BigQuery can hold, and what becomes of the rest."""

import json

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from beam_llmdag.beam.io.bigquery.size import (
    LARGE,
    LARGEST_ROW_BYTES,
    REFUSED,
    SMALL_ROWS_PER_INSERT,
    BySize,
    refused_row,
    sent_bytes,
)
from beam_llmdag.records.records import failure_record, short_failure
from beam_llmdag.records.result import Attempt, Failure

LIMIT_OF_A_REQUEST = 10_000_000
CONTROL = "\u0001" * 2_000_000


def split(rows):
    tags = {"small": [], LARGE: [], REFUSED: []}
    for row in rows:
        for found in BySize("p.d.items").process(row):
            tagged = isinstance(found, beam.pvalue.TaggedOutput)
            tags[found.tag if tagged else "small"].append(found.value if tagged else found)
    return tags


def test_a_row_that_grows_when_it_is_sent_is_a_failure_and_its_neighbours_are_written():
    """Case beam-52."""
    rows = [{"id": f"k{n}", "a": {"data": {"text": CONTROL if n == 7 else "fine"}}} for n in range(20)]
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        sized = (
            pipeline | beam.Create(rows) | beam.ParDo(BySize("p.d.items")).with_outputs(LARGE, REFUSED, main="small")
        )
        names = sized.small | beam.Map(lambda row: row["id"])
        assert_that(names, equal_to([f"k{n}" for n in range(20) if n != 7]), label="Small")
        assert_that(sized[LARGE], equal_to([]), label="Large")
        told = sized[REFUSED] | beam.Map(lambda failure: (failure.item_id, failure.error_class))
        assert_that(told, equal_to([("k7", "not_written")]), label="Refused")
    [failure] = split(rows)[REFUSED]
    assert "item 'k7': its row is not in the table p.d.items: it is 12,000,0" in failure.message
    assert f"{LARGEST_ROW_BYTES:,}" in failure.message
    assert "\\u0001" not in failure.message


@pytest.mark.parametrize("text", ["x", "\u0001", "ü", "日", "🎉", '"', "\\"])
def test_the_size_is_counted_in_the_bytes_that_are_sent(text):
    """Case beam-52."""
    row = {"id": "a", "text": text * 1000}
    assert sent_bytes(row) == len(json.dumps(row).encode("utf-8"))


@pytest.mark.parametrize("text", ["x", "\u0001", "ü", "🎉"])
@pytest.mark.parametrize("size", [10, 5_000, 20_000, 80_000, 500_000, 1_500_000, 3_000_000, 9_000_000])
def test_what_goes_into_one_request_is_below_its_limit(text, size):
    found = split([{"id": "a", "text": text * (size // len(json.dumps(text)))}])
    for row in found["small"]:
        assert SMALL_ROWS_PER_INSERT * sent_bytes(row) < LIMIT_OF_A_REQUEST
    for row in found[LARGE]:
        assert sent_bytes(row) < LIMIT_OF_A_REQUEST
    assert found[REFUSED] == []


def test_an_id_of_megabytes_is_quoted_by_its_start():
    [failure] = split([{"id": "x" * 12_000_000}])[REFUSED]
    assert len(failure.message) < 1000
    assert failure.item_id == "x" * 12_000_000


def test_a_row_that_bigquery_refuses_is_a_failure_with_its_reasons():
    errors = [{"reason": "invalid", "message": "no such field: x" + "y" * 10_000}]
    failure = refused_row(("p:d.globals_all", {"item_id": "g", "dimension": "all_of"}, errors))
    assert (failure.dimension, failure.item_id, failure.error_class) == ("all_of", "g", "not_written")
    assert "no such field: x" in failure.message
    assert len(failure.message) < 1000


def test_a_failure_that_no_table_could_hold_is_made_short_and_others_stay():
    attempt = Attempt(model="m", raw_answer="x" * 2_000_000)
    short = Failure(dimension="a", item_id="k", error_class="truncated", message="cut")
    assert short_failure(failure_record(short)) == failure_record(short)
    long = Failure(dimension="a", item_id="k" * 9_000_000, error_class="truncated", message="cut", attempts=(attempt,))
    record = short_failure(failure_record(long))
    assert record["attempts"] == []
    assert record["item_id"].startswith("kkk")
    assert sent_bytes(record) < 100_000
