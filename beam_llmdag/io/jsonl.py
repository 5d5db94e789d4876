"""JSON Lines, and JSON files that hold one array, as raw records; numbers are exact."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from beam_llmdag.io.raw import RawRecord

__all__ = ["json_line_records", "json_records"]


def json_line_records(lines: Iterable[bytes], name: str) -> Iterator[RawRecord]:
    """The records of JSON Lines.

    Blank lines are no records. A line that is not UTF-8, not JSON, or has a key twice in one object is a record with
    a problem. A number that a float cannot hold exactly as written (`0.30000000000000000001`) becomes a `Decimal`.

    Args:
        lines: lines of the file, see `byte_lines`.
        name: name of the file, for `RawRecord.where`.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _parsed(line, f"{name}:line {number}")


def json_records(lines: Iterable[bytes], name: str) -> Iterator[RawRecord]:
    """The elements of a JSON file that is one array; a file that does not begin with `[` is read as JSON Lines.

    A broken array is a single record with a problem. The file is held in memory. For all else see `json_line_records`.
    """
    text = b"".join(lines)
    if not text.lstrip().startswith(b"["):
        yield from json_line_records(text.split(b"\n"), name)
        return
    array = _parsed(text, name)
    if array.problem is not None:
        yield array
        return
    for number, record in enumerate(array.record):
        yield RawRecord(where=f"{name}:record {number} (counted from 0)", record=record)


def _parsed(text: bytes, where: str) -> RawRecord:
    try:
        return RawRecord(where=where, record=_DECODER.decode(text.decode("utf-8").strip()))
    except UnicodeDecodeError as error:
        return RawRecord(where=where, problem=f"byte {error.start} is not UTF-8")
    except RecursionError:
        return RawRecord(where=where, problem="nested too deeply")
    except ValueError as error:
        return RawRecord(where=where, problem=f"not JSON: {error}")


def _number(text: str) -> float | Decimal:
    number = float(text)
    exact = Decimal(text)
    return number if math.isfinite(number) and Decimal(repr(number)) == exact else exact


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice in one object"
        )
    return result


_DECODER = json.JSONDecoder(parse_float=_number, object_pairs_hook=_object)
