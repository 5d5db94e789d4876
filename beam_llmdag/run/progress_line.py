"""A line on a terminal that says how far a run is."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

__all__ = ["ProgressLine"]

_TERMINAL_SECONDS = 0.5
_LOG_SECONDS = 10.0
_CLEAR = "\r\x1b[2K"


class ProgressLine:
    """Shows a text that changes, as long as the context lasts.

    Args:
        text: called again and again for the text.
        show: True or False; None shows it if `stream` is a terminal.
        stream: where to; stderr by default.
        every_seconds: time between two looks at the text; by default half a second on a terminal, which shows one line
            that changes, and ten seconds elsewhere, where every new text is a line of its own.
    """

    def __init__(
        self,
        text: Callable[[], str],
        show: bool | None = None,
        *,
        stream: TextIO | None = None,
        every_seconds: float | None = None,
    ) -> None:
        self._text = text
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._show = self._terminal if show is None else show
        self._seconds = every_seconds or (_TERMINAL_SECONDS if self._terminal else _LOG_SECONDS)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="llmdag-progress", daemon=True)

    def __enter__(self) -> ProgressLine:
        if self._show:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._show:
            self._thread.join()
            if self._terminal:
                self._write(_CLEAR)

    def _work(self) -> None:
        last = ""
        while not self._ended.wait(self._seconds):
            text = self._text()
            if text != last:
                last = text
                self._write(self._shown(text))

    def _shown(self, text: str) -> str:
        if not self._terminal:
            return f"{text}\n"
        width = shutil.get_terminal_size().columns - 1  # a line that wraps could not be cleared
        return f"{_CLEAR}{text if len(text) <= width else text[: width - 1] + '…'}"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
