"""What is known of a value before there is one: the fields and elements that a template may ask it for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from inspect import getattr_static
from typing import Any

__all__ = ["ANYTHING", "ListShape", "MapShape", "ObjectShape", "Shape", "TupleShape", "union_of"]


class Shape(ABC):
    """What is known of a value.

    Attributes:
        is_mapping: whether its fields are keys of a dict, which `get` reads as well.
        names: of its fields, to suggest one of them.
    """

    is_mapping: bool = False
    names: tuple[str, ...] = ()

    @abstractmethod
    def field(self, name: str) -> Shape | None:
        """Its field of that name, which may be a method; None if it can have no such field."""

    def item(self, _: int | None = None) -> Shape:
        """What `value[index]` is; None stands for an index that is not known."""
        return ANYTHING

    def element(self) -> Shape:
        """What a loop over it goes through."""
        return ANYTHING


class _Anything(Shape):
    """A value of which nothing is known, so that everything may be asked of it."""

    def field(self, _: str) -> Shape:
        return self


ANYTHING = _Anything()


class ObjectShape(Shape):
    """A value with the attributes of a Python object, of which nothing more is known.

    Args:
        model: the object, or its class.
        names: those of its attributes to suggest.
    """

    def __init__(self, model: Any, names: Iterable[str] = ()) -> None:
        self._model = model
        self.names = tuple(names)

    def field(self, name: str) -> Shape | None:
        return _attribute(self._model, name)


class ListShape(Shape):
    """A list, set or other collection.

    Args:
        element: what each element is.
        model: its class, whose methods it has.
    """

    def __init__(self, element: Shape, model: Any = list) -> None:
        self._element = element
        self._model = model

    def field(self, name: str) -> Shape | None:
        return _attribute(self._model, name)

    def item(self, _: int | None = None) -> Shape:
        return self._element

    def element(self) -> Shape:
        return self._element


class TupleShape(ListShape):
    """A tuple of values that differ.

    Args:
        items: what each of them is.
        names: their names, for a named tuple.
    """

    def __init__(self, items: Sequence[Shape], names: Sequence[str] = ()) -> None:
        super().__init__(union_of(items), tuple)
        self._items = items
        self.names = tuple(names)

    def field(self, name: str) -> Shape | None:
        return self._items[self.names.index(name)] if name in self.names else super().field(name)

    def item(self, index: int | None = None) -> Shape:
        if index is None or not -len(self._items) <= index < len(self._items):
            return self.element()
        return self._items[index]


class MapShape(Shape):
    """A dict with any keys.

    Args:
        value: what each value is.
    """

    def __init__(self, value: Shape) -> None:
        self.value = value

    def field(self, name: str) -> Shape | None:
        return _attribute(dict, name) or self.value

    def item(self, _: int | None = None) -> Shape:
        return self.value


class _Union(Shape):
    """A value that is one of several: what any of them has may be asked of it."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self._shapes = shapes
        self.is_mapping = any(shape.is_mapping for shape in shapes)
        self.names = tuple(dict.fromkeys(name for shape in shapes for name in shape.names))

    def field(self, name: str) -> Shape | None:
        found = [field for shape in self._shapes if (field := shape.field(name)) is not None]
        return union_of(found) if found else None

    def item(self, index: int | None = None) -> Shape:
        return union_of([shape.item(index) for shape in self._shapes])

    def element(self) -> Shape:
        return union_of([shape.element() for shape in self._shapes])


def union_of(shapes: Sequence[Shape]) -> Shape:
    """A value that is one of `shapes`."""
    if not shapes or any(shape is ANYTHING for shape in shapes):
        return ANYTHING
    return shapes[0] if len(shapes) == 1 else _Union(shapes)


_MISSING = object()


def _attribute(model: Any, name: str) -> Shape | None:
    """Anything if there is such an attribute; looked up without running a property of the user's."""
    return None if getattr_static(model, name, _MISSING) is _MISSING else ANYTHING
