"""One input record: how it is made from what a user has, and how its id is derived."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from beam_llmdag.errors import InputError
from beam_llmdag.records.plain import check_digits, plain, record_fields
from beam_llmdag.telling import listed, quoted, told

__all__ = ["Item", "RefusedItem", "derived_id", "given_id", "id_text", "item_and_origin", "item_from", "numbered"]

_FLOAT_IS_EXACT_BELOW = 2**53


@dataclass(frozen=True, slots=True)
class Item:
    """One input record.

    Args:
        id: its name, a text; unique among the items of a run.
        content: what is analysed: a text, or JSON-like data, or bytes (of an image, say).
        metadata: more fields, JSON-like.
        source_ids: for an item that a regroup made: the ids it came from, in order.
    """

    id: str
    content: Any
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source_ids: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """What is left of an `Item` that could not travel to the door, where it is refused.

    A coder must not raise: that would end the pipeline, and no other item would be answered.

    Attributes:
        id: its id, None if that was no id.
        problem: why it cannot be an item.
    """

    id: str | None
    problem: str


def item_from(record: Any, *, where: str, id_field: str = "id", content_field: str = "content") -> Item:
    """The item that `record` describes, with all its values converted by `plain`.

    Args:
        record: an `Item`; a text or bytes, which are the content; or named fields: a mapping, dataclass, pydantic
            model or named tuple. Fields other than id and content become metadata, and a mapping called `metadata`
            is merged with them. Content that is null (None, NaN, ...) is the empty text.
        where: what the record is called in error texts, for example `"row 2 (counted from 0)"`.
        id_field: name of the field that holds the id. A record without that field gets the id `derived_id`.
        content_field: name of the field that holds the content.

    Raises:
        InputError: the record is of another type, lacks its content field, has an id that is null, blank or no id,
            or holds a value that is not JSON-like. The message names `where` and the remedy.
    """
    return item_and_origin(record, where=where, id_field=id_field, content_field=content_field)[0]


def item_and_origin(
    record: Any, *, where: str, id_field: str = "id", content_field: str = "content"
) -> tuple[Item, bool]:
    """As `item_from`, and whether the id was derived, so that equal records have equal ids."""
    try:
        return _item_and_origin(record, where, id_field, content_field)
    except InputError:
        raise
    except Exception as error:  # looking at an object may run anybody's code
        raise InputError(f"{where}: cannot be read: {told(error)}") from error


def id_text(value: Any, *, where: str) -> str:
    """An id as text: texts stay as they are, `1` and `1.0` are `"1"`.

    A float is accepted because pandas makes floats of an integer column with a gap. From 2**53 on it may have been
    rounded to another id, so that is an error.

    Raises:
        InputError: null, blank, no whole number, or a type that cannot name a record; the message names `where`.
    """
    known = plain(value, f"{where}: id")
    if known is None or (isinstance(known, str) and not known.strip()):
        raise InputError(f"{where}: id is missing (null or empty); fill it in, or leave the whole field out")
    is_data = isinstance(value, (bytes, bytearray, memoryview))
    if is_data or isinstance(known, bool) or not isinstance(known, (str, int, float)):
        raise InputError(
            f"{where}: id {quoted(value)} is of type {type(value).__name__}; an id is a text or a whole number"
        )
    if isinstance(value, Decimal):
        return _whole_number(value, where)
    return _whole_number(known, where) if isinstance(known, float) else str(known)


def given_id(record: Any, id_field: str = "id") -> str | None:
    """The id of an `Item` or a mapping before anything is known of it; None where it has none that can be shown."""
    if isinstance(record, (Item, RefusedItem)):
        value: Any = record.id
    else:
        value = record.get(id_field) if isinstance(record, Mapping) else None
    try:
        return id_text(value, where="id")
    except InputError:
        return None


def derived_id(content: Any, metadata: Mapping[str, Any]) -> str:
    """An id for a record without one: 80 bits of the SHA-256 of its content and metadata, the same everywhere.

    Metadata counts, so that records with one id are the same in everything and it does not matter which is which.

    Args:
        content: converted content.
        metadata: converted metadata; the order of its keys does not matter.
    """
    known = {"bytes": hashlib.sha256(content).hexdigest()} if isinstance(content, bytes) else {"json": content}
    text = json.dumps([known, dict(metadata)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:20]


def numbered(item: Item, occurrence: int) -> Item:
    """The `occurrence`-th of several equal items with a derived id, counted from 1: `-2`, `-3`, ... is appended."""
    return item if occurrence == 1 else replace(item, id=f"{item.id}-{occurrence}")


def _item_and_origin(record: Any, where: str, id_field: str, content_field: str) -> tuple[Item, bool]:
    if isinstance(record, Item):
        return _normalised(record, where), False
    if isinstance(record, RefusedItem):
        raise InputError(f"{where}: {record.problem}")
    if isinstance(record, (str, bytes, bytearray, memoryview)):
        fields: Mapping[Any, Any] = {content_field: record}
    else:
        found = record_fields(record)
        if found is None:
            raise InputError(
                f"{where}: {type(record).__name__} is no item; an item is an Item, a text, bytes or a mapping "
                f"with the field {content_field!r}"
            )
        fields = found
    if content_field not in fields:
        raise InputError(
            f"{where}: no field {content_field!r}; its fields are {listed(fields) or 'none'}. "
            "Rename one, or name it with content_field="
        )
    content = _content(fields[content_field], f"{where}: {content_field}")
    metadata = _metadata(fields, where, (id_field, content_field))
    if id_field in fields:
        return Item(id_text(fields[id_field], where=where), content, metadata), False
    return Item(derived_id(content, metadata), content, metadata), True


def _whole_number(value: float | Decimal, where: str) -> str:
    if isinstance(value, Decimal):
        check_digits(value.adjusted() + 1, f"{where}: id")
    if value != int(value):
        raise InputError(f"{where}: id {quoted(value)} is no whole number; an id is a text or a whole number")
    if isinstance(value, float) and abs(value) >= _FLOAT_IS_EXACT_BELOW:
        raise InputError(
            f"{where}: id {int(value)} came as a float and may already be rounded (2**53 and above); "
            "read the column as text or as integers"
        )
    return str(int(value))


def _normalised(item: Item, where: str) -> Item:
    if not isinstance(item.metadata, Mapping):
        raise InputError(f"{where}: metadata is a mapping, not {type(item.metadata).__name__}")
    return Item(
        id_text(item.id, where=where),
        _content(item.content, f"{where}: content"),
        plain(item.metadata, f"{where}: metadata"),
        source_ids=tuple(id_text(source, where=f"{where}: source_ids") for source in item.source_ids),
    )


def _content(value: Any, path: str) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    known = plain(value, path)
    return "" if known is None else known


def _metadata(fields: Mapping[Any, Any], where: str, taken: tuple[str, str]) -> dict[str, Any]:
    others = {name: value for name, value in fields.items() if name not in taken}
    nested = plain(others.get("metadata"), f"{where}: metadata")
    if nested is None or isinstance(nested, dict):
        others.pop("metadata", None)
    else:  # an ordinary column that happens to have the name
        nested = None
    metadata: dict[str, Any] = plain(others, where)
    for name, value in (nested or {}).items():
        if metadata.setdefault(name, value) != value:
            raise InputError(f"{where}: the field {quoted(name)} and the same name in metadata differ; keep one")
    return metadata
