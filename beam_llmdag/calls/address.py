"""Addresses of servers that workers share: passwords are filled in on the worker, and never shown."""

from __future__ import annotations

import re
from os import environ
from string import Template
from urllib.parse import urlsplit

__all__ = ["filled_in", "without_secrets"]

_HIDDEN = "(a URL that is not shown)"


def filled_in(url: str) -> str:
    """`url` with this process' environment variables in place of `$NAME`.

    Raises:
        ValueError: there is no such variable, or a `$` without a name; in words that follow the name of an option.
    """
    try:
        return Template(url).substitute(environ)
    except KeyError as missing:
        raise ValueError(f"names ${missing.args[0]}: set it on the worker") from None
    except ValueError:
        raise ValueError("has a $ that is followed by no name: write %24 for the sign") from None


def without_secrets(url: str) -> str:
    """What of a URL may be shown. Of one that is not understood that is nothing: any part may be the password's."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return _HIDDEN
    if not parts.hostname:
        return _HIDDEN
    database = parts.path if re.fullmatch(r"/\w*", parts.path) else ""
    return f"{parts.scheme}://{parts.hostname}{f':{port}' if port else ''}{database}"
