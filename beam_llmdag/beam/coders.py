"""Coders of what crosses a PCollection: plain data as compact JSON, never a user's class."""

from __future__ import annotations

import base64
import json
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import Any, Generic, TypeVar, cast

from apache_beam.coders import coders
from apache_beam.coders.typecoders import registry
from pydantic_core import from_json, to_json

from beam_llmdag.errors import InputError
from beam_llmdag.records.item import Item, RefusedItem, given_id, item_from
from beam_llmdag.records.result import Attempt, CostRow, Failure, Result, Row
from beam_llmdag.usage import Usage

__all__ = ["JsonCoder", "RowCoder", "register"]

T = TypeVar("T")

_REFUSED = 2
"""Values that tell of a `RefusedItem`; an `Item` has more."""


class JsonCoder(coders.Coder, Generic[T]):
    """A value as JSON text of nested lists.

    Keys of mappings keep their order, since prompts show it. Equal values with keys in another order have other bytes,
    so where a runner compares bytes (keys of a grouping) it gets the coder that sorts them.
    """

    kind: type[T]

    def __init__(self, *, sorts_keys: bool = False) -> None:
        self._sorts_keys = sorts_keys

    @abstractmethod
    def to_plain(self, value: T) -> list[Any]:
        """`value` as nested lists."""

    @abstractmethod
    def from_plain(self, plain: list[Any]) -> T:
        """The value back."""

    def encode(self, value: T) -> bytes:
        plain = self.to_plain(value)
        if self._sorts_keys:
            return _slow_json(plain, sort_keys=True)
        try:
            return to_json(plain)
        except ValueError:  # of text, or of nesting, that only the slow one can write
            return _slow_json(plain, sort_keys=False)

    def decode(self, encoded: bytes) -> T:
        try:
            plain = from_json(encoded)
        except ValueError:  # as above
            plain = json.loads(encoded.decode("utf-8", "surrogatepass"))
        return self.from_plain(plain)

    def is_deterministic(self) -> bool:
        return self._sorts_keys

    def as_deterministic_coder(self, *_: Any, **__: Any) -> JsonCoder[T]:
        return type(self)(sorts_keys=True)

    def to_type_hint(self) -> type[T]:
        return self.kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonCoder) and type(self) is type(other) and self._sorts_keys == other._sorts_keys

    def __hash__(self) -> int:
        return hash((type(self), self._sorts_keys))


def _slow_json(plain: list[Any], *, sort_keys: bool) -> bytes:
    text = json.dumps(plain, ensure_ascii=False, sort_keys=sort_keys, separators=(",", ":"))
    # a lone surrogate can still come from the text of a user's exception, and must not cost the bundle
    return text.encode("utf-8", "surrogatepass")


class _Fields(Generic[T]):
    """A dataclass as the list of its fields' values, in the order in which they are declared.

    Args:
        kind: the dataclass.
        parts: field -> how its value becomes plain, and back; the others are plain already.
    """

    def __init__(self, kind: type[T], **parts: tuple[Callable[[Any], Any], Callable[[Any], Any]]) -> None:
        self._kind = kind
        self._names = [field.name for field in fields(cast("Any", kind))]
        self._values = attrgetter(*self._names)
        self._parts = [(self._names.index(name), to, back) for name, (to, back) in parts.items()]

    def to_plain(self, value: T) -> list[Any]:
        plain = list(self._values(value))
        for index, to, _ in self._parts:
            plain[index] = to(plain[index])
        return plain

    def from_plain(self, plain: list[Any]) -> T:
        values = dict(zip(self._names, plain, strict=True))
        for index, _, back in self._parts:
            values[self._names[index]] = back(plain[index])
        return self._kind(**values)

    def all(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        """How a tuple of such values becomes plain, and back."""
        return lambda values: [*map(self.to_plain, values)], lambda plain: tuple(map(self.from_plain, plain))


def _content_plain(content: Any) -> list[Any]:
    is_bytes = isinstance(content, bytes)
    return [is_bytes, base64.b64encode(content).decode("ascii") if is_bytes else content]


def _content_from(plain: list[Any]) -> Any:
    is_bytes, content = plain
    return base64.b64decode(content) if is_bytes else content


def _usage_from(counts: list[int] | None) -> Usage | None:
    return None if counts is None else Usage.of(counts)


_USAGE = (lambda usage: None if usage is None else usage.counts(), _usage_from)
_ITEM = _Fields(Item, content=(_content_plain, _content_from), source_ids=(list, tuple))
_ATTEMPT = _Fields(Attempt, usage=_USAGE)
_RESULT = _Fields(Result, attempts=_ATTEMPT.all(), left_out=(list, tuple))
_FAILURE = _Fields(Failure, attempts=_ATTEMPT.all())
_COST = _Fields(CostRow, attempt=(_ATTEMPT.to_plain, _ATTEMPT.from_plain))


class ItemCoder(JsonCoder[Item]):
    """Coder of `Item`, on its way to the door: users build them, of any values.

    What the door makes of the values is made here, or it would depend on the runner's shuffles what an item holds. One
    that is refused there travels as a `RefusedItem`.
    """

    kind = Item

    def to_plain(self, value: Item | RefusedItem) -> list[Any]:
        if isinstance(value, RefusedItem):
            return [value.id, value.problem]
        try:
            return _ITEM.to_plain(item_from(value, where="Item"))
        except InputError as error:
            return [given_id(value), str(error).removeprefix("Item: ")]

    def from_plain(self, plain: list[Any]) -> Any:
        return RefusedItem(*plain) if len(plain) == _REFUSED else _ITEM.from_plain(plain)


class ResultCoder(JsonCoder[Result]):
    """Coder of `Result`."""

    kind = Result

    def to_plain(self, value: Result) -> list[Any]:
        return _RESULT.to_plain(value)

    def from_plain(self, plain: list[Any]) -> Result:
        return _RESULT.from_plain(plain)


class RowCoder(JsonCoder[Row]):
    """Coder of `Row`."""

    kind = Row

    def to_plain(self, value: Row) -> list[Any]:
        return [_ITEM.to_plain(value.item), [*map(_RESULT.to_plain, value.results.values())]]

    def from_plain(self, plain: list[Any]) -> Row:
        results = map(_RESULT.from_plain, plain[1])
        return Row(item=_ITEM.from_plain(plain[0]), results={result.dimension: result for result in results})


class FailureCoder(JsonCoder[Failure]):
    """Coder of `Failure`."""

    kind = Failure

    def to_plain(self, value: Failure) -> list[Any]:
        return _FAILURE.to_plain(value)

    def from_plain(self, plain: list[Any]) -> Failure:
        return _FAILURE.from_plain(plain)


class CostRowCoder(JsonCoder[CostRow]):
    """Coder of `CostRow`."""

    kind = CostRow

    def to_plain(self, value: CostRow) -> list[Any]:
        return _COST.to_plain(value)

    def from_plain(self, plain: list[Any]) -> CostRow:
        return _COST.from_plain(plain)


def register() -> None:
    """Makes Beam use these coders for the package's types, in the process that builds a pipeline."""
    for coder in (ItemCoder, ResultCoder, RowCoder, FailureCoder, CostRowCoder):
        registry.register_coder(coder.kind, coder)
