import subprocess
import sys
from decimal import Decimal
from uuid import UUID

import pytest

from beam_llmdag.errors import InputError
from beam_llmdag.records.item import Item, derived_id, id_text, item_and_origin, item_from


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("007", "007"),
        ("NA", "NA"),
        (" a ", " a "),
        (1, "1"),
        (9007199254740993, "9007199254740993"),
        (1.0, "1"),
        (-2.0, "-2"),
        (2.0**53 - 1, "9007199254740991"),
        (Decimal("12.00"), "12"),
        (Decimal("9007199254740993"), "9007199254740993"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_an_id_is_text(given, expected):
    assert id_text(given, where="row 0") == expected


@pytest.mark.parametrize("given", [None, float("nan"), "", " \t"])
def test_an_id_that_is_null_or_blank_is_an_error_that_names_the_row(given):
    """Case inputs-06."""
    with pytest.raises(InputError, match=r"row 2: id is missing \(null or empty\)"):
        id_text(given, where="row 2")


def test_a_float_id_that_may_be_rounded_is_an_error():
    """Case inputs-06: pandas has already made 9007199254740992.0 of 9007199254740993."""
    with pytest.raises(InputError, match="row 0: id 9007199254740992 came as a float and may already be rounded"):
        id_text(9007199254740993.0, where="row 0")


@pytest.mark.parametrize("given", [0.5, Decimal("0.5"), True, b"a", [1]])
def test_an_id_that_is_neither_text_nor_a_whole_number_is_an_error(given):
    with pytest.raises(InputError, match="an id is a text or a whole number"):
        id_text(given, where="row 0")


def test_other_fields_become_metadata():
    record = {"id": 7, "content": "x", "price": Decimal("12.30"), "tags": ("a",)}
    assert item_from(record, where="row 0") == Item("7", "x", {"price": "12.30", "tags": ["a"]})


def test_a_mapping_called_metadata_is_merged_with_the_other_fields():
    record = {"id": "a", "content": "x", "metadata": {"lang": "de"}, "stars": 5}
    assert item_from(record, where="row 0") == Item("a", "x", {"stars": 5, "lang": "de"})


def test_a_text_called_metadata_is_an_ordinary_field():
    record = {"id": "a", "content": "x", "metadata": "y"}
    assert item_from(record, where="row 0") == Item("a", "x", {"metadata": "y"})


def test_a_field_that_contradicts_metadata_is_an_error():
    with pytest.raises(InputError, match="row 0: the field 'stars' and the same name in metadata differ"):
        item_from({"content": "x", "metadata": {"stars": 4}, "stars": 5}, where="row 0")


@pytest.mark.parametrize("null", [None, float("nan")])
def test_null_content_is_the_empty_text(null):
    """Cases inputs-03 and inputs-06: never the word None or nan."""
    assert item_from({"id": "c", "content": null}, where="row 0") == Item("c", "")


@pytest.mark.parametrize("content", ["", " \n\t "])
def test_blank_content_stays_as_it_is(content):
    """Case inputs-03."""
    assert item_from({"id": "a", "content": content}, where="row 0") == Item("a", content)


def test_bytes_are_content_but_text_in_metadata():
    record = {"id": "a", "content": bytearray(b"\x89PNG"), "thumb": b"\x00"}
    assert item_from(record, where="row 0") == Item("a", b"\x89PNG", {"thumb": "AA=="})


def test_no_content_field_is_an_error_that_names_the_fields_and_the_remedy():
    with pytest.raises(InputError, match=r"row 3: no field 'content'; its fields are 'id', 'text'.*content_field="):
        item_from({"id": 1, "text": "x"}, where="row 3")


def test_the_fields_of_id_and_content_can_be_named():
    record = {"asin": "B0", "text": "x", "id": 1}
    expected = Item("B0", "x", {"id": 1})
    assert item_from(record, where="row 0", id_field="asin", content_field="text") == expected


def test_an_item_is_normalised_too():
    given = Item(1, None, {"price": Decimal("1.0")}, source_ids=(2, "3"))
    assert item_from(given, where="row 0") == Item("1", "", {"price": "1.0"}, source_ids=("2", "3"))


def test_a_text_is_content_and_its_id_is_derived():
    item, is_derived = item_and_origin("It arrived late.", where="row 0")
    assert (item, is_derived) == (Item(derived_id("It arrived late.", {}), "It arrived late."), True)


def test_a_number_is_no_item():
    with pytest.raises(InputError, match="row 0: int is no item"):
        item_from(7, where="row 0")


def test_a_derived_id_hangs_on_content_and_metadata_alone():
    assert derived_id("a", {"x": 1, "y": 2}) == derived_id("a", {"y": 2, "x": 1})
    assert len({derived_id("a", {}), derived_id("b", {}), derived_id("a", {"x": 1}), derived_id(b"a", {})}) == 4


def test_a_derived_id_is_the_same_on_every_machine():
    code = "from beam_llmdag.records.item import derived_id; print(derived_id('ü€你', {'b': 1.5, 'a': None}))"
    environments = [{"PYTHONHASHSEED": "1", "TZ": "Asia/Kolkata"}, {"PYTHONHASHSEED": "2", "LC_ALL": "C"}]
    outputs = {
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        for env in environments
    }
    assert outputs == {f"{derived_id('ü€你', {'b': 1.5, 'a': None})}\n"}
