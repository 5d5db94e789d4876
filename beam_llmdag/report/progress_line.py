"""A line on a terminal that says how far a run is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import TracebackType

__all__ = ["ProgressLine"]

_SECONDS = 0.5
_CLEAR = "\r\x1b[2K"


class ProgressLine:
    """Shows a text that changes, on stderr, as long as the context lasts.

    Args:
        text: called twice a second for the text.
        show: True or False; None shows it if stderr is a terminal. Elsewhere a line is written when the text changed,
            every ten seconds at most.
    """

    def __init__(self, text: Callable[[], str], show: bool | None = None) -> None:
        self._text = text
        self._terminal = sys.stderr.isatty()
        self._show = self._terminal if show is None else show
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, name="llmdag-progress", daemon=True)

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
                sys.stderr.write(_CLEAR)
                sys.stderr.flush()

    def _write(self) -> None:
        last = ""
        while not self._ended.wait(_SECONDS if self._terminal else 20 * _SECONDS):
            text = self._text()
            if text != last:
                last = text
                sys.stderr.write(f"{_CLEAR}{text}" if self._terminal else f"{text}\n")
                sys.stderr.flush()
