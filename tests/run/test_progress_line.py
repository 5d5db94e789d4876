"""A line that says how far a run is, on a terminal and elsewhere."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import pytest

from beam_llmdag.run.progress_line import ProgressLine

CLEAR = "\r\x1b[2K"


class Stream(io.StringIO):
    """A stream that may be a terminal, and can be waited for."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal
        self._written = threading.Condition()

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        with self._written:
            self._written.notify_all()
            return super().write(text)

    def wait_for(self, text: str) -> None:
        with self._written:
            assert self._written.wait_for(lambda: text in self.getvalue(), timeout=60), self.getvalue()


class Texts:
    """Says one text after the other; the last one repeats. `all_said` is set when that begins."""

    def __init__(self, *texts: str) -> None:
        self._texts: Iterator[str] = iter(texts)
        self._last = ""
        self.all_said = threading.Event()

    def __call__(self) -> str:
        try:
            self._last = next(self._texts)
        except StopIteration:
            self.all_said.set()
        return self._last


def test_on_a_terminal_the_line_changes_in_place_and_is_cleared_at_the_end() -> None:
    stream, texts = Stream(terminal=True), Texts("one", "one", "two")
    with ProgressLine(texts, stream=stream, every_seconds=0.001):
        assert texts.all_said.wait(10)
    assert stream.getvalue() == f"{CLEAR}one{CLEAR}two{CLEAR}"


def test_elsewhere_nothing_is_shown_unless_it_is_asked_for() -> None:
    stream, texts = Stream(terminal=False), Texts("one")
    with ProgressLine(texts, stream=stream, every_seconds=0.001):
        pass
    assert stream.getvalue() == ""
    with ProgressLine(texts, True, stream=stream, every_seconds=0.001):
        assert texts.all_said.wait(10)
    assert stream.getvalue() == "one\n"


def test_on_a_terminal_it_can_be_switched_off() -> None:
    stream = Stream(terminal=True)
    with ProgressLine(Texts("one"), False, stream=stream, every_seconds=0.001):
        pass
    assert stream.getvalue() == ""


def test_a_line_longer_than_the_terminal_is_cut_so_that_it_can_be_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "11")
    stream = Stream(terminal=True)
    with ProgressLine(Texts("0123456789abc"), stream=stream, every_seconds=0.001):
        stream.wait_for("…")
    assert stream.getvalue() == f"{CLEAR}012345678…{CLEAR}"


def test_the_line_ends_when_the_run_raises() -> None:
    stream = Stream(terminal=True)
    before = threading.active_count()
    with pytest.raises(ValueError, match="the run"), ProgressLine(Texts("one"), stream=stream):
        raise ValueError("the run")
    assert threading.active_count() == before
    assert stream.getvalue() == CLEAR
