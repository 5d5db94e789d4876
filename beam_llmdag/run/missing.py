"""What a function gets in the place of an answer that is not there, and why it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beam_llmdag.records.result import Result

__all__ = ["Missing", "allows_null", "missing_reason"]

_NEEDS = "needs "
_AND_SO = " and so "


@dataclass(frozen=True, slots=True)
class Missing:
    """Stands for the answer of a dimension that has none, in a function that runs all the same (`on_missing="run"`).

    Only where None is an answer: the model said null. It is false, as None is.

    Args:
        dimension: the dimension that has no answer.
        reason: why, in words.
    """

    dimension: str
    reason: str

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return f"no answer: {self.reason}"


def allows_null(schema: Mapping[str, Any] | None) -> bool:
    """Whether null is an answer.

    Args:
        schema: JSON schema of the answers' data, None for plain text.
    """
    return schema is not None and _allows_null(schema, schema.get("$defs", {}), frozenset())


def missing_reason(name: str, result: Result | None) -> str:
    """Why a dependency has no value, in words. Of a chain of skips it names the nearest and the first."""
    if result is None:
        return f"{name!r}, which has no answer"
    if result.status != "skipped":
        return f"{name!r}, which failed ({result.error_class})"
    reason = result.reason or ""
    if reason.startswith(_NEEDS):
        return f"{name!r}{_AND_SO}{reason.removeprefix(_NEEDS).rpartition(_AND_SO)[2]}"
    return f"{name!r}, which was skipped ({reason})"


def _allows_null(schema: Any, definitions: Mapping[str, Any], inside: frozenset[str]) -> bool:
    if not isinstance(schema, Mapping):
        return schema is True
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = definitions.get(reference.removeprefix("#/$defs/"))
        return reference not in inside and _allows_null(target, definitions, inside | {reference})
    kind = schema.get("type", "null")
    return (
        (kind == "null" or (isinstance(kind, list) and "null" in kind))
        and None in schema.get("enum", [None])
        and schema.get("const") is None
        and all(_allows_null(part, definitions, inside) for part in schema.get("allOf", ()))
        and all(
            any(_allows_null(branch, definitions, inside) for branch in schema[key])
            for key in ("anyOf", "oneOf")
            if key in schema
        )
    )
