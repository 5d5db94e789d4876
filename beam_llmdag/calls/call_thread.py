"""The thread on which a process makes its calls: an event loop, and whether it lives and turns."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Coroutine
from typing import Any

from beam_llmdag.errors import LLMDagError
from beam_llmdag.telling import told

__all__ = ["CallThread", "is_call_thread"]

_log = logging.getLogger(__name__)

_NAME = "llmdag-calls"
_LOOK_SECONDS = 0.2
_STANDSTILL_SECONDS = 1.0  # who waits for the end of something waits no longer for a loop that does not turn
_REPORTED_SECONDS = 10.0
_SHOWN_FRAMES = 6


def is_call_thread() -> bool:
    """Whether the thread that asks makes calls: it must not wait for one."""
    return threading.current_thread().name == _NAME


class CallThread:
    """An event loop on a daemon thread of its own.

    User code runs on it, which can block it, and in spite of all care end it. So whoever waits for it calls `check`.

    Attributes:
        loop: the loop.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._asked_at: float | None = None
        self._is_reported = False
        self._heirs = threading.Lock()
        self._thread = threading.Thread(target=self.loop.run_forever, name=_NAME, daemon=True)
        self._thread.start()

    @property
    def lives(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def turns_within(self, seconds: float) -> bool:
        """Whether the loop takes up something new within so many seconds."""
        turned = threading.Event()
        if self.lives:
            self.loop.call_soon_threadsafe(turned.set)
        return self.lives and turned.wait(seconds)

    def check(self) -> None:
        """To be called now and then by those who wait for the loop; logs where it stands if it does not turn.

        Raises:
            LLMDagError: the thread has ended.
        """
        if not self.lives:
            raise LLMDagError(
                "the thread that makes the calls has ended, and its calls with it: its event loop was stopped, see "
                "stderr; the next run gets a new thread"
            )
        standing = self._standing_seconds()
        if standing > _REPORTED_SECONDS and not self._is_reported:
            self._is_reported = True
            _log.warning(
                "no call goes on: the thread that makes them has stood for %.0f seconds %s", standing, self.place()
            )

    def finish(self, coroutine: Coroutine[Any, Any, None], seconds: float) -> bool:
        """Runs something on the loop and waits for its end; returns whether that came.

        It is given up after `seconds`, and soon if the loop does not turn. If the thread has ended, who waits runs it.
        """
        if not self.lives:
            return self._finish_here(coroutine, seconds)
        ended = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        until = time.monotonic() + seconds
        while self.lives and time.monotonic() < until:
            concurrent.futures.wait([ended], timeout=_LOOK_SECONDS)
            if ended.done() or self._standing_seconds() >= _STANDSTILL_SECONDS:
                break
        if ended.done():
            ended.result()
        return ended.done()

    def place(self) -> str:
        """Where the thread stands, for a message: the innermost lines of code."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        lines = [(code.f_code, line) for code, line in traceback.walk_stack(frame)][:_SHOWN_FRAMES]
        places = [f"{os.path.basename(code.co_filename)}, line {line}, in {code.co_qualname}" for code, line in lines]
        return f"in {' < '.join(places)}" if places else "nowhere"

    def _finish_here(self, coroutine: Coroutine[Any, Any, None], seconds: float) -> bool:
        with self._heirs:
            try:
                self.loop.run_until_complete(asyncio.wait_for(coroutine, seconds))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - what has ended the thread may do so again
                _log.warning("what its thread had begun was not ended: %s", told(error))
                return False
        return True

    def _standing_seconds(self) -> float:
        """For how long the loop has not shown that it turns, although it was asked to."""
        asked_at = self._asked_at
        if asked_at is not None:
            return time.monotonic() - asked_at
        self._asked_at = time.monotonic()
        self.loop.call_soon_threadsafe(self._turn)
        return 0.0

    def _turn(self) -> None:
        self._asked_at = None
        self._is_reported = False
