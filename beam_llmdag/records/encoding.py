"""Texts of files in other encodings than UTF-8, and what is said of those that nobody expected."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from beam_llmdag.errors import InputError

__all__ = ["check_encoding", "not_utf8", "utf8_chunks"]

_UTF8_BOM = b"\xef\xbb\xbf"
_BOMS = (
    (b"\xff\xfe\x00\x00", "UTF-32", "utf-32"),
    (b"\x00\x00\xfe\xff", "UTF-32", "utf-32"),
    (b"\xff\xfe", "UTF-16", "utf-16"),
    (b"\xfe\xff", "UTF-16", "utf-16"),
)
_WESTERN_SIGNS = "€‚„…‰‹›‘’“”•–—™¡¢£¥§©«»°±²³´µ·¹º¼½¾¿®ª×÷\xa0"
_LAST_WESTERN_LETTER = "ž"
_LOOKED_AT_BYTES = 1000
_NUL_SHARE = 3  # every second byte of Latin text in UTF-16 is NUL


def check_encoding(encoding: str | None) -> str | None:
    """The name of an encoding as Python writes it; None for UTF-8.

    Raises:
        InputError: Python knows no such encoding of text.
    """
    if encoding is None:
        return None
    try:
        name = codecs.lookup(encoding).name
        "".encode(encoding)
    except LookupError as error:
        examples = "'cp1252', 'latin-1' and 'utf-16' are, for example"
        raise InputError(f"encoding {encoding!r} is not known; {examples}") from error
    return None if name in ("utf-8", "utf-8-sig", "ascii") else name


def utf8_chunks(chunks: Iterable[bytes], name: str, encoding: str | None) -> Iterator[bytes]:
    """The bytes of a text as UTF-8, without a byte order mark.

    Args:
        chunks: bytes of the file.
        name: what the file is called in messages.
        encoding: of the file, see `check_encoding`. Bytes of UTF-8 are handed on as they are, also if they are none.

    Raises:
        InputError: the text is not of that encoding; or is UTF-16 or UTF-32, and nobody said so.
    """
    if encoding is not None:
        yield from _recoded(chunks, name, encoding)
        return
    for number, chunk in enumerate(chunks):
        if number == 0:
            _check_is_not_wide(chunk, name)
            chunk = chunk.removeprefix(_UTF8_BOM)
        yield chunk


def not_utf8(data: bytes) -> str:
    """What is wrong with bytes that are no UTF-8, which encoding they look like, and what to do."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{data[error.start]:02x}"
    looks = _looks_western(data)
    like = "it looks like Windows-1252 (Latin-1)" if looks else "its encoding cannot be told from it"
    example = "'cp1252'" if looks else "…, as it was written"
    return f"not UTF-8 ({byte}); {like}: save the file as UTF-8, or read it with encoding={example}"


def _recoded(chunks: Iterable[bytes], name: str, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    first = True
    try:
        for chunk in chunks:
            text = decoder.decode(chunk)
            yield (text.removeprefix("\ufeff") if first else text).encode("utf-8", "surrogatepass")
            first = first and not text
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except UnicodeError as error:
        raise InputError(f"{name}: the file is not {encoding}: {error}. Name another encoding") from error


def _check_is_not_wide(start: bytes, name: str) -> None:
    for mark, shown, encoding in _BOMS:
        if start.startswith(mark):
            raise InputError(f"{name}: the file is {shown}; save it as UTF-8, or read it with encoding={encoding!r}")
    looked_at = start[:_LOOKED_AT_BYTES]
    if looked_at.count(0) * _NUL_SHARE > len(looked_at):
        encoding = "utf-16-le" if looked_at[1::2].count(0) > looked_at[0::2].count(0) else "utf-16-be"
        raise InputError(
            f"{name}: the file is no UTF-8, it looks like UTF-16 without a byte order mark; save it as UTF-8, or read "
            f"it with encoding={encoding!r}"
        )


def _looks_western(data: bytes) -> bool:
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return False
    others = [sign for sign in text if not sign.isascii()]
    letters = [sign for sign in others if sign.isalpha() and sign <= _LAST_WESTERN_LETTER]
    known = len(letters) + sum(sign in _WESTERN_SIGNS for sign in others)
    # more than half of them are what another alphabet looks like
    return known == len(others) and 2 * len(others) <= len(text)
