"""Where paid answers are kept, as options and the environment say it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from beam_llmdag.calls.store.answers import AnswerStore
from beam_llmdag.calls.store.sqlite import SqliteStore
from beam_llmdag.errors import GraphError

__all__ = ["DEFAULT_STORE", "default_store", "open_store"]

DEFAULT_STORE = Path(".llmdag") / "answers.sqlite"
"""Where local runs keep paid answers, unless the environment variable `LLMDAG_STORE` names another file, or `off`."""

STORE_VARIABLE = "LLMDAG_STORE"
_OFF = ("", "off", "0", "false", "no")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def default_store(store: str | Path | bool | None, *, local: bool) -> str | None:
    """The place of the answer store that an option means, as `open_store` takes it in any folder.

    Args:
        store: see `open_store`; False for none; True for the default place; None for the default: on where the run is
            local.
        local: whether the run stays on this machine.

    Raises:
        GraphError: see `open_store`.
    """
    if store is False or (store is None and not local):
        return None
    if store is None or store is True:
        named = os.environ.get(STORE_VARIABLE)
        off = named is not None and named.strip().lower() in _OFF
        if off and store is None:
            return None
        store = DEFAULT_STORE if off or named is None else named
    return str(_sqlite_file(store).expanduser().absolute())


def open_store(place: str | Path) -> AnswerStore:
    """The answer store at a place; nothing is opened or made before its first use.

    Args:
        place: a path, or `"sqlite:path"`.

    Raises:
        GraphError: there is no such kind of store; the message names those there are.
    """
    return SqliteStore(_sqlite_file(place))


def _sqlite_file(place: str | Path) -> Path:
    named = _SCHEME.match(place) if isinstance(place, str) else None
    if named is None:
        return Path(place)
    scheme, path = named[1], str(place)[named.end() :]
    if scheme.lower() != "sqlite" or not path:  # the rest is not shown: in an address there may be a password
        raise GraphError(
            f"an answer store is a path or 'sqlite:path'; there is none for '{scheme}:…'. "
            "A path whose first name has a colon begins with './'"
        )
    return Path(path)
