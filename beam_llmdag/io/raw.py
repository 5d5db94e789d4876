"""A record as it stood in a file, before it is an item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from beam_llmdag.errors import InputError

__all__ = ["RawRecord", "byte_lines"]

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRecord:
    """A record that was read, or the reason why one could not be.

    Attributes:
        where: file and place, for example `"in.jsonl:line 2"`.
        record: what stood there; None if it could not be read.
        problem: why it could not be read.
    """

    where: str
    record: Any = None
    problem: str | None = None


def byte_lines(handle: BinaryIO, name: str) -> Iterator[bytes]:
    """The lines of a file with their line ends, without a byte order mark in front.

    Raises:
        InputError: the file is UTF-16.
    """
    # readline() alone: Beam's file objects of compressed files are not iterable
    lines: Iterable[bytes] = iter(handle.readline, b"")
    for number, line in enumerate(lines):
        if number == 0:
            if line.startswith(_UTF16_BOMS):
                raise InputError(f"{name}: the file is UTF-16; save it as UTF-8")
            line = line.removeprefix(_UTF8_BOM)
        yield line
