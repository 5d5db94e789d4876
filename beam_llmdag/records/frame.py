"""Rows of a pandas data frame, whose index may hold what is a column elsewhere. pandas need not be installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from beam_llmdag.errors import InputError
from beam_llmdag.telling import listed, quoted

__all__ = ["frame_rows", "named_index"]


def frame_rows(frame: Any, id_field: str) -> Iterator[dict[Any, Any]]:
    """The rows of a frame as dicts: the levels of its index that have a name, then its columns.

    A level without a name only counts rows, and is left out.

    Args:
        frame: a pandas data frame.
        id_field: name of the column, or level, with the id.

    Raises:
        InputError: two columns have one name; or a level and a column have, and differ; or no column is the id, and
            the index holds texts without a name, so that it may be.
    """
    if not frame.columns.is_unique:
        raise InputError(
            f"the data frame has more than one column called "
            f"{listed(frame.columns[frame.columns.duplicated()].unique())}; rename them"
        )
    levels = _levels(frame)
    if id_field not in frame.columns and id_field not in levels:
        _check_no_texts(frame, id_field)
    for number, row in enumerate(frame.to_dict("records")):
        yield {**{name: level[number] for name, level in levels.items()}, **row}


def named_index(frame: Any) -> list[Any]:
    """The names of the levels of a frame's index that have one."""
    return [name for name in frame.index.names if name is not None]


def _levels(frame: Any) -> dict[Any, Any]:
    """The levels of the index that are no columns."""
    found: dict[Any, Any] = {}
    for number, name in enumerate(frame.index.names):
        if name is None:
            continue
        level = frame.index.get_level_values(number)
        if name in found:
            raise InputError(f"the index of the data frame has more than one level called {quoted(name)}; rename them")
        if name not in frame.columns:
            found[name] = level
        elif not level.equals(type(level)(frame[name])):
            raise InputError(
                f"the data frame has an index and a column called {quoted(name)}, and they differ; drop one with "
                f"reset_index(drop=True), or rename the index"
            )
    return found


def _check_no_texts(frame: Any, id_field: str) -> None:
    for number, name in enumerate(frame.index.names):
        level = frame.index.get_level_values(number)
        if name is None and len(level) and isinstance(level[0], str):
            raise InputError(
                f"the data frame has no column {id_field!r}, and its index holds texts without a name: is it the id? "
                f"Then frame.rename_axis({id_field!r}) says so; else leave it out with frame.reset_index(drop=True)"
            )
