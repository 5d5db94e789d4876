"""The file of an answer store: how it is made and opened, who may read it, and what is said when that fails."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from beam_llmdag.errors import StoreError
from beam_llmdag.usage import TOKEN_KINDS

__all__ = ["open_existing", "open_file", "store_error"]

T = TypeVar("T")

_BUSY_SECONDS = 60.0
_LAYOUT = 5
_NOW = "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"
_SCHEMA = (
    # A line of the ledger per call that has ended; with `answer`, where that was good and is kept.
    f"""CREATE TABLE calls (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, run_id TEXT NOT NULL, dimension TEXT NOT NULL, subject TEXT NOT NULL,
    model TEXT NOT NULL, parts TEXT NOT NULL, owner TEXT, answer TEXT, error_class TEXT, message TEXT,
    http_status INTEGER, request_id TEXT, {", ".join(f"{kind} INTEGER" for kind in TOKEN_KINDS)},
    cost_nano_usd INTEGER, latency_seconds REAL NOT NULL, waited_seconds REAL NOT NULL, raw_answer TEXT, prompt TEXT,
    ended_at TEXT NOT NULL DEFAULT {_NOW})""",
    "CREATE INDEX calls_by_key ON calls (key)",
    # Calls that were sent and have not ended, of processes that run or have died.
    f"""CREATE TABLE in_flight (
    id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, dimension TEXT NOT NULL, subject TEXT NOT NULL, model TEXT NOT NULL,
    sent_at TEXT NOT NULL DEFAULT {_NOW})""",
    # What processes have drawn of the budgets of runs, in nano-dollars.
    "CREATE TABLE budgets (run_id TEXT PRIMARY KEY, drawn INTEGER NOT NULL)",
    # See `Documents`.
    "CREATE TABLE documents (kind TEXT NOT NULL, key TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (kind, key))",
    f"PRAGMA user_version = {_LAYOUT}",
)
_REMEDIES = {
    "SQLITE_FULL": "make room on that disk",
    "SQLITE_READONLY": "see who may write there",
    "SQLITE_CANTOPEN": "see who may write there",
    "SQLITE_BUSY": "see which process has it",
}


def open_file(path: Path) -> sqlite3.Connection:
    """A connection to the store at `path`, which is made if there is none: for its owner alone, as its folder.

    Raises:
        StoreError: the file has another layout, or is a folder, or a link that leads nowhere.
        OSError, sqlite3.Error: it cannot be opened, or is something else.
    """
    _make(path)
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


def open_existing(path: Path) -> sqlite3.Connection:
    """A connection to the store at `path`, which must be there.

    Raises:
        FileNotFoundError: it is not.
        StoreError: it has another layout.
        sqlite3.Error: it is no store.
    """
    if not path.exists():
        raise FileNotFoundError(f"no answer store at {path}")
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        _check_layout(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def store_error(path: Path, error: Exception) -> StoreError:
    """Whatever went wrong with a store, with its place and the remedy."""
    if isinstance(error, StoreError):
        return error
    told = str(error) if isinstance(error, sqlite3.Error) else f"{type(error).__name__}: {error}"
    name = "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])
    remedy = _REMEDIES.get(name, "repair it or move it away")
    return StoreError(f"answer store {path}: {told}; {remedy}, name another file, or use store=False")


def _make(path: Path) -> None:
    """Makes the file and its folders where they are not there. SQLite gives its other files the mode of this one."""
    for place in (path, *path.parents):
        if place.is_symlink() and not place.exists():
            raise StoreError(
                f"answer store {path}: {place} is a link to {os.readlink(place)}, which is not there; "
                "make that, remove the link, or name another file"
            )
    if path.is_dir():
        raise StoreError(f"answer store {path}: that is a folder; name a file in it")
    for folder in reversed([folder for folder in path.parents if not folder.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


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
    if layout > _LAYOUT:
        raise StoreError(
            f"answer store {path} has layout {layout}, made by a newer version of beam-llmdag; this one has {_LAYOUT}: "
            "update the package, or name another file"
        )
    if layout != _LAYOUT:
        raise StoreError(
            f"answer store {path} has layout {layout}, this version has {_LAYOUT}: move it away, or name another file"
        )
