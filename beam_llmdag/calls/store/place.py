"""Where paid answers are kept, as options and the environment say it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["DEFAULT_STORE", "default_store"]

DEFAULT_STORE = Path(".llmdag") / "answers.sqlite"
"""Where local runs keep paid answers, unless the environment variable `LLMDAG_STORE` names another file, or `off`."""

STORE_VARIABLE = "LLMDAG_STORE"
_OFF = ("", "off", "0", "false", "no")


def default_store(store: str | Path | bool | None, *, local: bool) -> str | None:
    """The file of the answer store that an option means.

    Args:
        store: a path; False for none; True for the default place; None for the default: on where the run is local.
        local: whether the run stays on this machine.
    """
    if store is False or (store is None and not local):
        return None
    if store is None or store is True:
        named = os.environ.get(STORE_VARIABLE)
        off = named is not None and named.strip().lower() in _OFF
        if off and store is None:
            return None
        store = DEFAULT_STORE if off or named is None else named
    return str(Path(store).expanduser().absolute())
