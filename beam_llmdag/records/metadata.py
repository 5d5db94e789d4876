"""The type of the column `metadata` where all rows are at hand: a struct with a field per name, of the type it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from beam_llmdag.records.arrow_schemas import UNKNOWN_METADATA, json_text_field

__all__ = ["metadata_field"]

_INT64 = 2**63
_SCALARS = {bool: pa.bool_(), str: pa.string(), float: pa.float64()}


def metadata_field(metadata: Iterable[Mapping[str, Any]]) -> pa.Field[Any]:
    """The column for the metadata of rows: the union over all of them, in the order in which names come.

    | values of a name | type |
    |---|---|
    | texts, truth values, integers of up to 64 bits, numbers | string, bool, int64, double |
    | integers and other numbers | double |
    | lists, objects | list, struct, of the union of what is in them |
    | null in all rows | string |
    | anything else: other integers, several of these kinds, empty objects | string that holds JSON text |

    Args:
        metadata: what rows have; converted by `plain`.
    """
    found = _struct("metadata", metadata)
    return found if pa.types.is_struct(found.type) else UNKNOWN_METADATA


def _union(name: str, values: Iterable[Any]) -> pa.Field[Any]:
    known = [value for value in values if value is not None]
    kinds = {type(value) for value in known}
    if not kinds:
        return pa.field(name, pa.string())
    if kinds == {dict}:
        return _struct(name, known)
    if kinds == {list}:
        return pa.field(name, pa.list_(_union("element", (inner for value in known for inner in value))))
    if int in kinds and kinds <= {int, float} and all(-_INT64 <= value < _INT64 for value in known):
        return pa.field(name, pa.int64() if kinds == {int} else pa.float64())
    only = _SCALARS.get(kinds.pop()) if len(kinds) == 1 else None
    return json_text_field(name) if only is None else pa.field(name, only)


def _struct(name: str, values: Iterable[Mapping[str, Any]]) -> pa.Field[Any]:
    by_name: dict[str, list[Any]] = {}
    for value in values:
        for key, inner in value.items():
            by_name.setdefault(key, []).append(inner)
    if not by_name:
        return json_text_field(name)
    return pa.field(name, pa.struct([_union(key, inner) for key, inner in by_name.items()]))
