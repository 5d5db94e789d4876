"""The answer store in one SQLite file: safe for several processes of one machine, and after kill -9.

One thread per process takes all jobs that wait and runs them together, each kind in one statement: calls share commits,
and the thread asks for Python's lock a few times per commit and not per row.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import queue
import random
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from beam_llmdag.calls.store.answers import Asked, Found, Payer, StoredAnswer
from beam_llmdag.calls.store.sqlite_file import open_file, store_error
from beam_llmdag.errors import ERROR_CLASSES, StoreError
from beam_llmdag.records.result import Attempt
from beam_llmdag.text import clean_text
from beam_llmdag.usage import TOKEN_KINDS, Usage

__all__ = ["SqliteStore"]

_log = logging.getLogger(__name__)

_MOST_ROWS = 1000  # of one statement: 23 values each stay below SQLite's limit of 32,766
_TEXT = (str,)
_TEXT_OR_NONE = (str, type(None))
_COUNT_OR_NONE = (int, type(None))
_COLUMNS: dict[str, tuple[type, ...]] = {
    "key": _TEXT,
    "run_id": _TEXT,
    "dimension": _TEXT,
    "subject": _TEXT,
    "model": _TEXT,
    "parts": _TEXT,
    "answer": _TEXT_OR_NONE,
    "error_class": _TEXT_OR_NONE,
    "message": _TEXT_OR_NONE,
    "http_status": _COUNT_OR_NONE,
    "request_id": _TEXT_OR_NONE,
    **dict.fromkeys(TOKEN_KINDS, _COUNT_OR_NONE),
    "cost_nano_usd": _COUNT_OR_NONE,
    "latency_seconds": (float,),
    "waited_seconds": (float,),
    "raw_answer": _TEXT_OR_NONE,
    "prompt": _TEXT_OR_NONE,
}
"""Column -> what it holds, where nobody has been at the file by hand."""

_LINES = f"INSERT INTO calls ({', '.join(_COLUMNS)}) VALUES "
_SENT = "INSERT INTO in_flight (id, run_id, dimension, subject, model) VALUES "
_FIND = f"SELECT {', '.join(_COLUMNS)}, coalesce(owner, dimension), id FROM calls WHERE key IN (%s) ORDER BY id DESC"

_NOTHING = Found([], [])

_Line = tuple[Any, ...]
"""The values of `_COLUMNS`."""

T = TypeVar("T")


class SqliteStore:
    """`AnswerStore` in a file on a local disk.

    Args:
        path: the file; made, with its folder, when the first answer is looked up, both for their owner alone.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._thread: _StoreThread | None = None
        self._numbers = itertools.count(random.SystemRandom().getrandbits(38) << 24)  # no other process has the same

    async def find(self, keys: Sequence[str], payer: Payer) -> Found:
        """See `AnswerStore`."""
        found: Found = await self._done(keys=keys, payer=payer)
        return found

    def begin(self, asked: Asked) -> int:
        """See `AnswerStore`. Nobody waits for it: it is written while the request is on its way."""
        number = next(self._numbers)
        self._thread_here().jobs.put(_Job(sent=(number, *asked.payer, asked.model)))
        return number

    async def end(self, number: int, asked: Asked, attempt: Attempt, answer: str | None = None) -> None:
        """See `AnswerStore`. It outlives a kill of the process, not a loss of power."""
        await self._done(ended=number, line=_line(asked, attempt, answer) if attempt.sent else None)

    async def adopt(self, key: str, dimension: str) -> None:
        """See `AnswerStore`."""
        await self._done(adopted=(dimension, key))

    async def aclose(self) -> None:
        """Finishes what is being written and closes the file; the next use opens it again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.stop)

    async def _done(self, **job: Any) -> Any:
        done = asyncio.get_running_loop().create_future()
        self._thread_here().jobs.put(_Job(done=done, **job))
        return await done

    def _thread_here(self) -> _StoreThread:
        loop = asyncio.get_running_loop()
        if self._thread is None or self._thread.loop is not loop:
            if self._thread is not None:
                self._thread.stop()  # its loop has ended without aclose()
            self._thread = _StoreThread(self.path, loop)
        return self._thread


@dataclass(slots=True, eq=False, kw_only=True)
class _Job:
    """What is to be done: keys to be looked up, or rows to be written; and who waits for it, if anybody does."""

    done: asyncio.Future[Any] | None = None
    keys: Sequence[str] = ()
    payer: Payer | None = None
    sent: tuple[int | str, ...] | None = None
    ended: int | None = None
    line: _Line | None = None
    adopted: tuple[str, str] | None = None


class _StoreThread:
    """The connection to the file and the thread that has it, for calls on one event loop."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
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
            outcome: list[Found] | StoreError
            try:
                connection = connection or _opened(self._path)
                outcome = self._run(connection, jobs)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                outcome = store_error(self._path, error)
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self.loop.call_soon_threadsafe(_tell, jobs, outcome)
        if connection is not None:
            connection.close()

    def _waiting_jobs(self) -> tuple[list[_Job], bool]:
        waiting = [self.jobs.get()]
        with suppress(queue.Empty):
            while True:
                waiting.append(self.jobs.get_nowait())
        return [job for job in waiting if job is not None], None not in waiting

    def _run(self, connection: sqlite3.Connection, jobs: list[_Job]) -> list[Found]:
        """Writes what is to be written in one transaction, and says what each job was looking for."""
        _write(connection, jobs)
        lines = _select(connection, list({key for job in jobs for key in job.keys}))
        if lines.unreadable and not self._warned:
            self._warned = True
            _log.warning(
                "answer store %s: a row that cannot be read is no answer; what it was an answer to is asked again",
                self._path,
            )
        return [lines.found(job.keys, job.payer) if job.keys else _NOTHING for job in jobs]


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


def _write(connection: sqlite3.Connection, jobs: Iterable[_Job]) -> None:
    sent = {job.sent[0]: job.sent for job in jobs if job.sent is not None}
    ended = [job.ended for job in jobs if job.ended is not None and sent.pop(job.ended, None) is None]
    lines = [job.line for job in jobs if job.line is not None]
    adopted = [job.adopted for job in jobs if job.adopted is not None]
    if not (sent or ended or lines or adopted):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        _insert(connection, _LINES, lines)
        _insert(connection, _SENT, list(sent.values()))
        for some, places in _portions(ended):
            connection.execute(f"DELETE FROM in_flight WHERE id IN ({places})", some)
        connection.executemany("UPDATE calls SET owner = ? WHERE key = ? AND answer IS NOT NULL", adopted)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for start in range(0, len(rows), _MOST_ROWS):
        some = rows[start : start + _MOST_ROWS]
        places = f"({', '.join('?' * len(some[0]))})"
        connection.execute(statement + ", ".join([places] * len(some)), [value for row in some for value in row])


@dataclass(slots=True)
class _Lines:
    """Lines of the ledger, as they were looked up.

    Attributes:
        answers: key -> the newest answer.
        paid: key -> payer, number and line of each call.
        unreadable: whether there are rows that nobody can read, and no newer answer in their place.
    """

    answers: dict[str, StoredAnswer] = field(default_factory=dict)
    paid: dict[str, list[tuple[Payer, int, _Line]]] = field(default_factory=dict)
    unreadable: bool = False

    def add(self, line: _Line, owner: Any, number: int) -> None:
        """Enters a line that is older than all before it with its key."""
        key, run_id, dimension, subject, model, _, answer, *_ = line
        if not _is_readable(line) or not isinstance(owner, str):
            self.unreadable = self.unreadable or key not in self.answers
            return
        self.paid.setdefault(key, []).append((Payer(run_id, dimension, subject), number, line))
        if answer is not None and key not in self.answers:
            self.answers[key] = StoredAnswer(key=key, model=model, text=answer, dimension=owner)

    def found(self, keys: Sequence[str], payer: Payer | None) -> Found:
        """What there is for these keys, and what `payer` paid for them, in the order in which that was."""
        mine = {
            number: line
            for key in keys
            for who, number, line in self.paid.get(key, ())
            if payer is not None and who == payer
        }
        answers = [self.answers[key] for key in keys if key in self.answers]
        return Found(answers, [_attempt(mine[number]) for number in sorted(mine)])


def _portions(values: Sequence[T]) -> Iterator[tuple[Sequence[T], str]]:
    """As many of `values` as one statement may have, and question marks for them."""
    for start in range(0, len(values), _MOST_ROWS):
        some = values[start : start + _MOST_ROWS]
        yield some, ", ".join("?" * len(some))


def _select(connection: sqlite3.Connection, keys: Sequence[str]) -> _Lines:
    lines = _Lines()
    for some, places in _portions(keys):
        rows = connection.execute(_FIND % places, some)
        for *line, owner, number in rows:
            lines.add(tuple(line), owner, number)
    return lines


def _is_readable(line: _Line) -> bool:
    """Whether a line is one that this package may have written."""
    if not all(map(isinstance, line, _COLUMNS.values())):
        return False
    known = dict(zip(_COLUMNS, line, strict=True))
    counts = (known[name] for name in (*TOKEN_KINDS, "cost_nano_usd"))
    error_class = known["error_class"]
    return (
        ":" in known["model"]
        and (error_class is None or error_class in ERROR_CLASSES)
        and all(count is None or count >= 0 for count in counts)
    )


def _line(asked: Asked, attempt: Attempt, answer: str | None) -> _Line:
    usage = attempt.usage
    return (
        asked.key,
        *asked.payer,
        asked.model,
        asked.parts,
        _clean(answer),
        attempt.error_class,
        _clean(attempt.message),
        attempt.http_status,
        _clean(attempt.request_id),
        *((None,) * len(TOKEN_KINDS) if usage is None else usage.counts()),
        attempt.cost_nano_usd,
        attempt.latency_seconds,
        attempt.waited_seconds,
        attempt.raw_answer,
        attempt.prompt,
    )


def _attempt(line: _Line) -> Attempt:
    known = dict(zip(_COLUMNS, line, strict=True))
    counts = [known[kind] for kind in TOKEN_KINDS]
    return Attempt(
        model=known["model"],
        error_class=known["error_class"],
        message=known["message"],
        http_status=known["http_status"],
        request_id=known["request_id"],
        usage=None if None in counts else Usage.of(counts),
        cost_nano_usd=known["cost_nano_usd"],
        raw_answer=known["raw_answer"],
        prompt=known["prompt"],
        latency_seconds=known["latency_seconds"],
        waited_seconds=known["waited_seconds"],
    )


def _clean(text: str | None) -> str | None:
    return None if text is None else clean_text(text)


def _tell(jobs: list[_Job], outcome: list[Found] | StoreError) -> None:
    for index, job in enumerate(jobs):
        if job.done is None or job.done.done():
            continue  # nobody waits, or no longer: the call was cancelled
        if isinstance(outcome, StoreError):
            job.done.set_exception(outcome)
        else:
            job.done.set_result(outcome[index])
