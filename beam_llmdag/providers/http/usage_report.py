"""What a vendor says it has counted, believed where its numbers are numbers and agree with each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from beam_llmdag.usage import MOST_TOKENS, Usage

__all__ = ["UsageError", "agreed", "count", "details", "openai_usage", "part"]


class UsageError(ValueError):
    """A report of tokens that nobody can believe: then it is not known what was used."""


def count(value: Any) -> int:
    """A number of tokens that must be there.

    Raises:
        UsageError: it is none.
    """
    if isinstance(value, float) and value.is_integer():  # some languages know no other numbers
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS:
        return value
    raise UsageError


def part(value: Any) -> int:
    """A number of tokens that a vendor leaves out, or sends as null, where there are none.

    Raises:
        UsageError: it is something else.
    """
    return 0 if value is None else count(value)


def details(value: Any) -> Mapping[str, Any]:
    """An object with parts of a number, which may be left out or empty.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(value, Mapping):
        return value
    if value is None or value == []:  # PHP writes an empty object so
        return {}
    raise UsageError


def agreed(readings: Iterable[Usage], total: Any) -> Usage:
    """The reading of a report that its total confirms. Without a total the first one holds, the vendor's own.

    Args:
        readings: what the numbers can mean: gateways count cached or reasoning tokens in the totals or beside them.
        total: the tokens of all kinds, if the report has them.

    Raises:
        UsageError: no reading has its parts inside of its wholes and this total.
    """
    if total is None:
        readings = list(readings)[:1]
    for usage in readings:
        if usage.is_possible and (total is None or usage.input_tokens + usage.output_tokens == count(total)):
            return usage
    raise UsageError


def openai_usage(report: Any, read: str, written: str) -> Usage | None:
    """The tokens in a report of one of OpenAI's APIs; at OpenAI cached and reasoning tokens are parts of the totals.

    Args:
        report: the object; None if there is none.
        read: what the API calls input.
        written: what it calls output.

    Raises:
        UsageError: it cannot be believed.
    """
    if not report:
        return None
    report = details(report)
    inputs, outputs = details(report.get(f"{read}_tokens_details")), details(report.get(f"{written}_tokens_details"))
    cached, kept = part(inputs.get("cached_tokens")), part(inputs.get("cache_write_tokens"))
    thought = part(outputs.get("reasoning_tokens"))
    all_read, all_written = count(report.get(f"{read}_tokens")), count(report.get(f"{written}_tokens"))
    readings = [
        Usage(
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cache_read_tokens=cached,
            cache_write_tokens=kept,
            reasoning_tokens=thought,
        )
        for tokens_in in (all_read, all_read + cached + kept)
        for tokens_out in (all_written, all_written + thought)
    ]
    return agreed(readings, report.get("total_tokens"))
