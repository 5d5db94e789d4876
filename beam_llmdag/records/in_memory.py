"""Items from what a program holds in memory: a list, a generator, a data frame, an Arrow table."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from beam_llmdag.errors import InputError
from beam_llmdag.records.frame import frame_rows
from beam_llmdag.records.item import Item, given_id, item_and_origin, numbered
from beam_llmdag.telling import listed, quoted

__all__ = ["frame_kind", "items_from", "records_of"]


def items_from(source: Any, *, id_field: str = "id", content_field: str = "content") -> list[Item]:
    """The items that `source` holds, in its order.

    Args:
        source: any iterable of records (see `item_from`), a pandas or polars data frame, or a pyarrow table or record
            batch. pandas turns an integer column with a gap into floats; such ids are read as the integers they were.
            Levels of a pandas index that have a name are columns as well, so the id may be the index.
        id_field: name of the field or column with the id. Where it is absent, ids are derived from the records, and
            the second, third, ... of equal records get `-2`, `-3`, ... appended.
        content_field: name of the field or column with the content.

    Raises:
        InputError: a record is no item (the message names its row, counted from 0), two have the same id (the message
            names the first), or `source` is a single record.
    """
    items: list[Item] = []
    derived: list[bool] = []
    for row, record in enumerate(records_of(source, id_field)):
        where = f"row {row} (counted from 0)"
        if isinstance(record, InputError):
            raise InputError(f"{where}: {record}") from record
        given = given_id(record, id_field)
        if given is not None:
            where = f"{where}, id {quoted(given)}"
        item, is_derived = item_and_origin(record, where=where, id_field=id_field, content_field=content_field)
        items.append(item)
        derived.append(is_derived)
    return _unique(items, derived)


def frame_kind(source: Any) -> Literal["arrow", "polars", "pandas"] | None:
    """Which kind of table `source` is; None if it is none. None of them needs to be installed to know it."""
    arrow = sys.modules.get("pyarrow")  # who has a table of it has imported it
    if arrow is not None and isinstance(source, (arrow.Table, arrow.RecordBatch)):
        return "arrow"
    if hasattr(source, "iter_rows") and hasattr(source, "to_arrow"):
        return "polars"
    return "pandas" if hasattr(source, "iloc") and hasattr(source, "columns") else None


def records_of(source: Any, id_field: str) -> Iterable[Any]:
    """The records that `source` holds, see `items_from`, not yet looked at.

    Raises:
        InputError: `source` is a single record, or nothing that holds records.
    """
    if isinstance(source, (str, bytes, bytearray, Mapping, Item)):
        raise InputError(f"a single {type(source).__name__} is no list of items; pass [it] instead")
    kind = frame_kind(source)
    if kind in ("arrow", "polars"):
        from beam_llmdag.records.arrow import table_rows  # Arrow is slow to import, and lists do without

        return table_rows(source if kind == "arrow" else source.to_arrow())
    if kind == "pandas":
        return frame_rows(source, id_field)
    if not isinstance(source, Iterable):
        raise InputError(f"{type(source).__name__} is no list of items; pass a list, a data frame or an Arrow table")
    return source


def _unique(items: list[Item], derived: list[bool]) -> list[Item]:
    seen: Counter[str] = Counter()
    result: list[Item] = []
    for item, is_derived in zip(items, derived, strict=True):
        seen[item.id] += 1
        result.append(numbered(item, seen[item.id]) if is_derived else item)
    counts = Counter(item.id for item in result)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise InputError(
            f"duplicate ids: {len(repeated)} of {len(counts)} ids are not unique: {listed(repeated)}. "
            "1 and '1' are one id. Make ids unique, or leave the field out to have them derived"
        )
    return result
