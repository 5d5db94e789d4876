"""What a user declared, made fit to be sent to workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

__all__ = ["forget_surroundings"]


def forget_surroundings(declared: Any) -> None:
    """Lets go of the local variables that pydantic keeps with a class that was defined in a function.

    Pydantic keeps them to resolve names in annotations. When the class is complete nobody needs them, but they would be
    pickled with it: a client or a file that happens to be a local variable would keep the class from any worker.
    """
    for model in _models(declared, set()):
        if model.__pydantic_complete__:
            model.__pydantic_parent_namespace__ = None


def _models(declared: Any, seen: set[Any]) -> Iterator[type[BaseModel]]:
    """Pydantic classes in a type, those of their fields and bases included."""
    if isinstance(declared, type) and issubclass(declared, BaseModel):
        if declared is BaseModel or declared in seen:
            return
        seen.add(declared)
        yield declared
        for base in declared.__bases__:
            yield from _models(base, seen)
        for field in declared.model_fields.values():
            yield from _models(field.annotation, seen)
    for argument in get_args(declared):
        yield from _models(argument, seen)
