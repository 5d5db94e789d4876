"""pandas frames whose index is more than a number."""

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from beam_llmdag.errors import InputError
from beam_llmdag.records.in_memory import items_from
from beam_llmdag.records.item import Item, derived_id

REVIEWS = pd.DataFrame({"id": ["a7", "b3"], "content": ["It arrived late.", "Fine."]})


def test_an_index_called_id_is_the_id():
    """Case inputs-42."""
    assert items_from(REVIEWS.set_index("id")) == [Item("a7", "It arrived late."), Item("b3", "Fine.")]


def test_other_levels_with_a_name_are_metadata_and_those_without_are_left_out():
    """Case inputs-42: b."""
    frame = REVIEWS.assign(year=[2025, 2026], stars=[5, 1])
    expected = [
        Item("a7", "It arrived late.", {"year": 2025, "stars": 5}),
        Item("b3", "Fine.", {"year": 2026, "stars": 1}),
    ]
    assert items_from(frame.set_index(["id", "year"])) == expected
    assert items_from(frame.set_index("year")) == expected
    assert items_from(frame) == expected
    assert items_from(frame.set_index("id", append=True)) == expected
    assert items_from(pa.Table.from_pandas(frame.set_index(["id", "year"]))) == [
        Item(item.id, item.content, item.metadata) for item in expected
    ]


@pytest.mark.parametrize("index", [[0, 5], [7, 3], pd.RangeIndex(2), pd.to_datetime(["2026-01-01", "2026-01-02"])])
def test_an_index_that_only_counts_rows_is_no_field(index):
    frame = pd.DataFrame({"content": ["a", "b"]}, index=index)
    assert items_from(frame) == [Item(derived_id("a", {}), "a"), Item(derived_id("b", {}), "b")]


def test_an_index_without_a_name_is_no_field_of_a_table_either():
    frame = pd.DataFrame({"content": ["a", "b"]}, index=[4, 9])
    table = pa.Table.from_pandas(frame)
    assert "__index_level_0__" in table.column_names
    assert items_from(table) == items_from(frame) == items_from(pl.from_arrow(table))


def test_texts_in_an_index_without_a_name_may_be_the_ids_and_nobody_guesses():
    frame = pd.DataFrame({"content": ["a", "b"]}, index=["a7", "b3"])
    with pytest.raises(InputError, match=r"no column 'id', and its index holds texts .*rename_axis\('id'\)"):
        items_from(frame)
    assert [item.id for item in items_from(frame.rename_axis("id"))] == ["a7", "b3"]
    assert [item.id for item in items_from(frame.assign(id=[1, 2]))] == ["1", "2"]


def test_an_index_called_like_a_column_is_that_column_or_an_error():
    assert items_from(REVIEWS.set_index("id", drop=False)) == items_from(REVIEWS)
    frame = REVIEWS.set_index(pd.Index(["x", "y"], name="id"))
    with pytest.raises(InputError, match="an index and a column called 'id', and they differ"):
        items_from(frame)
    twice = pd.DataFrame({"content": ["a"]}, index=pd.MultiIndex.from_tuples([(1, 2)], names=["id", "id"]))
    with pytest.raises(InputError, match="more than one level called 'id'"):
        items_from(twice)


@pytest.mark.parametrize(
    ("level", "ids"),
    [
        (pd.Index([7, 8], dtype="int64"), ["7", "8"]),
        (pd.Index([7.0, 8.0]), ["7", "8"]),
        (pd.Index([7, 8], dtype="Int64"), ["7", "8"]),
        (pd.CategoricalIndex(["a", "b"]), ["a", "b"]),
        (pd.Index(["007", "NA"], dtype="string"), ["007", "NA"]),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_ids_of_any_kind_of_index_are_texts(level, ids):
    frame = pd.DataFrame({"content": ["a", "b"]}, index=level.rename("id"))
    assert [item.id for item in items_from(frame)] == ids


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
def test_an_id_that_is_missing_in_an_index_or_a_column_is_an_error_that_names_the_row(missing):
    frame = pd.DataFrame({"id": pd.Series(["a", missing], dtype=object), "content": ["x", "y"]})
    for given in (frame, frame.set_index("id")):
        with pytest.raises(InputError, match=r"row 1 \(counted from 0\): id is missing"):
            items_from(given)


def test_the_field_of_the_id_may_be_an_index_of_another_name():
    frame = REVIEWS.rename(columns={"id": "asin"}).set_index("asin")
    assert [item.id for item in items_from(frame, id_field="asin")] == ["a7", "b3"]
