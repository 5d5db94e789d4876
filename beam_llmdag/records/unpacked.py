"""What stands in a packed file, to its end: a file whose end is missing is an error, and not a shorter file.

Beam's own file objects hand out what they could unpack, and then say that the file is at its end.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import zstandard

from beam_llmdag.errors import InputError
from beam_llmdag.records.file_system import FileSystem

__all__ = ["PACKINGS", "chunks_of", "is_packed"]

_CHUNK_BYTES = 2**18
_LARGEST_WINDOW_BYTES = 2**31
_BROKEN = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, ValueError)


class _Packing(NamedTuple):
    name: str
    unpacker: Callable[[], Any]


def _zstd() -> Any:
    return zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW_BYTES).decompressobj()


_GZIP = _Packing("gzip", lambda: zlib.decompressobj(zlib.MAX_WBITS | 16))
_BZIP2 = _Packing("bzip2", bz2.BZ2Decompressor)
_XZ = _Packing("xz", lzma.LZMADecompressor)
_ZSTD = _Packing("zstd", _zstd)

PACKINGS: dict[str, _Packing] = {
    ".gz": _GZIP,
    ".bz2": _BZIP2,
    ".deflate": _Packing("deflate", zlib.decompressobj),
    ".zst": _ZSTD,
    ".zstd": _ZSTD,
    ".xz": _XZ,
    ".lzma": _XZ,
}
"""Ending of a file's name -> how it is packed."""

_SIGNS = (
    (b"\x1f\x8b", "is packed with gzip, which its name does not say; let it end in .gz"),
    (b"BZh", "is packed with bzip2, which its name does not say; let it end in .bz2"),
    (b"\xfd7zXZ\x00", "is packed with xz, which its name does not say; let it end in .xz"),
    (b"\x28\xb5\x2f\xfd", "is packed with zstd, which its name does not say; let it end in .zst"),
    (b"PK\x03\x04", "is a zip archive, which may hold several files; unpack it first"),
)
"""How packed files begin. No text does."""


def chunks_of(path: str, name: str, place: FileSystem) -> Iterator[bytes]:
    """The bytes of a file, unpacked if the ending of its name says so.

    Archives of several parts one after the other are read to their end. A missing end is known there, so what came
    before has been handed out by then.

    Args:
        path: where the file is.
        name: what the file is called in messages.
        place: the file system that has it.

    Raises:
        InputError: the end of a packed file is missing, it is damaged, or it is packed in another way than its name
            says.
    """
    packing = _packing(path)
    with place.open(path) as handle:
        chunks = iter(lambda: handle.read(_CHUNK_BYTES), b"")
        yield from _checked(chunks, name) if packing is None else _unpacked(chunks, name, packing)


def is_packed(path: str) -> bool:
    """Whether the ending of a name says that a file is packed."""
    return _packing(path) is not None


def _packing(path: str) -> _Packing | None:
    return next((packing for ending, packing in PACKINGS.items() if path.lower().endswith(ending)), None)


def _checked(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    for number, chunk in enumerate(chunks):
        if number == 0:
            for sign, problem in _SIGNS:
                if chunk.startswith(sign):
                    raise InputError(f"{name}: the file {problem}")
        yield chunk


def _unpacked(chunks: Iterator[bytes], name: str, packing: _Packing) -> Iterator[bytes]:
    unpacker: Any = None
    parts = 0
    for chunk in chunks:
        rest = chunk
        while rest:
            if unpacker is None or unpacker.eof:
                rest = rest if unpacker is None else rest.lstrip(b"\x00")  # padding between parts and at the end
                if not rest:
                    break
                unpacker = packing.unpacker()
                parts += 1
            try:
                data = unpacker.decompress(rest)
            except _BROKEN as error:
                raise InputError(_damage(name, packing.name, parts, error)) from error
            yield data
            rest = unpacker.unused_data if unpacker.eof else b""
    if unpacker is None or not unpacker.eof:
        raise InputError(
            f"{name}: the file ends before its {packing.name} data does: it is incomplete, cut by a broken copy, say. "
            "Get the whole file"
        )


def _damage(name: str, packing: str, parts: int, error: Exception) -> str:
    if parts > 1:
        return f"{name}: behind the {packing} data stands something that is none: {error}. Get the file again"
    return f"{name}: the file is damaged, or is not packed with {packing}: {error}. Get it again, or rename it"
