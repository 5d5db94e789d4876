"""JSON Lines, and JSON files that hold arrays or objects over many lines, as raw records; numbers are exact."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import chain, islice
from typing import Any

from beam_llmdag.records.encoding import not_utf8
from beam_llmdag.records.plain import check_digits
from beam_llmdag.records.raw import RawRecord
from beam_llmdag.telling import quoted

__all__ = ["json_line_records", "json_records"]


def json_line_records(lines: Iterable[bytes], name: str) -> Iterator[RawRecord]:
    """The records of JSON Lines, or of JSON that is printed over many lines.

    Blank lines are no records. A line that is not UTF-8, not JSON, or has a key twice in one object is a record with
    a problem. A number that a float cannot hold exactly as written (`0.30000000000000000001`) becomes a `Decimal`.

    Where the first line is no JSON by itself, the file may be one array, or objects one after the other, that are
    printed over many lines. It is read as that, held in memory for it, and a single record with a problem if it is
    broken; unless the line behind the first is a whole object, so that only the first one of many is broken.

    Args:
        lines: lines of the file, see `byte_lines`.
        name: name of the file, for `RawRecord.where`.
    """
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    start = list(islice(numbered, 2))
    if start and _is_part(start):
        yield from _document_records(b"".join(line for _, line in chain(start, numbered)), name)
        return
    for number, line in chain(start, numbered):
        yield from _line_records(line, f"{name}:line {number}")


def json_records(lines: Iterable[bytes], name: str) -> Iterator[RawRecord]:
    """The elements of a JSON file that is one array; a file that does not begin with `[` is read as JSON Lines.

    A broken array is a single record with a problem. The file is held in memory. For all else see `json_line_records`.
    """
    text = b"".join(lines)
    if text.lstrip().startswith(b"["):
        yield from _document_records(text, name)
    else:
        yield from json_line_records(io.BytesIO(text), name)


def _is_part(start: list[tuple[int, bytes]]) -> bool:
    """Whether the first lines of a file are parts of one JSON text, and no records by themselves."""
    first = start[0][1].lstrip()
    if not first.startswith((b"[", b"{")) or _is_whole(first):
        return False
    return first.startswith(b"[") or (len(start) == 2 and not _is_whole(start[1][1], (dict,)))


def _is_whole(line: bytes, kinds: tuple[type, ...] = (dict, list)) -> bool:
    values = _parsed_values(line, "")
    return not isinstance(values, RawRecord) and isinstance(values[0], kinds)


def _line_records(line: bytes, where: str) -> Iterator[RawRecord]:
    values = _parsed_values(line, where)
    if isinstance(values, RawRecord):
        yield values
    elif len(values) == 1:
        yield RawRecord(where=where, record=values[0])
    else:
        for number, value in enumerate(values):
            yield RawRecord(where=f"{where}, object {number} (counted from 0)", record=value)


def _document_records(text: bytes, name: str) -> Iterator[RawRecord]:
    values = _parsed_values(text, name)
    if isinstance(values, RawRecord):
        yield values
        return
    records = chain.from_iterable(value if isinstance(value, list) else [value] for value in values)
    for number, record in enumerate(records):
        yield RawRecord(where=f"{name}:record {number} (counted from 0)", record=record)


def _parsed_values(data: bytes, where: str) -> list[Any] | RawRecord:
    """The values that stand in a text one after the other, several only if they are objects; or what is wrong."""
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        return RawRecord(where=where, problem=not_utf8(data))
    try:
        value, end = _DECODER.raw_decode(text)
        values = [value]
        while end < len(text):
            start = _after_space(text, end)
            if not isinstance(value, (dict, list)) or not text.startswith(("{", "["), start):
                raise json.JSONDecodeError("Extra data", text, start)
            value, end = _DECODER.raw_decode(text, start)
            values.append(value)
    except RecursionError:
        return RawRecord(where=where, problem="nested too deeply")
    except ValueError as error:
        return RawRecord(where=where, problem=f"not JSON: {error}")
    return values


def _after_space(text: str, start: int) -> int:
    found = _NO_SPACE.search(text, start)
    return len(text) if found is None else found.start()


def _number(text: str) -> float | Decimal:
    number = float(text)
    exact = Decimal(text)
    return number if math.isfinite(number) and Decimal(repr(number)) == exact else exact


def _integer(text: str) -> int:
    check_digits(len(text), "its numbers")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {quoted(repeated)} stands twice in one object")
    return result


_NO_SPACE = re.compile(r"\S")
_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_number, object_pairs_hook=_object)
