import pytest

from beam_llmdag.errors import InputError
from beam_llmdag.records.csv import csv_records
from beam_llmdag.records.encoding import not_utf8
from beam_llmdag.records.raw import RawRecord


def read(data, content_field="content"):
    return list(csv_records(data.splitlines(keepends=True), "in.csv", content_field))


def row(line, **record):
    return RawRecord(where=f"in.csv:line {line}", record=record)


def problem(line, text):
    return RawRecord(where=f"in.csv:line {line}", problem=text)


def test_a_row_with_too_many_or_too_few_cells_is_a_problem_of_its_line():
    assert read(b"id,content\n1,a\n2\n3,b,c\n4,d\n") == [
        row(2, id="1", content="a"),
        problem(3, "1 cells where the header has 2"),
        problem(4, "3 cells where the header has 2"),
        row(5, id="4", content="d"),
    ]


def test_a_line_is_counted_from_where_its_row_begins():
    assert read(b'id,content\n1,"a\nb"\n2,c,d\n') == [
        row(2, id="1", content="a\nb"),
        problem(4, "3 cells where the header has 2"),
    ]


def test_a_byte_that_is_not_utf8_costs_its_own_row_only():
    assert read(b"id,content\n1,caf\xe9\n2,b\n") == [problem(2, not_utf8(b"1,caf\xe9")), row(3, id="2", content="b")]


def test_blank_lines_and_rows_of_empty_cells_are_no_records():
    assert read(b"\nid,content\n\n,\n1,a\n") == [row(5, id="1", content="a")]


def test_an_empty_cell_is_the_empty_text():
    assert read(b"id,content,stars\n1,,\n") == [row(2, id="1", content="", stars="")]


def test_a_quote_that_never_ends_is_a_problem_that_says_what_was_not_read():
    [first, second] = read(b'id,content\n1,a\n2,"b\n3,c\n')
    assert first == row(2, id="1", content="a")
    assert second == problem(
        3, "no CSV: unexpected end of data; a quoted cell reached to line 4, and nothing up to there was read"
    )


def test_text_behind_a_quote_is_a_problem_of_its_line_only():
    [first, second] = read(b'id,content\n1,"a"b\n2,c\n')
    assert first.problem == "no CSV: ',' expected after '\"'"
    assert second == row(3, id="2", content="c")


def test_a_cell_may_be_longer_than_the_limit_of_the_csv_module():
    long = "x" * 200_000
    assert read(f"id,content\n1,{long}\n".encode()) == [row(2, id="1", content=long)]


def test_two_columns_with_one_name_are_an_error():
    with pytest.raises(InputError, match=r"in.csv:line 1: more than one column is called 'content'"):
        read(b"id,content,content\n1,a,b\n")


def test_no_content_column_is_an_error_that_names_the_columns():
    with pytest.raises(InputError, match=r"in.csv:line 1: no column 'content'; its columns are 'id', 'text'\. .*"):
        read(b"id,text\n1,a\n")


def test_another_separator_is_an_error_that_hints_at_it():
    with pytest.raises(InputError, match=r"'id;content' \(cells are separated by commas\)"):
        read(b"id;content\n1;a\n")


def test_a_file_without_rows_has_no_records():
    assert read(b"id,content\n") == []
    assert read(b"") == []
