"""The answer store in one SQLite file: safe for several processes of one machine, and after kill -9.

Writes of many calls are committed together by one thread per process, so a call waits for a shared commit and not for
its own.
"""

from __future__ import annotations

import asyncio
import json
import queue
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from beam_llmdag.result import Attempt
from beam_llmdag.store import StoredAnswer
from beam_llmdag.usage import Usage

__all__ = ["LedgerTotal", "SqliteStore", "clear_store", "read_totals"]

_BUSY_SECONDS = 60.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL, paid TEXT NOT NULL,
    stored_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, dimension TEXT NOT NULL, model TEXT NOT NULL, error_class TEXT,
    input_tokens INTEGER, output_tokens INTEGER, cache_read_tokens INTEGER, cache_write_tokens INTEGER,
    reasoning_tokens INTEGER, cost_nano_usd INTEGER,
    recorded_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
"""
_PUT = "INSERT OR REPLACE INTO answers (key, model, text, paid) VALUES (?, ?, ?, ?)"
_RECORD = (
    "INSERT INTO ledger (key, dimension, model, error_class, input_tokens, output_tokens, cache_read_tokens, "
    "cache_write_tokens, reasoning_tokens, cost_nano_usd) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_GET = "SELECT key, model, text, paid FROM answers WHERE key = ?"


@dataclass(slots=True)
class _Job:
    """Statements for the store's thread, and who waits for them. One that reads has one statement."""

    statements: Sequence[tuple[str, Sequence[Any]]]
    reads: bool
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]


class SqliteStore:
    """`AnswerStore` in a file.

    Args:
        path: the file; made, with its folder, when the first answer is looked up.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def get(self, key: str) -> StoredAnswer | None:
        """The answer for a key, or None."""
        row = await self._run([(_GET, (key,))], reads=True)
        if row is None:
            return None
        return StoredAnswer(key=row[0], model=row[1], text=row[2], paid=_attempt(json.loads(row[3])))

    async def put(self, answer: StoredAnswer, dimension: str) -> None:
        """Keeps an answer and enters it into the ledger; both are in the file when this returns."""
        values = (answer.key, answer.model, answer.text, json.dumps(asdict(answer.paid)))
        await self._run([(_PUT, values), (_RECORD, _ledger_line(answer.key, dimension, answer.paid))], reads=False)

    async def record(self, key: str, dimension: str, attempt: Attempt) -> None:
        """Enters an attempt that brought no answer into the ledger."""
        await self._run([(_RECORD, _ledger_line(key, dimension, attempt))], reads=False)

    async def aclose(self) -> None:
        """Finishes what is being written and closes the file."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)

    async def _run(self, statements: Sequence[tuple[str, Sequence[Any]]], *, reads: bool) -> Any:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="llmdag-store", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        job = _Job(statements, reads, loop, loop.create_future())
        self._jobs.put(job)
        return await job.done

    def _serve(self) -> None:
        """Body of the thread: takes all jobs that wait, runs them in one transaction, tells those who wait."""
        connection: sqlite3.Connection | None = None
        running = True
        while running:
            jobs, running = self._next_jobs()
            outcome: list[Any] | Exception
            try:
                connection = connection or self._open()
                outcome = _run_jobs(connection, jobs)
            except (sqlite3.Error, OSError) as error:
                outcome = type(error)(f"answer store {self.path}: {error}")
            if jobs:
                jobs[0].loop.call_soon_threadsafe(_resolve, jobs, outcome)
        if connection is not None:
            connection.close()

    def _next_jobs(self) -> tuple[list[_Job], bool]:
        waiting = [self._jobs.get()]
        while not self._jobs.empty():
            waiting.append(self._jobs.get())
        return [job for job in waiting if job is not None], None not in waiting

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a commit survives kill -9, not a power cut
        connection.executescript(_SCHEMA)
        return connection


def _run_jobs(connection: sqlite3.Connection, jobs: list[_Job]) -> list[Any]:
    writes = [job for job in jobs if not job.reads]
    if writes:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for sql, values in (statement for job in writes for statement in job.statements):
                connection.execute(sql, values)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    return [connection.execute(*job.statements[0]).fetchone() if job.reads else None for job in jobs]


def _resolve(jobs: list[_Job], outcome: list[Any] | Exception) -> None:
    for index, job in enumerate(jobs):
        if job.done.done():
            continue  # the call that waited was cancelled
        if isinstance(outcome, Exception):
            job.done.set_exception(outcome)
        else:
            job.done.set_result(outcome[index])


def _ledger_line(key: str, dimension: str, attempt: Attempt) -> tuple[Any, ...]:
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


def _attempt(plain: dict[str, Any]) -> Attempt:
    usage = plain.pop("usage")
    return Attempt(**plain, usage=None if usage is None else Usage(**usage))


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
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"no answer store at {path}")
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS)
    try:
        rows = connection.execute(
            "SELECT model, count(*), sum(cost_nano_usd IS NULL), coalesce(sum(cost_nano_usd), 0), "
            "(SELECT count(*) FROM answers WHERE answers.model = ledger.model) FROM ledger GROUP BY model ORDER BY model"
        ).fetchall()
    finally:
        connection.close()
    return [
        LedgerTotal(model=model, calls=calls, unpriced_calls=unpriced, cost_nano_usd=cost, answers=answers)
        for model, calls, unpriced, cost, answers in rows
    ]


def clear_store(path: str | Path) -> int:
    """Forgets all answers of a store's file; the ledger stays, since the money is spent.

    Returns:
        How many answers there were.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"no answer store at {path}")
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        return connection.execute("DELETE FROM answers").rowcount
    finally:
        connection.close()
