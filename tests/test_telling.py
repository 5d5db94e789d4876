from typing import Any

import pytest

from beam_llmdag.telling import LONGEST_MESSAGE, LONGEST_TRACEBACK, shown, told, traceback_of


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)

    __repr__ = __str__


class OddError(Exception):
    def __str__(self) -> Any:
        return 7


class LongError(Exception):
    def __str__(self) -> str:
        return "long " * 2_000_000

    __repr__ = __str__


def caught(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """`error` after it was raised."""
    try:
        raise error from cause
    except BaseException as raised:  # noqa: BLE001 - any is asked for
        return raised


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("no stars"), "ValueError: no stars"),
        (ValueError(), "ValueError"),
        (ValueError("half \ud83d"), "ValueError: half \ufffd"),
        (UnreadableError(), "UnreadableError: <its text cannot be read: SystemExit>"),
        (OddError(), "OddError: <its text cannot be read: TypeError>"),
        (
            ExceptionGroup("many", [ValueError(str(n)) for n in range(1000)]),
            "ExceptionGroup: many (1000 sub-exceptions)",
        ),
    ],
)
def test_an_exception_is_told_by_its_class_and_its_words(error: BaseException, message: str) -> None:
    assert told(error) == message


def test_what_is_told_is_bounded() -> None:
    assert told(LongError()).startswith("LongError: long long")
    assert len(told(LongError())) == LONGEST_MESSAGE
    assert len(shown(LongError(), 50)) == 50
    assert len(traceback_of(caught(LongError(), caught(LongError(), LongError())))) < LONGEST_TRACEBACK


def test_a_value_without_a_repr_is_shown_all_the_same() -> None:
    assert shown(UnreadableError()) == "<its text cannot be read: SystemExit>"


def test_a_traceback_names_files_without_folders_and_the_causes() -> None:
    lines = traceback_of(caught(ValueError("no stars"), caught(KeyError("stars")))).split("\n")
    assert [line for line in lines if not line.startswith("  File")] == [
        "ValueError: no stars",
        "caused by:",
        "KeyError: 'stars'",
    ]
    assert lines[0].startswith('  File "test_telling.py", line ')
    assert lines[0].endswith(", in caught")


def test_the_frames_of_a_deep_recursion_are_left_out() -> None:
    def deep(left: int) -> None:
        if not left:
            raise ValueError("deep")
        deep(left - 1)

    try:
        deep(500)
    except ValueError as error:
        lines = traceback_of(error).split("\n")
    assert "  … 482 more frames" in lines
    assert len(lines) == 22
