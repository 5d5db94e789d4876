"""N items → M items by the answer of a global. Ids that a model invented, dropped or repeated are reported, never guessed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from beam_llmdag.dimension import Regroup, Step
from beam_llmdag.errors import CallError
from beam_llmdag.evaluate import Failed, Skipped, Values, call_user, missing_reason
from beam_llmdag.evaluate_global import NO_GROUP, Sides, global_arguments
from beam_llmdag.item import Item
from beam_llmdag.result import Result, Row

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
    regroup: Regroup, rows: Sequence[Row], sides: Sides, steps: Mapping[str, Step]
) -> tuple[list[Item], Result]:
    """The new items, and the report as a result (see `REGROUP_SCHEMA`)."""
    rows = sorted(rows, key=lambda row: row.item.id)
    try:
        _check_globals(regroup, sides)
        values = Values(subject=NO_GROUP, arguments=global_arguments([regroup.function], rows, sides, steps))
        made = call_user(regroup.function, "regroup function", regroup.name, values)
        items = _new_items(regroup, made, {row.item.id: row.item for row in rows})
    except Skipped as skipped:
        return [], Result(dimension=regroup.name, item_id=NO_GROUP, status="skipped", reason=str(skipped))
    except Failed as failed:
        message = f"regroup {regroup.name!r}: {failed.error.message}"
        error_class = failed.error.error_class
        return [], Result(dimension=regroup.name, item_id=NO_GROUP, status="failed", error_class=error_class, message=message)
    kept, report = _report(items, {row.item.id for row in rows})
    return kept, Result(dimension=regroup.name, item_id=NO_GROUP, status="ok", data=report)


def _check_globals(regroup: Regroup, sides: Sides) -> None:
    for name in regroup.needs:
        if name in sides and not any(result.has_data for result in sides[name].values()):
            result = next(iter(sides[name].values()), None)
            raise Skipped(f"needs {missing_reason(name, result)}")


def _new_items(regroup: Regroup, made: Any, sources: Mapping[str, Item]) -> list[Item]:
    """Items as the function made them, source ids unchecked."""
    if isinstance(made, Mapping):
        items = [_new_item(str(new_id), value, sources) for new_id, value in made.items()]
    elif isinstance(made, Iterable) and not isinstance(made, str):
        items = list(made)
    else:
        items = [made]
    if not all(isinstance(item, Item) for item in items):
        raise _wrong(f"a regroup returns a dict of new id -> source ids, or Items, not {type(made).__name__}: {made!r:.100}")
    ids = [item.id for item in items]
    repeated = sorted({new_id for new_id in ids if ids.count(new_id) > 1})
    if repeated:
        raise _wrong(f"duplicate new ids: {', '.join(repeated[:10])}")
    return items


def _new_item(new_id: str, value: Any, sources: Mapping[str, Item]) -> Item:
    if isinstance(value, Item):
        return replace(value, id=new_id)
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _wrong(f"the new item {new_id!r} needs a list of source ids or an Item, not {type(value).__name__}: {value!r:.100}")
    ids = tuple(dict.fromkeys(str(source_id) for source_id in value))
    content = "\n\n".join(_text(sources[source_id].content) for source_id in ids if source_id in sources)
    return Item(new_id, content, source_ids=ids)


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


def _wrong(message: str) -> Failed:
    return Failed(CallError("user_function", message, sent=False))
