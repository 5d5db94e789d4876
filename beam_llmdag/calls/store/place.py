"""Where paid answers are kept, as options and the environment say it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from beam_llmdag.calls.store.answers import AnswerStore
from beam_llmdag.calls.store.sqlite import SqliteStore
from beam_llmdag.errors import GraphError

__all__ = ["DEFAULT_STORE", "default_store", "is_on_a_server", "open_store", "server_kind", "sqlite_file"]

DEFAULT_STORE = Path(".llmdag") / "answers.sqlite"
"""Where local runs keep paid answers, unless the environment variable `LLMDAG_STORE` names another place, or `off`."""

STORE_VARIABLE = "LLMDAG_STORE"
_OFF = ("", "off", "0", "false", "no")
_SERVERS = {"postgresql": "postgres", "postgres": "postgres", "redis": "redis", "rediss": "redis"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def default_store(store: str | Path | bool | None, *, local: bool) -> str | None:
    """The place of the answer store that an option means, as `open_store` takes it in any folder.

    Args:
        store: see `open_store`; False for none; True for the default place; None for the default: on where the run is
            local, or where `LLMDAG_STORE` names a server.
        local: whether the run stays on this machine.

    Raises:
        GraphError: see `open_store`.
    """
    if store is False:
        return None
    if store is None or store is True:
        named = os.environ.get(STORE_VARIABLE)
        off = named is not None and named.strip().lower() in _OFF
        reaches = local or (named is not None and is_on_a_server(named))
        if store is None and (off or not reaches):
            return None
        store = DEFAULT_STORE if off or named is None else named
    return str(store) if is_on_a_server(store) else str(sqlite_file(store).expanduser().absolute())


def is_on_a_server(place: str | Path) -> bool:
    """Whether all machines can use the store at a place."""
    return server_kind(place) is not None


def server_kind(place: str | Path) -> str | None:
    """`"postgres"` or `"redis"`; None for a file, or for what is no place at all."""
    scheme, slashes, _ = str(place).partition("://")
    return _SERVERS.get(scheme.lower()) if isinstance(place, str) and slashes else None


def open_store(place: str | Path) -> AnswerStore:
    """The answer store at a place; nothing is opened or made before its first use.

    Args:
        place: a path or `"sqlite:path"`: a file on a local disk. `"postgresql://user:$PASSWORD@host/database"` (extra
            `postgres`) or `"redis://host:6379/0"`, `"rediss://…"` (extra `redis`): a server, for all machines. `$NAME`
            in an address is a variable of the environment of the process that uses it.

    Raises:
        GraphError: there is no such kind of store; the message names those there are.
        StoreError: a variable in the address is not set, or it is no address.
        ImportError: the client of that server is not installed.
    """
    kind = server_kind(place)
    if kind == "postgres":
        from beam_llmdag.calls.store.postgres import PostgresStore  # its client is an extra

        return PostgresStore(str(place))
    if kind == "redis":
        from beam_llmdag.calls.store.redis import RedisStore  # its client is an extra

        return RedisStore(str(place))
    return SqliteStore(sqlite_file(place))


def sqlite_file(place: str | Path) -> Path:
    """The file at a place.

    Raises:
        GraphError: it is no place of a file.
    """
    named = _SCHEME.match(place) if isinstance(place, str) else None
    if named is None:
        return Path(place)
    scheme, path = named[1], str(place)[named.end() :]
    if scheme.lower() != "sqlite" or not path:  # the rest is not shown: in an address there may be a password
        raise GraphError(
            f"an answer store is a path or 'sqlite:path', 'postgresql://…' or 'redis://…'; there is none for "
            f"'{scheme}:…'. A path whose first name has a colon begins with './'"
        )
    return Path(path)
