"""A record as it stood in a file, before it is an item."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["RawRecord", "byte_lines"]


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


def byte_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a text with their line ends; what follows the last one is known to be whole when it comes."""
    rest: list[bytes] = []
    for chunk in chunks:
        for line in io.BytesIO(chunk):
            rest.append(line)
            if line.endswith(b"\n"):
                yield b"".join(rest)
                rest.clear()
    if rest:
        yield b"".join(rest)
