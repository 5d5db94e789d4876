import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import NamedTuple
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from beam_llmdag.errors import InputError
from beam_llmdag.records.plain import duration_text, plain


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    when: date


class Shop(BaseModel):
    price: Decimal


class Pair(NamedTuple):
    left: int
    right: set[str]


INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (True, True),
        (2**70, 2**70),
        (1234.5, 1234.5),
        ("a\ud83c\udf40b\ud800", "a🍀b\ufffd"),
        (Decimal("12.30"), "12.30"),
        (Decimal("NaN"), None),
        (float("nan"), None),
        (float("-inf"), None),
        (date(2026, 3, 29), "2026-03-29"),
        (datetime(2026, 3, 29, 7, 0, tzinfo=INDIA), "2026-03-29T01:30:00+00:00"),
        (datetime(2026, 3, 29, 7, 0, 0, 5), "2026-03-29T07:00:00.000005"),
        (time(7, 5), "07:05:00"),
        (timedelta(days=1, hours=2, milliseconds=500), "P1DT2H0.5S"),
        (timedelta(), "PT0S"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        (Colour.RED, "red"),
        (b"\x00\xff", "AP8="),
        ((1, (2,)), [1, [2]]),
        ({"b", "a"}, ["a", "b"]),
        ({10, 9}, [9, 10]),
        (frozenset({1, "a"}), ["a", 1]),
        ({1: "x", None: "y", True and "z": 0}, {"1": "x", "null": "y", "z": 0}),
        (Point(1, date(2026, 1, 2)), {"x": 1, "when": "2026-01-02"}),
        (Shop(price=Decimal("1.10")), {"price": "1.10"}),
        (Pair(1, {"b", "a"}), {"left": 1, "right": ["a", "b"]}),
    ],
)
def test_a_python_value_is_converted_by_the_documented_table(given, expected):
    result = plain(given)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.longdouble(0.25), 0.25),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([0.5, np.nan]), [0.5, None]),
        (np.ma.masked_array([1, 2], mask=[False, True]), [1, None]),
        (np.array(3), 3),
        (np.datetime64("2026-01-02T03:04:05.123456789"), "2026-01-02T03:04:05.123456789"),
        (np.datetime64("2026-01-02T03:04:05.500"), "2026-01-02T03:04:05.500000"),
        (np.datetime64("2026-01-02"), "2026-01-02"),
        (np.datetime64("NaT"), None),
        (np.timedelta64(90, "s"), "PT1M30S"),
        (pd.Timestamp("2026-01-02T03:04:05.123456789", tz="Europe/Berlin"), "2026-01-02T02:04:05.123456789+00:00"),
        (pd.Timestamp("2026-01-02"), "2026-01-02T00:00:00"),
        (pd.Timedelta(1, "ns"), "PT0.000000001S"),
        (pd.NaT, None),
        (pd.NA, None),
    ],
)
def test_a_value_of_numpy_or_pandas_is_converted_by_the_documented_table(given, expected):
    result = plain(given)
    assert result == expected
    assert type(result) is type(expected)


def test_a_negative_duration_has_its_sign_in_front():
    assert duration_text(-1_500_000_000) == "-PT1.5S"


def test_another_type_is_an_error_that_names_type_and_path():
    with pytest.raises(InputError, match=r"^row 2\.a\[1\]: a value of type builtins\.complex is not JSON-like"):
        plain({"a": [1, 1j]}, "row 2")


def test_two_keys_with_one_text_are_an_error():
    with pytest.raises(InputError, match="two keys are '1' as text"):
        plain({1: "x", "1": "y"})


def test_a_value_that_contains_itself_is_an_error():
    endless = []
    endless.append(endless)
    with pytest.raises(InputError, match="contains itself"):
        plain(endless)


def test_a_moment_that_does_not_exist_in_utc_is_an_error():
    with pytest.raises(InputError, match="outside the years"):
        plain(datetime.min.replace(tzinfo=INDIA))


def test_the_module_imports_neither_pandas_nor_beam():
    code = (
        "import sys, beam_llmdag.records.plain, beam_llmdag.records.item; "
        "print({'pandas', 'apache_beam'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_converting_twice_changes_nothing():
    given = {"at": datetime(2026, 1, 2, tzinfo=UTC), "p": Decimal("1.0"), "s": {1, 2}, "n": float("nan")}
    assert plain(plain(given)) == plain(given)
