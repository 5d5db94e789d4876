"""The answer store in one SQLite file: safe for several processes of one machine, and after kill -9.

One thread per process takes all jobs that wait and runs them together, each kind in one statement: calls share commits,
and the thread asks for Python's lock a few times per commit and not per row.
"""

from __future__ import annotations

import asyncio
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from beam_llmdag.json_data import clean_json
from beam_llmdag.result import Attempt
from beam_llmdag.store import StoredAnswer, StoreError
from beam_llmdag.text import clean_text
from beam_llmdag.usage import Usage

__all__ = ["LedgerTotal", "SqliteStore", "clear_store", "read_totals"]

T = TypeVar("T")

_TOKENS = tuple(field.name for field in fields(Usage))
_BUSY_SECONDS = 60.0
_LAYOUT = 2
_MOST_ROWS = 1000  # of one statement: 11 values each stay below SQLite's limit of 32,766
_SCHEMA = (
    """CREATE TABLE answers (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL, dimension TEXT NOT NULL,
    payer TEXT NOT NULL, paid TEXT NOT NULL,
    stored_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))""",
    """CREATE TABLE ledger (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, dimension TEXT NOT NULL, model TEXT NOT NULL, error_class TEXT,
    input_tokens INTEGER, output_tokens INTEGER, cache_read_tokens INTEGER, cache_write_tokens INTEGER,
    reasoning_tokens INTEGER, cost_nano_usd INTEGER,
    recorded_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')))""",
    f"PRAGMA user_version = {_LAYOUT}",
)
_ANSWERS = "INSERT OR REPLACE INTO answers (key, model, text, dimension, payer, paid) VALUES "
_LINES = (
    "INSERT INTO ledger (key, dimension, model, error_class, input_tokens, output_tokens, cache_read_tokens, "
    "cache_write_tokens, reasoning_tokens, cost_nano_usd) VALUES "
)
_TOTALS = (
    "SELECT model, count(*), sum(cost_nano_usd IS NULL), coalesce(sum(cost_nano_usd), 0), "
    "(SELECT count(*) FROM answers WHERE answers.model = ledger.model) FROM ledger GROUP BY model ORDER BY model"
)


class SqliteStore:
    """`AnswerStore` in a file on a local disk.

    Args:
        path: the file; made, with its folder, when the first answer is looked up.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._thread: _StoreThread | None = None

    async def find(self, keys: Sequence[str]) -> list[StoredAnswer]:
        """See `AnswerStore`."""
        found: list[StoredAnswer] = await self._done(keys=keys)
        return found

    async def put(self, answer: StoredAnswer) -> None:
        """See `AnswerStore`. It outlives a kill of the process, not a loss of power."""
        paid = clean_json(_paid_values(answer.paid)).decode()
        row = (answer.key, answer.model, clean_text(answer.text), answer.dimension, clean_text(answer.payer), paid)
        await self._done(answer=row, line=_ledger_line(answer.key, answer.dimension, answer.paid))

    async def adopt(self, key: str, dimension: str) -> None:
        """See `AnswerStore`."""
        await self._done(adopted=(dimension, key))

    async def record(self, key: str, dimension: str, attempt: Attempt) -> None:
        """See `AnswerStore`."""
        await self._done(line=_ledger_line(key, dimension, attempt))

    async def aclose(self) -> None:
        """Finishes what is being written and closes the file; the next use opens it again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.stop)

    async def _done(self, **job: Any) -> Any:
        loop = asyncio.get_running_loop()
        if self._thread is None or self._thread.loop is not loop:
            if self._thread is not None:
                self._thread.stop()  # its loop has ended without aclose()
            self._thread = _StoreThread(self.path, loop)
        done = loop.create_future()
        self._thread.jobs.put(_Job(done=done, **job))
        return await done


@dataclass(slots=True, eq=False, kw_only=True)
class _Job:
    """What a call waits for: keys to be looked up, or rows to be written."""

    done: asyncio.Future[Any]
    keys: Sequence[str] = ()
    answer: tuple[str, ...] | None = None
    line: tuple[str | int | None, ...] | None = None
    adopted: tuple[str, str] | None = None


class _StoreThread:
    """The connection to the file and the thread that has it, for calls on one event loop."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._path = path
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
            outcome: list[Any] | StoreError
            try:
                connection = connection or _opened(self._path)
                outcome = _run_jobs(connection, jobs)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
                outcome = _store_error(self._path, error)
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


def _run_jobs(connection: sqlite3.Connection, jobs: list[_Job]) -> list[list[StoredAnswer]]:
    """Writes what is to be written in one transaction, and says what each job was looking for."""
    answers = [job.answer for job in jobs if job.answer is not None]
    lines = [job.line for job in jobs if job.line is not None]
    adopted = [job.adopted for job in jobs if job.adopted is not None]
    if lines or adopted:
        connection.execute("BEGIN IMMEDIATE")
        try:
            _insert(connection, _ANSWERS, answers)
            _insert(connection, _LINES, lines)
            connection.executemany("UPDATE answers SET dimension = ? WHERE key = ?", adopted)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    found = _select(connection, list({key for job in jobs for key in job.keys}))
    return [[found[key] for key in job.keys if key in found] for job in jobs]


def _insert(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for start in range(0, len(rows), _MOST_ROWS):
        some = rows[start : start + _MOST_ROWS]
        places = f"({', '.join('?' * len(some[0]))})"
        connection.execute(statement + ", ".join([places] * len(some)), [value for row in some for value in row])


def _select(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, StoredAnswer]:
    found: dict[str, StoredAnswer] = {}
    for start in range(0, len(keys), _MOST_ROWS):
        some = keys[start : start + _MOST_ROWS]
        statement = (
            f"SELECT key, model, text, dimension, payer, paid FROM answers WHERE key IN ({', '.join('?' * len(some))})"
        )
        for key, model, text, dimension, payer, paid in connection.execute(statement, some):
            attempt = _paid_attempt(model, json.loads(paid))
            found[key] = StoredAnswer(key=key, model=model, text=text, dimension=dimension, payer=payer, paid=attempt)
    return found


def _paid_values(attempt: Attempt) -> list[Any]:
    usage = attempt.usage
    return [attempt.request_id, attempt.cost_nano_usd, None if usage is None else [getattr(usage, n) for n in _TOKENS]]


def _paid_attempt(model: str, values: list[Any]) -> Attempt:
    request_id, cost, tokens = values
    usage = None if tokens is None else Usage(**dict(zip(_TOKENS, tokens, strict=True)))
    return Attempt(model=model, request_id=request_id, usage=usage, cost_nano_usd=cost)


def _tell(jobs: list[_Job], outcome: list[Any] | StoreError) -> None:
    for index, job in enumerate(jobs):
        if job.done.done():
            continue  # the call that waited was cancelled
        if isinstance(outcome, StoreError):
            job.done.set_exception(outcome)
        else:
            job.done.set_result(outcome[index])


def _ledger_line(key: str, dimension: str, attempt: Attempt) -> tuple[str | int | None, ...]:
    usage = attempt.usage
    tokens: tuple[int | None, ...] = (None,) * 5
    if usage is not None:
        tokens = (
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
        )
    return (key, dimension, attempt.model, attempt.error_class, *tokens, attempt.cost_nano_usd)


def _opened(path: Path) -> sqlite3.Connection:
    """A connection to the store at `path`, which is made if there is none.

    Raises:
        StoreError: the file has another layout.
        OSError, sqlite3.Error: it cannot be opened, or is something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        _when_free(lambda: connection.execute("PRAGMA journal_mode = WAL"))
        connection.execute("PRAGMA synchronous = NORMAL")  # a commit survives kill -9, not a power cut
        connection.execute("BEGIN IMMEDIATE")
        empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        for statement in _SCHEMA if empty else ():
            connection.execute(statement)
        connection.execute("COMMIT")
        _check_layout(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _when_free(action: Callable[[], T]) -> T:
    """Does what SQLite refuses without waiting while another process has the file: the change to a write-ahead log."""
    end = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _check_layout(connection: sqlite3.Connection, path: Path) -> None:
    layout = connection.execute("PRAGMA user_version").fetchone()[0]
    if layout != _LAYOUT:
        raise StoreError(
            f"answer store {path} has layout {layout}, this version has {_LAYOUT}: move it away, or name another file"
        )


def _store_error(path: Path, error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    told = str(error) if isinstance(error, sqlite3.Error) else f"{type(error).__name__}: {error}"
    return StoreError(f"answer store {path}: {told}; repair it or move it away, name another file, or use store=False")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTotal:
    """What was paid for one model.

    Attributes:
        model: `"provider:name"`.
        calls: attempts in the ledger.
        unpriced_calls: those whose cost is not known.
        cost_nano_usd: nano-dollars of the others.
        answers: good answers that are kept.
    """

    model: str
    calls: int
    unpriced_calls: int
    cost_nano_usd: int
    answers: int


def read_totals(path: str | Path) -> list[LedgerTotal]:
    """Totals of a store's file by model, ordered by name.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it is no store.
    """
    return [
        LedgerTotal(model=model, calls=calls, unpriced_calls=unpriced, cost_nano_usd=cost, answers=answers)
        for model, calls, unpriced, cost, answers in _with_file(
            Path(path), lambda connection: connection.execute(_TOTALS).fetchall()
        )
    ]


def clear_store(path: str | Path) -> int:
    """Forgets all answers of a store's file; the ledger stays, since the money is spent.

    Returns:
        How many answers there were.

    Raises:
        FileNotFoundError: there is no such file.
        StoreError: it is no store.
    """
    return _with_file(Path(path), lambda connection: connection.execute("DELETE FROM answers").rowcount)


def _with_file(path: Path, action: Callable[[sqlite3.Connection], T]) -> T:
    if not path.exists():
        raise FileNotFoundError(f"no answer store at {path}")
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        _check_layout(connection, path)
        return action(connection)
    except sqlite3.Error as error:
        raise _store_error(path, error) from None
    finally:
        connection.close()
