import datetime

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from beam_llmdag.errors import InputError
from beam_llmdag.records.in_memory import items_from
from beam_llmdag.records.item import Item, derived_id


def test_a_generator_of_mixed_records_becomes_items_in_order():
    records = (record for record in [{"id": 2, "content": "b"}, "a", Item("1", "c")])
    assert items_from(records) == [Item("2", "b"), Item(derived_id("a", {}), "a"), Item("1", "c")]


def test_one_and_the_text_one_are_a_duplicate():
    """Case inputs-04."""
    records = [{"id": 1, "content": "x"}, {"id": "1", "content": "y"}, {"id": 2, "content": "z"}]
    with pytest.raises(InputError, match="duplicate ids: 1 of 2 ids are not unique: '1'"):
        items_from(records)


def test_integer_ids_become_text():
    """Case inputs-04, second run."""
    assert [item.id for item in items_from([{"id": 1, "content": "x"}, {"id": 2, "content": "z"}])] == ["1", "2"]


def test_duplicate_ids_are_named_and_counted():
    """Case inputs-05."""
    records = [{"id": f"r{n % 12}", "content": str(n)} for n in range(24)]
    with pytest.raises(InputError, match=r"duplicate ids: 12 of 12 .*: 'r0', 'r1',.* 'r9' and 2 more"):
        items_from(records)


def test_equal_records_without_ids_are_numbered():
    first = derived_id("a", {})
    assert [item.id for item in items_from(["a", "b", "a", "a"])] == [
        first,
        derived_id("b", {}),
        f"{first}-2",
        f"{first}-3",
    ]


@pytest.mark.parametrize("single", ["text", b"bytes", {"content": "x"}, Item("a", "x")])
def test_a_single_record_is_an_error_that_says_to_pass_a_list(single):
    with pytest.raises(InputError, match=r"pass \[it\] instead"):
        items_from(single)


def test_a_frame_with_a_gap_in_its_ids_is_an_error_that_names_the_row():
    """Case inputs-06."""
    frame = pd.DataFrame({"id": [1, 2, None], "content": ["x", None, "z"]})
    with pytest.raises(InputError, match=r"row 2 \(counted from 0\): id is missing \(null or empty\)"):
        items_from(frame)


def test_a_frame_with_gaps_has_no_nan_in_its_items():
    """Case inputs-06: ids that pandas made 1.0 and 2.0, null content, NaN and NaT."""
    frame = pd.DataFrame(
        {
            "id": [1, 2, None],
            "content": ["x", None, "z"],
            "when": [pd.Timestamp("2026-01-02", tz="UTC"), pd.NaT, pd.NaT],
            "score": [0.5, float("nan"), 1.0],
        }
    )
    assert items_from(frame.iloc[:2]) == [
        Item("1", "x", {"when": "2026-01-02T00:00:00+00:00", "score": 0.5}),
        Item("2", "", {"when": None, "score": None}),
    ]


def test_a_frame_with_integer_ids_keeps_large_ones_exact():
    frame = pd.DataFrame({"id": [9007199254740993], "content": ["x"], "share": [0.5]})
    assert items_from(frame) == [Item("9007199254740993", "x", {"share": 0.5})]


def test_a_frame_with_a_column_name_twice_is_an_error():
    with pytest.raises(InputError, match="more than one column called 'content'"):
        items_from(pd.DataFrame([[1, "a", "b"]], columns=["id", "content", "content"]))


def test_a_polars_frame_becomes_items_with_nanoseconds_kept():
    at = pl.Series([1], dtype=pl.Datetime("ns", "UTC"))
    frame = pl.DataFrame({"id": ["007"], "content": ["x"], "at": at, "tags": [["a"]]})
    assert items_from(frame) == [Item("007", "x", {"at": "1970-01-01T00:00:00.000000001+00:00", "tags": ["a"]})]


def test_an_arrow_table_becomes_items():
    table = pa.table({"id": [9007199254740993], "content": ["x"], "day": [datetime.date(2026, 3, 29)]})
    assert items_from(table) == [Item("9007199254740993", "x", {"day": "2026-03-29"})]


def test_a_value_of_a_table_that_cannot_be_read_is_an_error_that_names_its_row():
    table = pa.table({"content": ["x", "y"], "at": pa.array([0, 2**62], pa.timestamp("us"))})
    with pytest.raises(InputError, match=r"row 1 \(counted from 0\): column 'at' of type timestamp"):
        items_from(table)


def test_no_records_are_no_items():
    """Case inputs-09."""
    assert items_from([]) == []
    assert items_from(pd.DataFrame({"id": [], "content": []})) == []
