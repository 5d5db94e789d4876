"""The answer store in one SQLite file: safe for several processes of one machine, and after kill -9.

One thread per process takes all jobs that wait and runs them together, each kind in one statement: calls share commits,
and the thread asks for Python's lock a few times per commit and not per row.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from beam_llmdag.calls.limits.budget import granted
from beam_llmdag.calls.store.answers import Later
from beam_llmdag.calls.store.jobs import Job, JobStore, Outcome, outcomes, tell
from beam_llmdag.calls.store.rows import COLUMNS, Lines
from beam_llmdag.calls.store.sqlite_file import open_file, store_error
from beam_llmdag.errors import StoreError

__all__ = ["SqliteStore"]

_log = logging.getLogger(__name__)

_MOST_ROWS = 1000  # of one statement: 24 values each stay below SQLite's limit of 32,766
_LINES = f"INSERT OR IGNORE INTO calls (id, {', '.join(COLUMNS)}) VALUES "
_SENT = "INSERT INTO in_flight (id, run_id, dimension, subject, model) VALUES "
_FIND = f"SELECT {', '.join(COLUMNS)}, coalesce(owner, dimension), id FROM calls WHERE key IN (%s) ORDER BY id DESC"

T = TypeVar("T")


class SqliteStore(JobStore):
    """`AnswerStore` in a file on a local disk. What is in it outlives a kill of the process, not a loss of power.

    Args:
        path: the file; made, with its folder, when the first answer is looked up, both for their owner alone.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._thread: _StoreThread | None = None

    async def aclose(self) -> None:
        """Finishes what is being written and closes the file; the next use opens it again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.stop)

    def _enter(self, job: Job) -> None:
        self._thread_here().jobs.put(job)

    def _thread_here(self) -> _StoreThread:
        loop = asyncio.get_running_loop()
        if self._thread is None or self._thread.loop is not loop:
            if self._thread is not None:
                self._thread.stop()  # its loop has ended without aclose()
            self._thread = _StoreThread(self.path, loop)
        return self._thread


class _StoreThread:
    """The connection to the file and the thread that has it, for calls on one event loop."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._path = path
        self._warned = False
        self._thread = threading.Thread(target=self._serve, name="llmdag-store", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread when all jobs are done."""
        self.jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        connection: sqlite3.Connection | None = None
        running = True
        while running:
            jobs, running = self._waiting_jobs()
            outcome: list[Outcome] | StoreError
            try:
                connection = connection or _opened(self._path)
                outcome = self._run(connection, jobs)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                outcome = store_error(self._path, error)
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self.loop.call_soon_threadsafe(tell, jobs, outcome)
        if connection is not None:
            connection.close()

    def _waiting_jobs(self) -> tuple[list[Job], bool]:
        waiting = [self.jobs.get()]
        with suppress(queue.Empty):
            while True:
                waiting.append(self.jobs.get_nowait())
        return [job for job in waiting if job is not None], None not in waiting

    def _run(self, connection: sqlite3.Connection, jobs: list[Job]) -> list[Outcome]:
        """Writes what is to be written in one transaction, and says what each job was looking for."""
        special = _write(connection, jobs)
        lines = _select(connection, list({key for job in jobs for key in job.keys}))
        if lines.unreadable and not self._warned:
            self._warned = True
            _log.warning(
                "answer store %s: a row that cannot be read is no answer; what it was an answer to is asked again",
                self._path,
            )
        return outcomes(jobs, lines, special)


def _opened(path: Path) -> sqlite3.Connection:
    connection = open_file(path)
    connection.text_factory = _text
    return connection


def _text(raw: bytes) -> str | bytes:
    """A text column; bytes where it holds no UTF-8, which would else cost all rows of the statement."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def _write(connection: sqlite3.Connection, jobs: Iterable[Job]) -> dict[Job, int | Later | bool]:
    """Writes; returns what was drawn of budgets, and what there is of calls that wait for a batch."""
    sent = {job.sent[0]: job.sent for job in jobs if job.sent is not None}
    ended = [job.ended for job in jobs if job.ended is not None and sent.pop(job.ended, None) is None]
    lines = [(number, *line) for number, line in (job.line for job in jobs if job.line is not None)]
    adopted = [job.adopted for job in jobs if job.adopted is not None]
    drawing = [job for job in jobs if job.draw is not None]
    later = [job for job in jobs if job.later is not None]
    if not (sent or ended or lines or adopted or drawing or later):
        return {}
    connection.execute("BEGIN IMMEDIATE")
    try:
        _insert(connection, _LINES, lines)
        _insert(connection, _SENT, list(sent.values()))
        for some, places in _portions(ended):
            connection.execute(f"DELETE FROM in_flight WHERE id IN ({places})", some)
        connection.executemany("UPDATE calls SET owner = ? WHERE key = ? AND answer IS NOT NULL", adopted)
        special: dict[Job, int | Later | bool] = {
            job: _draw(connection, *job.draw) for job in drawing if job.draw is not None
        }
        special |= {job: _later(connection, *job.later) for job in later if job.later is not None}
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return special


def _draw(connection: sqlite3.Connection, run_id: str, wanted: int, limit: int) -> int:
    known = connection.execute("SELECT drawn FROM budgets WHERE run_id = ?", (run_id,)).fetchone()
    drawn = known[0] if known is not None else 0
    amount = granted(wanted, drawn, limit)
    if amount:
        connection.execute("INSERT OR REPLACE INTO budgets (run_id, drawn) VALUES (?, ?)", (run_id, drawn + amount))
    return amount


def _later(connection: sqlite3.Connection, key: str, text: str | None) -> Later:
    if text is not None:
        connection.execute("INSERT OR REPLACE INTO documents (kind, key, text) VALUES ('pending', ?, ?)", (key, text))
    known = dict(
        connection.execute("SELECT kind, text FROM documents WHERE key = ?1 AND kind IN ('pending', 'replies')", (key,))
    )
    return Later(known.get("pending"), known.get("replies"))


def _insert(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for start in range(0, len(rows), _MOST_ROWS):
        some = rows[start : start + _MOST_ROWS]
        places = f"({', '.join('?' * len(some[0]))})"
        connection.execute(statement + ", ".join([places] * len(some)), [value for row in some for value in row])


def _portions(values: Sequence[T]) -> Iterator[tuple[Sequence[T], str]]:
    """As many of `values` as one statement may have, and question marks for them."""
    for start in range(0, len(values), _MOST_ROWS):
        some = values[start : start + _MOST_ROWS]
        yield some, ", ".join("?" * len(some))


def _select(connection: sqlite3.Connection, keys: Sequence[str]) -> Lines:
    lines = Lines()
    for some, places in _portions(keys):
        rows = connection.execute(_FIND % places, some)
        for *line, owner, number in rows:
            lines.add(tuple(line), owner, number)
    return lines
