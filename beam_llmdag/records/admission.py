"""The door of a run that cannot stop for one bad record: a record becomes an item, or a `Failure` that says why not."""

from __future__ import annotations

from typing import Any

from beam_llmdag.errors import InputError
from beam_llmdag.records.item import Item, RefusedItem, given_id, item_from
from beam_llmdag.records.result import Failure
from beam_llmdag.telling import quoted

__all__ = ["admitted"]


def admitted(record: Any, *, id_field: str = "id", content_field: str = "content") -> Item | Failure:
    """The item that a record describes, or why it is none.

    Args:
        record: see `item_from`. What was found to be no record on the way here is handed over as it came: a `Failure`
            of `read_items`, an `InputError` of a table's row.
        id_field: name of the field that holds the id.
        content_field: name of the field that holds the content.
    """
    if isinstance(record, Failure):
        return record
    named = given_id(record, id_field)
    kind = "Item" if isinstance(record, RefusedItem) else type(record).__name__
    where = f"element of type {kind}" if named is None else f"element with id {quoted(named)}"
    try:
        if isinstance(record, InputError):
            raise record
        return item_from(record, where=where, id_field=id_field, content_field=content_field)
    except InputError as error:
        item_id = named or (kind if isinstance(record, (Item, RefusedItem)) else quoted(record))
        return Failure(dimension="input", item_id=item_id, error_class="bad_input", message=str(error))
