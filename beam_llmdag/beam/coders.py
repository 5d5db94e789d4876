"""Coders of what crosses a PCollection: plain data as compact JSON, never a user's class."""

from __future__ import annotations

import base64
import json
from abc import abstractmethod
from typing import Any, Generic, TypeVar

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


def _attempt_plain(attempt: Attempt) -> list[Any]:
    return [
        attempt.model,
        attempt.error_class,
        attempt.message,
        attempt.http_status,
        attempt.request_id,
        None if attempt.usage is None else attempt.usage.counts(),
        attempt.cost_nano_usd,
        attempt.sent,
        attempt.raw_answer,
        attempt.prompt,
        attempt.latency_seconds,
        attempt.waited_seconds,
    ]


def _attempt_from(plain: list[Any]) -> Attempt:
    model, error_class, message, http_status, request_id, usage, cost, sent, raw_answer, prompt, latency, waited = plain
    return Attempt(
        model=model,
        error_class=error_class,
        message=message,
        http_status=http_status,
        request_id=request_id,
        usage=None if usage is None else Usage.of(usage),
        cost_nano_usd=cost,
        sent=sent,
        raw_answer=raw_answer,
        prompt=prompt,
        latency_seconds=latency,
        waited_seconds=waited,
    )


def _item_plain(item: Item) -> list[Any]:
    is_bytes = isinstance(item.content, bytes)
    content = base64.b64encode(item.content).decode("ascii") if is_bytes else item.content
    return [item.id, is_bytes, content, item.metadata, item.source_ids]


def _item_from(plain: list[Any]) -> Item:
    item_id, is_bytes, content, metadata, source_ids = plain
    return Item(item_id, base64.b64decode(content) if is_bytes else content, metadata, source_ids=tuple(source_ids))


def _result_plain(result: Result) -> list[Any]:
    return [
        result.dimension,
        result.item_id,
        result.status,
        result.data,
        result.reason,
        result.error_class,
        result.message,
        result.traceback,
        result.model,
        [_attempt_plain(attempt) for attempt in result.attempts],
        result.store_hit,
        result.left_out,
    ]


def _result_from(plain: list[Any]) -> Result:
    dimension, item_id, status, data, reason, error_class, message, traceback, model, attempts, store_hit, left_out = (
        plain
    )
    return Result(
        dimension=dimension,
        item_id=item_id,
        status=status,
        data=data,
        reason=reason,
        error_class=error_class,
        message=message,
        traceback=traceback,
        model=model,
        attempts=tuple(_attempt_from(attempt) for attempt in attempts),
        store_hit=store_hit,
        left_out=tuple(left_out),
    )


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
            return _item_plain(item_from(value, where="Item"))
        except InputError as error:
            return [given_id(value), str(error).removeprefix("Item: ")]

    def from_plain(self, plain: list[Any]) -> Any:
        return RefusedItem(*plain) if len(plain) == _REFUSED else _item_from(plain)


class ResultCoder(JsonCoder[Result]):
    """Coder of `Result`."""

    kind = Result

    def to_plain(self, value: Result) -> list[Any]:
        return _result_plain(value)

    def from_plain(self, plain: list[Any]) -> Result:
        return _result_from(plain)


def _row_plain(row: Row) -> list[Any]:
    return [_item_plain(row.item), [_result_plain(result) for result in row.results.values()]]


def _row_from(plain: list[Any]) -> Row:
    results = [_result_from(result) for result in plain[1]]
    return Row(item=_item_from(plain[0]), results={result.dimension: result for result in results})


class RowCoder(JsonCoder[Row]):
    """Coder of `Row`."""

    kind = Row

    def to_plain(self, value: Row) -> list[Any]:
        return _row_plain(value)

    def from_plain(self, plain: list[Any]) -> Row:
        return _row_from(plain)


def _failure_plain(failure: Failure) -> list[Any]:
    attempts = [_attempt_plain(attempt) for attempt in failure.attempts]
    return [failure.dimension, failure.item_id, failure.error_class, failure.message, failure.traceback, attempts]


def _failure_from(plain: list[Any]) -> Failure:
    dimension, item_id, error_class, message, traceback, attempts = plain
    return Failure(
        dimension=dimension,
        item_id=item_id,
        error_class=error_class,
        message=message,
        traceback=traceback,
        attempts=tuple(_attempt_from(attempt) for attempt in attempts),
    )


class FailureCoder(JsonCoder[Failure]):
    """Coder of `Failure`."""

    kind = Failure

    def to_plain(self, value: Failure) -> list[Any]:
        return _failure_plain(value)

    def from_plain(self, plain: list[Any]) -> Failure:
        return _failure_from(plain)


def _cost_plain(row: CostRow) -> list[Any]:
    return [row.dimension, row.item_id, row.number, _attempt_plain(row.attempt)]


def _cost_from(plain: list[Any]) -> CostRow:
    dimension, item_id, number, attempt = plain
    return CostRow(dimension=dimension, item_id=item_id, number=number, attempt=_attempt_from(attempt))


class CostRowCoder(JsonCoder[CostRow]):
    """Coder of `CostRow`."""

    kind = CostRow

    def to_plain(self, value: CostRow) -> list[Any]:
        return _cost_plain(value)

    def from_plain(self, plain: list[Any]) -> CostRow:
        return _cost_from(plain)


def register() -> None:
    """Makes Beam use these coders for the package's types, in the process that builds a pipeline."""
    for coder in (ItemCoder, ResultCoder, RowCoder, FailureCoder, CostRowCoder):
        registry.register_coder(coder.kind, coder)
