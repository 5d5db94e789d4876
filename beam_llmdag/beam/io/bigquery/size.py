"""Rows of BigQuery by the bytes in which a streaming insert sends them; pure, without Google's packages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam import pvalue

from beam_llmdag.records.result import Failure
from beam_llmdag.telling import LONGEST_MESSAGE, quoted, shortened, shown

__all__ = ["LARGE", "LARGEST_ROW_BYTES", "REFUSED", "SMALL_ROWS_PER_INSERT", "BySize", "refused_row", "sent_bytes"]

LARGEST_ROW_BYTES = 9 * 2**20
"""Of a row in a streaming insert. BigQuery takes 10 MB per request, of which some are names and ids."""

SMALL_ROWS_PER_INSERT = 100
_SMALL_ROW_BYTES = LARGEST_ROW_BYTES // SMALL_ROWS_PER_INSERT

LARGE = "large"
"""Tag of rows that need a request of their own."""

REFUSED = "refused"
"""Tag of `Failure`s that tell of rows which no request can hold."""


def sent_bytes(row: Mapping[str, Any]) -> int:
    """Bytes of a row as Google's client sends it: JSON in ASCII, where a character may take six or twelve."""
    return len(json.dumps(row))


class BySize(beam.DoFn):
    """Rows → the small ones, of which `SMALL_ROWS_PER_INSERT` fit one request; others under `LARGE` and `REFUSED`.

    Beam counts the bytes that a row has in memory, and puts more into a request than BigQuery takes. BigQuery then
    refuses all of it, Beam takes that for something that passes, and tries again and again.

    Args:
        table: where the rows go, for messages.
    """

    def __init__(self, table: str) -> None:
        self._table = table

    def process(self, row: dict[str, Any]) -> Iterator[Any]:
        size = sent_bytes(row)
        if size <= _SMALL_ROW_BYTES:
            yield row
        elif size <= LARGEST_ROW_BYTES:
            yield pvalue.TaggedOutput(LARGE, row)
        else:
            limit = f"a streaming insert has a limit of {LARGEST_ROW_BYTES:,}"
            problem = f'it is {size:,} bytes as JSON, {limit}; method="FILE_LOADS" takes longer rows'
            yield pvalue.TaggedOutput(REFUSED, _refusal(row, self._table, problem))


def _refusal(row: Mapping[str, Any], table: str, problem: str) -> Failure:
    """The `Failure` of a row that is not in its table. What an answer said is left out; it is in the answer store."""
    name = str(row.get("id") or row.get("item_id") or "")
    message = f"item {quoted(name)}: its row is not in the table {table}: {problem}"
    return Failure(
        dimension=str(row.get("dimension") or "output"),
        item_id=name,
        error_class="not_written",
        message=shortened(message, LONGEST_MESSAGE),
    )


def refused_row(failed: tuple[str, dict[str, Any], Any]) -> Failure:
    """The `Failure` of a row that BigQuery refused, with its reasons."""
    table, row, errors = failed
    return _refusal(row, table, f"BigQuery refused it: {shown(errors, LONGEST_MESSAGE)}")
