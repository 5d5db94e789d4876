"""The answer store in PostgreSQL: durable, for a fleet, its ledger open to SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from beam_llmdag.calls.limits.budget import granted
from beam_llmdag.calls.store.answers import Later
from beam_llmdag.calls.store.jobs import Job
from beam_llmdag.calls.store.rows import COLUMNS, Lines
from beam_llmdag.calls.store.server import CLAIMED_SECONDS, ServerStore
from beam_llmdag.errors import StoreError
from beam_llmdag.usage import TOKEN_KINDS

try:
    import psycopg
except ImportError as missing:
    raise ImportError(
        "an answer store in PostgreSQL needs its client on every worker: pip install 'beam-llmdag[postgres]'"
    ) from missing

__all__ = ["GET_LAYOUT", "MAKE", "PostgresStore", "check_layout", "escaped", "unescaped"]

_LAYOUT = 2
_CONNECT_SECONDS = 10
_LOCK = 5_566_381_204_117  # any number that nobody else has: processes that begin at the same time make tables in turn
_TYPES = {
    **dict.fromkeys(("key", "run_id", "dimension", "subject", "model", "parts"), "text NOT NULL"),
    **dict.fromkeys((*TOKEN_KINDS, "cost_nano_usd"), "bigint"),
    "http_status": "integer",
    **dict.fromkeys(("latency_seconds", "waited_seconds"), "double precision NOT NULL"),
}
MAKE = f"""
DO $$ BEGIN
    PERFORM pg_advisory_xact_lock({_LOCK});
    IF to_regclass('llmdag_layout') IS NULL THEN
        CREATE TABLE llmdag_calls (
            number bigint PRIMARY KEY,
            {", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in COLUMNS)},
            owner text, ended_at timestamptz NOT NULL DEFAULT now());
        CREATE INDEX llmdag_calls_by_key ON llmdag_calls (key);
        CREATE TABLE llmdag_in_flight (
            number bigint PRIMARY KEY, run_id text NOT NULL, dimension text NOT NULL, subject text NOT NULL,
            model text NOT NULL, sent_at timestamptz NOT NULL DEFAULT now());
        CREATE TABLE llmdag_budgets (run_id text PRIMARY KEY, drawn bigint NOT NULL);
        CREATE TABLE llmdag_documents (
            kind text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, text text NOT NULL, PRIMARY KEY (kind, key));
        CREATE TABLE llmdag_claims (
            key text PRIMARY KEY, holder text NOT NULL, until timestamptz NOT NULL);
        CREATE TABLE llmdag_layout (layout integer NOT NULL);
        INSERT INTO llmdag_layout VALUES ({_LAYOUT});
    END IF;
END $$"""
"""Makes the tables where they are not there. Who may only read and write rows must find them made."""

GET_LAYOUT = "SELECT max(layout) FROM llmdag_layout"
_ENDED = (
    f"INSERT INTO llmdag_calls (number, {', '.join(COLUMNS)}) VALUES (%s{', %s' * len(COLUMNS)}) "
    "ON CONFLICT (number) DO NOTHING"
)
_SENT = (
    "INSERT INTO llmdag_in_flight (number, run_id, dimension, subject, model) VALUES (%s, %s, %s, %s, %s) "
    "ON CONFLICT (number) DO NOTHING"
)
_FIND = (
    f"SELECT {', '.join(COLUMNS)}, coalesce(owner, dimension), number FROM llmdag_calls "
    "WHERE key = ANY(%s) ORDER BY number DESC"
)

_LATER = (
    "SELECT (SELECT text FROM llmdag_documents WHERE kind = 'pending' AND key = %(key)s), "
    "(SELECT text FROM llmdag_documents WHERE kind = 'replies' AND key = %(key)s)"
)

_CLAIM = (
    "INSERT INTO llmdag_claims (key, holder, until) "
    "SELECT unnest(%s::text[]), %s, now() + make_interval(secs => %s) "
    "ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, until = excluded.until "
    "WHERE llmdag_claims.until < now() OR llmdag_claims.holder = excluded.holder RETURNING key"
)

_ESCAPE = "\ue000"
"""A character for private use. With a 0 it stands for U+0000; it is itself doubled."""


class PostgresStore(ServerStore):
    """An `AnswerStore` in PostgreSQL 12 or later: tables `llmdag_calls` (the ledger, and with `answer` the answers) and
    `llmdag_in_flight` in the schema where the connection's `search_path` makes them.

    Args:
        url: `postgresql://user:$PASSWORD@host:5432/database`, with psycopg's options behind a `?`.
        patience_seconds: see `ServerStore`.

    Raises:
        StoreError: a variable in the URL is not set.
    """

    _connection: psycopg.AsyncConnection[Any] | None = None

    async def _open(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=_CONNECT_SECONDS, application_name="beam-llmdag"
        )
        self._connection = connection
        await connection.execute(MAKE.encode())
        check_layout(await (await connection.execute(GET_LAYOUT)).fetchone(), self.place)

    async def _run(self, jobs: Sequence[Job]) -> tuple[Lines, dict[Job, int | Later | bool]]:
        connection = self._connection
        assert connection is not None
        ended = [job.ended for job in jobs if job.ended is not None]
        over = set(ended)
        lines = [(number, *map(escaped, line)) for number, line in (job.line for job in jobs if job.line is not None)]
        sent = [tuple(map(escaped, job.sent)) for job in jobs if job.sent is not None and job.sent[0] not in over]
        adopted = [job.adopted for job in jobs if job.adopted is not None]
        keys = list({key for job in jobs for key in job.keys})
        found, special = Lines(), dict[Job, int | Later | bool]()
        wanted = {job.claim for job in jobs if job.claim is not None}
        wanted.update(key for job in jobs for key in job.claimed)
        if wanted:  # before the transaction, and in order: who waits for another's claims holds none of its locks
            taken = await connection.execute(_CLAIM, (sorted(wanted), self.holder, CLAIMED_SECONDS))
            mine = {key for (key,) in await taken.fetchall()}
            special.update({job: job.claim in mine for job in jobs if job.claim is not None})
        free = [job.free for job in jobs if job.free is not None]
        async with connection.transaction(), connection.cursor() as cursor:
            if free:
                await cursor.execute(
                    "DELETE FROM llmdag_claims WHERE key = ANY(%s) AND holder = %s", (free, self.holder)
                )
            if lines:
                await cursor.executemany(_ENDED, lines)
            if sent:
                await cursor.executemany(_SENT, sent)
            if ended:
                await cursor.execute("DELETE FROM llmdag_in_flight WHERE number = ANY(%s)", (ended,))
            for dimension, key in adopted:
                await cursor.execute(
                    "UPDATE llmdag_calls SET owner = %s WHERE key = %s AND answer IS NOT NULL",
                    (escaped(dimension), key),
                )
            for job in jobs:
                if job.draw is not None:
                    special[job] = await _draw(cursor, *job.draw)
                if job.later is not None:
                    special[job] = await _later(cursor, *job.later)
            if keys:
                await cursor.execute(_FIND, (keys,))
                for *line, owner, number in await cursor.fetchall():
                    found.add(tuple(map(unescaped, line)), unescaped(owner), number)
        return found, special

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _is_final(self, error: Exception) -> bool:
        if isinstance(error, psycopg.OperationalError):
            # class 28: wrong user or password; 3D: no such database. Others, as class 08 or 57, pass.
            return (error.sqlstate or "").startswith(("28", "3D")) or "authentication failed" in str(error)
        return not isinstance(error, (OSError, TimeoutError))


async def _draw(cursor: psycopg.AsyncCursor[Any], run_id: str, wanted: int, limit: int) -> int:
    name = escaped(run_id)
    await cursor.execute("INSERT INTO llmdag_budgets VALUES (%s, 0) ON CONFLICT DO NOTHING", (name,))
    await cursor.execute("SELECT drawn FROM llmdag_budgets WHERE run_id = %s FOR UPDATE", (name,))
    [drawn] = await cursor.fetchone() or (0,)
    amount = granted(wanted, drawn, limit)
    await cursor.execute("UPDATE llmdag_budgets SET drawn = drawn + %s WHERE run_id = %s", (amount, name))
    return amount


async def _later(cursor: psycopg.AsyncCursor[Any], key: str, text: str | None) -> Later:
    if text is not None:
        statement = (
            "INSERT INTO llmdag_documents (kind, key, text) VALUES ('pending', %s, %s) "
            "ON CONFLICT (kind, key) DO UPDATE SET text = excluded.text"
        )
        await cursor.execute(statement, (key, text))
    await cursor.execute(_LATER, {"key": key})
    return Later(*(await cursor.fetchone() or (None, None)))


def check_layout(row: Any, place: str) -> None:
    """Raises `StoreError` if what `GET_LAYOUT` says is not this version's layout."""
    [layout] = row
    if layout != _LAYOUT:
        raise StoreError(
            f"answer store {place} has layout {layout}, this version has {_LAYOUT}: "
            "use the version of beam-llmdag that made it, or name another database"
        )


def escaped(value: Any) -> Any:
    """A value as it is written: text in PostgreSQL has no U+0000."""
    if isinstance(value, str) and ("\0" in value or _ESCAPE in value):
        return value.replace(_ESCAPE, _ESCAPE * 2).replace("\0", f"{_ESCAPE}0")
    return value


def unescaped(value: Any) -> Any:
    """A value that was written so."""
    if isinstance(value, str) and _ESCAPE in value:
        return _ESCAPE.join(part.replace(f"{_ESCAPE}0", "\0") for part in value.split(_ESCAPE * 2))
    return value
