from decimal import Decimal

import pytest

from beam_llmdag.records.jsonl import json_line_records, json_records
from beam_llmdag.records.raw import RawRecord

BYTE = (
    "not UTF-8 (byte 0xe9); it looks like Windows-1252 (Latin-1): save the file as UTF-8, or read it with "
    "encoding='cp1252'"
)


def read(data):
    return list(json_line_records(data.splitlines(keepends=True), "in.jsonl"))


def line(number, record):
    return RawRecord(where=f"in.jsonl:line {number}", record=record)


def test_numbers_are_exact():
    data = b'{"a": 9007199254740993, "b": 12.5, "c": 0.30000000000000000001, "d": 1e400, "e": -0.0}'
    [record] = read(data)
    assert record == line(
        1, {"a": 9007199254740993, "b": 12.5, "c": Decimal("0.30000000000000000001"), "d": Decimal("1e400"), "e": -0.0}
    )
    assert [type(value) for value in record.record.values()] == [int, float, Decimal, Decimal, float]


def test_a_line_that_is_not_utf8_is_a_problem_of_its_own():
    assert read(b'{"content": "caf\xe9"}\n{"content": "b"}\n') == [
        RawRecord(where="in.jsonl:line 1", problem=BYTE),
        line(2, {"content": "b"}),
    ]


def test_a_key_twice_in_one_object_is_a_problem():
    assert read(b'{"id": 1, "id": 2}') == [
        RawRecord(where="in.jsonl:line 1", problem="not JSON: the key 'id' stands twice in one object")
    ]


def test_an_object_nested_too_deeply_is_a_problem():
    assert read(b'{"a": ' + b"[" * 200_000) == [RawRecord(where="in.jsonl:line 1", problem="nested too deeply")]


def test_a_list_in_the_first_line_of_json_lines_is_a_record_of_its_own():
    assert read(b'[1]\n{"id": 2}\n') == [line(1, [1]), line(2, {"id": 2})]


def read_json(data):
    return list(json_records(data.splitlines(keepends=True), "in.json"))


def test_a_file_that_is_one_array_has_a_record_per_element():
    assert read_json(b'\n[\n  {"id": 1},\n  {"id": 2}\n]\n') == [
        RawRecord(where="in.json:record 0 (counted from 0)", record={"id": 1}),
        RawRecord(where="in.json:record 1 (counted from 0)", record={"id": 2}),
    ]


def test_an_array_that_is_not_closed_is_one_problem():
    [record] = read_json(b'[\n  {"id": 1},\n')
    assert record.where == "in.json"
    assert record.problem is not None
    assert record.problem.startswith("not JSON: ")


def test_a_json_file_that_is_no_array_is_read_as_json_lines():
    assert read_json(b'{"id": 1}\r\n\r\n{"id": 2}') == [
        RawRecord(where="in.json:line 1", record={"id": 1}),
        RawRecord(where="in.json:line 3", record={"id": 2}),
    ]


@pytest.mark.parametrize("reader", [read, read_json])
@pytest.mark.parametrize(
    ("data", "records"),
    [
        (b'{\n "id": "1",\n "content": "It arrived late."\n}\n', [{"id": "1", "content": "It arrived late."}]),
        (
            b'[\n {"id": "1", "content": "a"},\n {"id": "2", "content": "b"}\n]\n',
            [{"id": "1", "content": "a"}, {"id": "2", "content": "b"}],
        ),
        (b'[\n{"id": 1}\n]', [{"id": 1}]),
        (b'[{"id": 1},\n{"id": 2}\n]', [{"id": 1}, {"id": 2}]),
        (b'{\n "id": 1\n}\n{\n "id": 2\n}\n', [{"id": 1}, {"id": 2}]),
        (b'{"id": 1}{"id": 2} {"id": 3}', [{"id": 1}, {"id": 2}, {"id": 3}]),
        (b'{"id": 1}\n{"id": 2}{"id": 3}\n', [{"id": 1}, {"id": 2}, {"id": 3}]),
        (b'\r\n{\r\n "a":\r\n {"b": [\r\n1, 2]}}\r\n', [{"a": {"b": [1, 2]}}]),
        (b"[\n]\n", []),
    ],
)
def test_json_over_many_lines_and_objects_one_after_the_other_are_records(reader, data, records):
    """Case inputs-45."""
    found = reader(data)
    assert [record.problem for record in found] == [None] * len(records)
    assert [record.record for record in found] == records


@pytest.mark.parametrize("reader", [read, read_json])
@pytest.mark.parametrize(
    "data",
    [
        b'{\n "id": "1",\n "content": \n' + b' "x": 1,\n' * 1000,
        b'[\n {"id": "1"},\n' + b' {"id": "2"},\n' * 1000,
        b'{\n "id": "1"\n}\n{\n "id": \n}\n',
        b'{\n "content": "caf\xe9"\n}\n',
    ],
)
def test_json_over_many_lines_that_is_broken_is_one_problem_and_not_one_per_line(reader, data):
    """Case inputs-45."""
    [record] = reader(data)
    assert record.where.startswith("in.json")
    assert record.problem is not None


def test_a_broken_first_line_of_json_lines_costs_that_line_only():
    broken, good = read(b'{"id": "1", "content": \n{"id": 2}\n')
    assert (broken.where, broken.problem is not None) == ("in.jsonl:line 1", True)
    assert good == line(2, {"id": 2})


def test_a_number_that_python_would_not_read_is_a_problem_without_its_digits():
    [record] = read(b'{"id": 1, "n": ' + b"1" * 5000 + b"}")
    assert (
        record.problem == "not JSON: its numbers: an integer of about 5,000 digits; 4,000 are the most. Pass it as text"
    )


def test_what_stands_behind_a_value_that_is_no_object_is_a_problem():
    assert all(record.problem is not None for record in [*read(b"1 2"), *read(b'{"id": 1} x')])
