import datetime
import decimal
import subprocess
import sys

import pyarrow as pa
import pytest

from beam_llmdag.errors import InputError
from beam_llmdag.records.arrow import table_rows


def column(values, type_):
    return [row["x"] for row in table_rows(pa.table({"x": pa.array(values, type_)}))]


@pytest.mark.parametrize(
    ("values", "type_", "expected"),
    [
        ([1, None], pa.timestamp("ns", "Europe/Berlin"), ["1970-01-01T00:00:00.000000001+00:00", None]),
        ([1500], pa.timestamp("ms"), ["1970-01-01T00:00:01.500000"]),
        ([-1], pa.timestamp("us", "UTC"), ["1969-12-31T23:59:59.999999+00:00"]),
        ([3_600_000_000_001], pa.time64("ns"), ["01:00:00.000000001"]),
        ([60], pa.time32("s"), ["00:01:00"]),
        ([90], pa.duration("s"), ["PT1M30S"]),
        ([decimal.Decimal("12.30")], pa.decimal128(6, 2), [decimal.Decimal("12.30")]),
        ([datetime.date(2026, 3, 29)], pa.date32(), [datetime.date(2026, 3, 29)]),
        ([["x", None], [], None], pa.list_(pa.string()), [["x", None], [], None]),
        ([[1, 2], None], pa.list_(pa.int64(), 2), [[1, 2], None]),
        ([[[1]], [None, []]], pa.large_list(pa.list_(pa.timestamp("s"))), [[["1970-01-01T00:00:01"]], [None, []]]),
        ([{"a": 1}, None], pa.struct([("a", pa.duration("s"))]), [{"a": "PT1S"}, None]),
        ([[("k", 1)], None, []], pa.map_(pa.string(), pa.timestamp("s")), [{"k": "1970-01-01T00:00:01"}, None, {}]),
        ([b"\x00"], pa.binary(), [b"\x00"]),
    ],
)
def test_a_column_of_a_type_is_read_exactly(values, type_, expected):
    assert column(values, type_) == expected


def test_a_dictionary_column_is_read_as_its_values():
    table = pa.table({"x": pa.array(["spam", None, "spam"]).dictionary_encode()})
    assert [row["x"] for row in table_rows(table)] == ["spam", None, "spam"]


def test_slices_of_nested_columns_are_read_from_where_they_begin():
    table = pa.table(
        {
            "list": pa.array([[1], None, [2, 3]]),
            "map": pa.array([[("a", 1)], [("b", 2)], None], pa.map_(pa.string(), pa.int64())),
            "struct": pa.array([{"a": 1}, {"a": 2}, None]),
        }
    )
    assert list(table_rows(table.slice(1))) == [
        {"list": None, "map": {"b": 2}, "struct": {"a": 2}},
        {"list": [2, 3], "map": None, "struct": None},
    ]


def test_two_columns_with_one_name_are_an_error():
    with pytest.raises(InputError, match="more than one column called 'a'"):
        list(table_rows(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])))


@pytest.mark.parametrize(
    ("values", "type_", "said"),
    [
        ([[("k", 1)], [("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int64()), "a map has a key twice: ['k', 'k']"),
        ([0, 2**62], pa.timestamp("s"), "a time outside the years 1 to 9999"),
        ([0, 2**30], pa.date32(), "a time outside the years 1 to 9999"),
    ],
)
def test_a_value_that_cannot_be_read_is_an_error_in_place_of_its_own_row(values, type_, said):
    table = pa.table({"id": ["a", "b"], "x": pa.array(values, type_)})
    first, second = table_rows(table)
    assert first["id"] == "a"
    assert isinstance(second, InputError)
    assert str(second).startswith("column 'x' of type ")
    assert said in str(second)


def test_text_that_is_not_utf8_is_an_error_in_place_of_its_own_row():
    broken = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff"))
    first, second = table_rows(pa.table({"x": broken}))
    assert first == {"x": "a"}
    assert isinstance(second, InputError)


def test_the_rows_do_not_depend_on_pandas():
    """Case inputs-07: none of it may depend on whether pandas is installed on the worker."""
    code = """
import sys

class NoPandas:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pandas":
            raise ImportError(name)

sys.meta_path.insert(0, NoPandas())
import pyarrow as pa
from beam_llmdag.records.arrow import table_rows
instants = pa.array([1], pa.timestamp("ns", "UTC"))
durations = pa.array([[1]], pa.list_(pa.duration("ns")))
print(list(table_rows(pa.table({"a": instants, "b": durations}))), "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[{'a': '1970-01-01T00:00:00.000000001+00:00', 'b': ['PT0.000000001S']}] False\n"
