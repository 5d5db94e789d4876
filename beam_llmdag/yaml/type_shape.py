"""The shape of a value of a Python type, as pydantic makes it."""

from __future__ import annotations

import collections.abc
import dataclasses
import types
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel
from typing_extensions import is_typeddict  # knows its own classes, which pydantic asks for before Python 3.12

from beam_llmdag.yaml.shape import ANYTHING, ListShape, MapShape, ObjectShape, Shape, TupleShape, union_of

__all__ = ["shape_of_type"]

_SCALARS = (str, int, float, bool, bytes, Decimal, date, datetime, time, timedelta, UUID, type(None))
_COLLECTIONS = (list, set, frozenset, tuple)


def shape_of_type(declared: Any) -> Shape:
    """The shape of a value that pydantic made for the type `declared`.

    It is `ANYTHING` where a validator, an open class or a type that is not known may put more into it.
    """
    origin, arguments = get_origin(declared), get_args(declared)
    if origin is None and isinstance(declared, type):
        return _of_class(declared)
    if origin is Annotated:
        return ANYTHING if _is_changed(arguments[1:]) else shape_of_type(arguments[0])
    if origin is Literal:
        return union_of([ObjectShape(value) for value in arguments])
    if origin in (Union, types.UnionType):
        return union_of([shape_of_type(branch) for branch in arguments])
    if isinstance(origin, type):
        return _of_generic(origin, arguments)
    supertype = getattr(declared, "__supertype__", None)  # of a NewType
    return ANYTHING if supertype is None else shape_of_type(supertype)


class _TypedFields(ObjectShape):
    """An object of a class whose fields have declared types, or a `TypedDict`."""

    def __init__(self, model: Any, fields: Mapping[str, Any], *, is_mapping: bool = False) -> None:
        super().__init__(dict if is_mapping else model, fields)
        self._fields = fields
        self.is_mapping = is_mapping

    def field(self, name: str) -> Shape | None:
        return shape_of_type(self._fields[name]) if name in self._fields else super().field(name)


def _of_generic(origin: type, arguments: tuple[Any, ...]) -> Shape:
    if issubclass(origin, collections.abc.Mapping) and len(arguments) == 2:
        return MapShape(shape_of_type(arguments[1]))
    if origin is tuple and Ellipsis not in arguments:
        return TupleShape([shape_of_type(each) for each in arguments])
    return ListShape(shape_of_type(arguments[0]), origin) if origin in _COLLECTIONS else ANYTHING


def _of_class(declared: type) -> Shape:
    if declared in _SCALARS:
        return ObjectShape(declared)
    if issubclass(declared, Enum):
        return union_of([ObjectShape(member) for member in declared])
    if issubclass(declared, BaseModel):
        return _of_model(declared)
    if is_typeddict(declared):
        extra = getattr(declared, "__pydantic_config__", {}).get("extra")
        return ANYTHING if extra == "allow" else _with_hints(declared, is_mapping=True)
    if issubclass(declared, tuple) and hasattr(declared, "_fields"):
        return _of_named_tuple(declared)
    if dataclasses.is_dataclass(declared) and not hasattr(declared, "__post_init__"):
        return _with_hints(declared)
    return ANYTHING


def _of_model(declared: type[BaseModel]) -> Shape:
    if declared.model_config.get("extra") == "allow" or _has_own_lookup(declared):
        return ANYTHING
    checked = {name for each in declared.__pydantic_decorators__.field_validators.values() for name in each.info.fields}
    annotations = {
        name: Any if name in checked or "*" in checked or _is_changed(field.metadata) else field.annotation
        for name, field in declared.model_fields.items()
    }
    return _TypedFields(declared, annotations)


def _is_changed(metadata: Iterable[Any]) -> bool:
    """Whether what stands behind a type in `Annotated` may make something else of its values."""
    return any(hasattr(each, "__get_pydantic_core_schema__") for each in metadata)


def _has_own_lookup(declared: type) -> bool:
    """Whether a class of the user's answers for attributes that it does not have."""
    return any(
        "__getattr__" in vars(base) or "__getattribute__" in vars(base)
        for base in declared.__mro__
        if base not in (BaseModel, object)
    )


def _with_hints(declared: type, *, is_mapping: bool = False) -> Shape:
    if not is_mapping and _has_own_lookup(declared):
        return ANYTHING
    hints = _hints(declared)
    return ANYTHING if hints is None else _TypedFields(declared, hints, is_mapping=is_mapping)


def _of_named_tuple(declared: Any) -> Shape:
    hints = _hints(declared) or {}
    return TupleShape([shape_of_type(hints.get(name, Any)) for name in declared._fields], declared._fields)


def _hints(declared: type) -> dict[str, Any] | None:
    """Field -> type; None if a name in them means nothing here."""
    try:
        return get_type_hints(declared, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return None
