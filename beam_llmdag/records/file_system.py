"""Where files are looked for and opened: this machine's disk here, any file system of Beam in `beam/io`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from beam_llmdag.errors import InputError

__all__ = ["LOCAL", "FileSystem", "LocalFileSystem"]

_SIGNS = re.compile(r"\*\*|[*?]|\[!?\]?[^\]]*\]")


class FileSystem(Protocol):
    """A place with files."""

    def paths(self, pattern: str) -> list[str]:
        """The files that match: `*` is any text without `/`, `**` any text, `?` one sign, `[ab]` one of some."""

    def open(self, path: str) -> BinaryIO:
        """A file as its bytes, from the first; they can be sought."""


class LocalFileSystem:
    """The files of this machine, with the patterns of Beam."""

    def paths(self, pattern: str) -> list[str]:
        """See `FileSystem`. In the order of their names."""
        _check_is_local(pattern)
        if not any(sign in pattern for sign in "*?["):
            return [pattern] if os.path.isfile(pattern) else []
        literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        whole = re.compile(_expression(pattern), re.DOTALL)
        return sorted(path for path in _files_below(os.path.dirname(literal)) if whole.fullmatch(path))

    def open(self, path: str) -> BinaryIO:
        """See `FileSystem`."""
        _check_is_local(path)
        return Path(path).open("rb")


LOCAL = LocalFileSystem()


def _check_is_local(path: str) -> None:
    if "://" in path:
        raise InputError(
            f"{path}: only files of this machine are read without Beam; ReadItems reads this one in a pipeline"
        )


def _files_below(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder or os.curdir):
        for name in names:
            path = os.path.join(parent, name)
            yield path if folder else os.path.relpath(path)


def _expression(pattern: str) -> str:
    """A pattern as a regular expression."""
    found, end = "", 0
    for sign in _SIGNS.finditer(pattern):
        found += re.escape(pattern[end : sign.start()]) + _meaning(sign.group())
        end = sign.end()
    return found + re.escape(pattern[end:])


def _meaning(sign: str) -> str:
    if sign.startswith("["):
        inside = sign[1:-1].replace("\\", r"\\")
        return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
    return {"**": ".*", "*": r"[^/\\]*", "?": "."}[sign]
