"""N items → M items by the answer of a global. Ids that a model invented, dropped or repeated are reported."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from beam_llmdag.errors import InputError
from beam_llmdag.graph.dimension import Regroup
from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.item import Item, id_text, item_from
from beam_llmdag.records.result import Result, Row
from beam_llmdag.run.evaluate_global import NO_GROUP, Sides, global_arguments, item_needs
from beam_llmdag.run.missing import missing_reason
from beam_llmdag.run.on_missing import check_pending, complete_rows
from beam_llmdag.run.user_code import Failed, Pending, Skipped, Values, call_user, guarded, user_error
from beam_llmdag.telling import listed, quoted, shown

__all__ = ["REGROUP_SCHEMA", "regroup_rows"]

_IDS = {"type": "array", "items": {"type": "string"}}
REGROUP_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "groups": {"type": "object", "additionalProperties": _IDS},
        "unknown": _IDS,
        "left_out": _IDS,
        "in_several": _IDS,
        "empty": _IDS,
    },
    "required": ["groups", "unknown", "left_out", "in_several", "empty"],
}
"""JSON schema of a regroup's report: new id -> source ids; ids that are no items; items in no group; items in several;
groups without a known item, which become no item."""


def regroup_rows(
    regroup: Regroup, rows: Sequence[Row], sides: Sides, graph: Graph, *, rows_wait: bool = False
) -> tuple[list[Item], Result]:
    """The new items, and the report as a result (see `REGROUP_SCHEMA`).

    The function sees the rows that have answers of the item dimensions it asks for; the others are left out, unless it
    names their ids. A group whose name is blank becomes no item; the report's `reason` counts those.

    Args:
        rows_wait: whether it is not known yet which rows there are.
    """
    rows = sorted(rows, key=lambda row: row.item.id)
    try:
        if rows_wait:
            raise Pending("which items there are depends on an answer that waits for a batch")
        made = _made(regroup, rows, sides, graph)
        sources = {row.item.id: row.item for row in rows}
        items, unnamed = guarded(lambda: _new_items(made, sources), regroup.function.label, regroup.function.call)
    except Pending as pending:
        return [], Result(dimension=regroup.name, item_id=NO_GROUP, status="pending", reason=str(pending))
    except Skipped as skipped:
        return [], Result(dimension=regroup.name, item_id=NO_GROUP, status="skipped", reason=str(skipped))
    except Failed as failed:
        message = f"regroup {regroup.name!r}: {failed.error.message}"
        return [], Result(
            dimension=regroup.name,
            item_id=NO_GROUP,
            status="failed",
            error_class=failed.error.error_class,
            message=message,
            traceback=failed.error.traceback,
        )
    kept, report = _report(items, {row.item.id for row in rows})
    reason = f"groups without a name, which became no item: {unnamed}" if unnamed else None
    return kept, Result(dimension=regroup.name, item_id=NO_GROUP, status="ok", data=report, reason=reason)


def _made(regroup: Regroup, rows: Sequence[Row], sides: Sides, graph: Graph) -> Any:
    """What the user's function returns.

    Raises:
        Pending: it needs an answer that waits for a batch.
        Skipped: a global that it needs has no answer, or there are no items.
        Failed: it raised.
    """
    check_pending(item_needs(regroup.needs, graph), *(row.results for row in rows))
    check_pending(regroup.needs, *({name: result} for name in sides for result in sides[name].values()))
    for name in regroup.needs:
        if name in sides and not any(result.has_data for result in sides[name].values()):
            raise Skipped(f"needs {missing_reason(name, next(iter(sides[name].values()), None))}")
    complete, left_out = complete_rows(item_needs(regroup.needs, graph), rows)
    if not complete:
        raise Skipped(f"no items: {len(left_out)} left out, because they have no answers" if left_out else "no items")
    values = Values(subject=NO_GROUP, arguments=global_arguments(regroup.needs, complete, sides, graph))
    return call_user(regroup.function, values)


def _new_items(made: Any, sources: Mapping[str, Item]) -> tuple[list[Item], int]:
    """Items as the function made them, source ids unchecked, and how many groups had no name.

    Raises:
        Failed: it made something else, or two items with one id.
        Exception: the user's iterators and objects may raise anything.
    """
    if isinstance(made, Mapping):
        named = [(_id_text(new_id), value) for new_id, value in made.items()]
        found = [_new_item(new_id, value, sources) for new_id, value in named if new_id.strip()]
        unnamed = len(named) - len(found)
    else:
        found = list(made) if isinstance(made, Iterable) and not isinstance(made, (str, bytes)) else [made]
        unnamed = 0
        if not all(isinstance(item, Item) for item in found):
            kind = type(made).__name__
            raise user_error(f"a regroup returns a dict of new id -> source ids, or Items, not {kind}: {shown(made)}")
    items = [_at_the_door(item) for item in found]
    repeated = sorted(new_id for new_id, times in Counter(item.id for item in items).items() if times > 1)
    if repeated:
        raise user_error(f"duplicate new ids: {listed(repeated)}")
    return items, unnamed


def _new_item(new_id: str, value: Any, sources: Mapping[str, Item]) -> Item:
    if isinstance(value, Item):
        return replace(value, id=new_id)
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        kind = type(value).__name__
        raise user_error(
            f"the new item {quoted(new_id)} needs a list of source ids or an Item, not {kind}: {shown(value)}"
        )
    ids = tuple(dict.fromkeys(_ids_of(value)))
    contents = [sources[source_id].content for source_id in ids if source_id in sources]
    if any(isinstance(content, bytes) for content in contents):
        raise user_error(f"the new item {quoted(new_id)} would join contents that are bytes: return Items instead")
    return Item(new_id, "\n\n".join(map(_text, contents)), source_ids=ids)


def _at_the_door(item: Item) -> Item:
    """The item with all its values converted, like one that is read.

    Raises:
        Failed: it holds what no item can.
    """
    source_ids = tuple(_ids_of(item.source_ids))
    try:
        converted = item_from(replace(item, source_ids=()), where=f"new item {quoted(item.id)}")
        return replace(converted, source_ids=source_ids)
    except InputError as error:
        raise user_error(str(error)) from None


def _ids_of(sources: Iterable[Any]) -> list[str]:
    """Ids in the order in which they were given; those of a set, which has none, sorted."""
    ids = [_id_text(source) for source in sources]
    return sorted(ids) if isinstance(sources, (set, frozenset)) else ids


def _id_text(value: Any) -> str:
    """An id as a model or a user wrote it, or of an item; one that can be no id stays a text, and so is reported."""
    if isinstance(value, Item):
        value = value.id
    try:
        return id_text(value, where="id")
    except InputError:
        return "" if value is None else str(value)


def _report(items: Sequence[Item], known: set[str]) -> tuple[list[Item], dict[str, Any]]:
    """The items with their known source ids, and what was wrong with the others."""
    kept: list[Item] = []
    seen: dict[str, int] = {}
    unknown: dict[str, None] = {}
    empty: list[str] = []
    for item in items:
        ids = tuple(source_id for source_id in item.source_ids if source_id in known)
        unknown.update(dict.fromkeys(source_id for source_id in item.source_ids if source_id not in known))
        for source_id in ids:
            seen[source_id] = seen.get(source_id, 0) + 1
        if not ids and (item.source_ids or not item.content):
            empty.append(item.id)
        else:
            kept.append(replace(item, source_ids=ids))
    report = {
        "groups": {item.id: list(item.source_ids) for item in kept},
        "unknown": list(unknown),
        "left_out": sorted(known - set(seen)),
        "in_several": sorted(source_id for source_id, times in seen.items() if times > 1),
        "empty": empty,
    }
    return kept, report


def _text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
