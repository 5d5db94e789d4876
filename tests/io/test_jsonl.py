from decimal import Decimal

from beam_llmdag.io.jsonl import json_line_records, json_records
from beam_llmdag.io.raw import RawRecord


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
        RawRecord(where="in.jsonl:line 1", problem="byte 16 is not UTF-8"),
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
