"""Usage → nano-dollars.

Prices come from the user first, then from the `genai-prices` library that ships with the package (no network). A model
that neither knows is unpriced: its cost is None, never zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any, NamedTuple

from beam_llmdag.errors import GraphError
from beam_llmdag.providers.model_names import same_name, undated, vendor_and_name, vendor_of_api
from beam_llmdag.usage import Usage

__all__ = ["Price", "PriceTable", "context_window"]

_OWN_MACHINE = "local:"  # a model in this process: nobody sends a bill
_LIBRARY_PROVIDERS = ("anthropic", "openai", "google")

_NANO = 1_000_000_000
_MILLION = 1_000_000
_MOST_NANO_USD = 2**61  # of one call: what has no place in a file's 64 bits is no cost that anybody knows
_BATCH_PARTS = 2  # one of them is paid for a call in a batch
_DAY_SECONDS = 86_400
_NOTHING = Usage()
_RATES = ("input", "output", "cache_read", "cache_write", "cache_write_1h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, in US dollars per million tokens, for a request of any length: it has no tiers.

    Args:
        input: tokens read.
        output: tokens written, reasoning included.
        cache_read: tokens read from the vendor's cache; None: like `input`.
        cache_write: tokens written to the vendor's cache; None: like `input`.
        cache_write_1h: those kept for one hour; None: like `cache_write`.
        since: first day (UTC) on which this price holds; None: always.

    Raises:
        GraphError: a price is negative or no finite number.
    """

    input: float | Decimal
    output: float | Decimal
    cache_read: float | Decimal | None = None
    cache_write: float | Decimal | None = None
    cache_write_1h: float | Decimal | None = None
    since: date | None = None

    def __post_init__(self) -> None:
        for name in _RATES:
            rate = getattr(self, name)
            if rate is not None and not (isinstance(rate, (int, float, Decimal)) and 0 <= rate < math.inf):
                raise GraphError(f"Price: {name} is a number of dollars per million tokens, 0 or more, not {rate!r}")

    def nano_usd(self, usage: Usage) -> int:
        """Nano-dollars for one request, rounded half to even."""
        return _Rates.of(self).nano_usd(usage)


class _Rates(NamedTuple):
    """A price in whole numbers, since exact sums of these are fast: nano-dollars for `per` tokens of each kind."""

    per: int
    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int

    @classmethod
    def of(cls, price: Price) -> _Rates:
        write = price.input if price.cache_write is None else price.cache_write
        dollars = (
            price.input,
            price.output,
            price.input if price.cache_read is None else price.cache_read,
            write,
            write if price.cache_write_1h is None else price.cache_write_1h,
        )
        nano = [Fraction(str(rate)) * _NANO / _MILLION for rate in dollars]
        per = math.lcm(*(rate.denominator for rate in nano))
        return cls(per, *(int(rate * per) for rate in nano))

    def nano_usd(self, usage: Usage, parts: int = 1) -> int:
        """Nano-dollars for one request, rounded half to even; where only one of so many parts is paid, for that."""
        read, write, write_1h = usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens
        total = (
            (usage.input_tokens - read - write) * self.input
            + usage.output_tokens * self.output
            + read * self.cache_read
            + (write - write_1h) * self.cache_write
            + write_1h * self.cache_write_1h
        )
        per = self.per * parts
        whole, rest = divmod(total, per)
        return whole + (2 * rest > per or (2 * rest == per and whole % 2))


@dataclass(frozen=True)
class PriceTable:
    """The user's prices before the library's.

    Args:
        own: model as `"provider:name"` or bare name -> its price, or several with different `since`. Another spelling
            of the name does as well (see `beam_llmdag.providers.model_names`); a price of the very name comes first.

    Raises:
        GraphError: a price is no `Price`.
    """

    own: Mapping[str, Price | Sequence[Price]] = field(default_factory=dict)
    _found: dict[tuple[str, int], Callable[[Usage, int], int] | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """What has been looked up: model and day -> what computes the cost of a request."""

    def __post_init__(self) -> None:
        for name, prices in self.own.items():
            dated = _dated(prices)
            if not isinstance(dated, Sequence) or not dated or not all(isinstance(price, Price) for price in dated):
                raise GraphError(f"price of {name!r}: give a Price, or a list of them, not {prices!r}")

    def cost(self, spec: str, usage: Usage | None, *, at: float, batched: bool = False) -> int | None:
        """Nano-dollars of one request.

        Args:
            spec: `"provider:name"` as the user wrote it.
            usage: tokens of the request; None if nobody knows.
            at: when the request was made, in Unix seconds.
            batched: whether it went in a batch: all three vendors take half the price then, of tokens of every kind
                (https://docs.anthropic.com/en/docs/build-with-claude/batch-processing#pricing,
                https://platform.openai.com/docs/guides/batch, https://ai.google.dev/gemini-api/docs/batch-api).

        Returns:
            None if the usage is unknown or the model has no price.
        """
        if usage is None:
            return None
        key = (spec, int(at // _DAY_SECONDS))
        try:
            cost_of = self._found[key]
        except KeyError:
            cost_of = self._found[key] = self._cost_of(spec, datetime.fromtimestamp(at, UTC).date())
        if cost_of is None:
            return 0 if usage == _NOTHING else None
        cost = cost_of(usage, _BATCH_PARTS if batched else 1)
        return cost if cost < _MOST_NANO_USD else None

    def __reduce__(self) -> tuple[type[PriceTable], tuple[Any]]:
        return (PriceTable, (self.own,))

    def knows(self, spec: str, *, at: float) -> bool:
        """Whether the model has a price."""
        return self.cost(spec, Usage(input_tokens=1), at=at) is not None

    def _cost_of(self, spec: str, day: date) -> Callable[[Usage, int], int] | None:
        """What computes the cost of a request to a model on a day; None if the model has no price."""
        if spec.startswith(_OWN_MACHINE):
            return _free
        price = self._own_price(spec, day) or _library_price(spec, day)
        if price is None:
            return None
        return _Rates.of(price).nano_usd if isinstance(price, Price) else partial(_tiered_cost, price)

    def _own_price(self, spec: str, day: date) -> Price | None:
        for same in (_is_same_text, _is_same_model):
            for written, prices in self.own.items():
                valid = [price for price in _dated(prices) if price.since is None or price.since <= day]
                if valid and same(written, spec):
                    return max(valid, key=lambda price: price.since or date.min)
        return None


def context_window(spec: str) -> int | None:
    """Most tokens that a request and its answer may have together, as the price library knows it.

    None if it does not know.
    """
    window = getattr(_library_model(spec), "context_window", None)
    return window if isinstance(window, int) else None


def _is_same_text(written: str, spec: str) -> bool:
    return written in (spec, spec.partition(":")[2])


def _is_same_model(written: str, spec: str) -> bool:
    """Whether `written`, with or without a provider, is another spelling of `spec`."""
    provider, _, name = spec.partition(":")
    written_provider, _, written_name = written.partition(":")
    if same_name(written, name):
        return True
    return vendor_of_api(written_provider) == vendor_of_api(provider) and same_name(written_name, name)


def _library_price(spec: str, day: date) -> Price | Any | None:
    """The library's price of a model on a day: a `Price` if it is flat, the library's own object if it has tiers."""
    model = _library_model(spec)
    if model is None:
        return None
    price = model.get_prices(datetime(day.year, day.month, day.day, tzinfo=UTC), None)
    rates: dict[str, Any] = {name: getattr(price, f"{name}_mtok", None) for name in _RATES}
    if rates["input"] is None or rates["output"] is None:
        return None
    if all(rate is None or isinstance(rate, Decimal) for rate in rates.values()):
        return Price(**rates)
    return price


def _free(_usage: Usage, _parts: int) -> int:
    return 0


def _tiered_cost(price: Any, usage: Usage, parts: int) -> int:
    from genai_prices import Usage as LibraryUsage  # slow to import; the user may have prices of their own

    theirs = LibraryUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
    )
    dollars = Decimal(price.calc_price(theirs)["total_price"])
    return int((dollars * _NANO / parts).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


@lru_cache(maxsize=256)
def _library_model(spec: str) -> Any | None:
    """The library's entry for a model: of its very name, else of the name without a date."""
    from genai_prices.data_snapshot import get_snapshot  # as above

    provider, _, name = spec.partition(":")
    vendor, bare = vendor_and_name(name)
    vendor = vendor or vendor_of_api(provider)
    if vendor not in _LIBRARY_PROVIDERS:
        return None
    for spelling in dict.fromkeys((bare, undated(bare))):
        try:
            _, model = get_snapshot().find_provider_model(spelling, None, vendor, None)
        except LookupError:
            continue
        if _lists(model, spelling):
            return model
    return None


def _lists(model: Any, name: str) -> bool:
    """Whether the library lists `name` itself: it also matches by prefix, which would price models nobody sells."""
    return name in (model.id, undated(model.id)) or _equals(model.match, name)


def _equals(match: Any, name: str) -> bool:
    alternatives = getattr(match, "or_", None)
    if alternatives is not None:
        return any(_equals(alternative, name) for alternative in alternatives)
    return getattr(match, "equals", None) == name


def _dated(prices: Price | Sequence[Price]) -> Sequence[Price]:
    return [prices] if isinstance(prices, Price) else prices
