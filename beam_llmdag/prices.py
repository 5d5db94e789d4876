"""Usage → nano-dollars.

Prices come from the user first, then from the `genai-prices` library that ships with the package (no network). A model
that neither knows is unpriced: its cost is None, never zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any

from genai_prices import Usage as LibraryUsage
from genai_prices.data_snapshot import get_snapshot

from beam_llmdag.errors import GraphError
from beam_llmdag.usage import Usage

__all__ = ["Price", "PriceTable", "context_window", "normal_name"]

_NANO = 1_000_000_000
_MILLION = 1_000_000
_VENDOR = re.compile(r"^(?:models/|(?:anthropic|openai|google|gemini|vertex_ai|bedrock|azure|openrouter)/)+")
_REGION = re.compile(r"^(?:us|eu|apac|au|jp|global)\.(?=anthropic\.|openai\.)")
_BEDROCK = re.compile(r"^(?:anthropic|openai)\.|-v\d+(?::\d+)?$")
_DATE = re.compile(r"[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")
_LIBRARY_PROVIDERS = ("anthropic", "openai", "google")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model costs, in US dollars per million tokens.

    Args:
        input: tokens read.
        output: tokens written, reasoning included.
        cache_read: tokens read from the vendor's cache; None: like `input`.
        cache_write: tokens written to the vendor's cache; None: like `input`.
        cache_write_1h: those kept for one hour; None: like `cache_write`.
        since: first day (UTC) on which this price holds; None: always.
    """

    input: float | Decimal
    output: float | Decimal
    cache_read: float | Decimal | None = None
    cache_write: float | Decimal | None = None
    cache_write_1h: float | Decimal | None = None
    since: date | None = None

    def nano_usd(self, usage: Usage) -> int:
        """Nano-dollars for one request, rounded half to even."""
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        write_1h = write if self.cache_write_1h is None else self.cache_write_1h
        short_writes = usage.cache_write_tokens - usage.cache_write_1h_tokens
        plain = usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens
        dollars = sum(
            tokens * Decimal(str(price))
            for tokens, price in (
                (plain, self.input),
                (usage.cache_read_tokens, read),
                (short_writes, write),
                (usage.cache_write_1h_tokens, write_1h),
                (usage.output_tokens, self.output),
            )
        )
        return _nano(Decimal(dollars) / _MILLION)


@dataclass(frozen=True)
class PriceTable:
    """The user's prices before the library's.

    Args:
        own: model as `"provider:name"` or bare name -> its price, or several with different `since`.

    Raises:
        GraphError: a price is no `Price`.
    """

    own: Mapping[str, Price | Sequence[Price]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, prices in self.own.items():
            if not all(isinstance(price, Price) for price in _dated(prices)):
                raise GraphError(f"price of {name!r}: give a Price, or a list of them, not {prices!r}")

    def cost(self, spec: str, usage: Usage | None, *, at: float) -> int | None:
        """Nano-dollars of one request.

        Args:
            spec: `"provider:name"` as the user wrote it.
            usage: tokens of the request; None if nobody knows.
            at: when the request was made, in Unix seconds.

        Returns:
            None if the usage is unknown or the model has no price.
        """
        if usage is None:
            return None
        if usage == Usage():
            return 0
        day = datetime.fromtimestamp(at, UTC).date()
        own = self._own_price(spec, day)
        if own is not None:
            return own.nano_usd(usage)
        provider, _, name = spec.partition(":")
        price = _library_price(provider, name, day)
        if price is None or isinstance(price, Price):
            return None if price is None else price.nano_usd(usage)
        return _nano(Decimal(price.calc_price(_library_usage(usage))["total_price"]))

    def knows(self, spec: str, *, at: float) -> bool:
        """Whether the model has a price."""
        return self.cost(spec, Usage(input_tokens=1), at=at) is not None

    def _own_price(self, spec: str, day: date) -> Price | None:
        provider, _, name = spec.partition(":")
        for written, prices in self.own.items():
            own_provider, colon, own_name = written.rpartition(":")
            if normal_name(own_name) == normal_name(name) and (not colon or own_provider == provider):
                valid = [price for price in _dated(prices) if price.since is None or price.since <= day]
                return max(valid, key=lambda price: price.since or date.min, default=None)
        return None


def normal_name(name: str) -> str:
    """A model's name without what its sellers add: vendor prefix, region, release date, Bedrock version.

    `us.anthropic.claude-haiku-4-5-20251001-v1:0` and `anthropic/claude-haiku-4-5` are one model.
    """
    name = _VENDOR.sub("", name.strip().lower())
    if _REGION.match(name) or name.startswith(("anthropic.", "openai.")):
        name = _BEDROCK.sub("", _REGION.sub("", name))
    return _DATE.sub("", name)


def context_window(spec: str) -> int | None:
    """Most tokens that a request and its answer may have together, as the price library knows it; None if it does not."""
    provider, _, name = spec.partition(":")
    model = _library_model(provider, normal_name(name))
    window = getattr(model, "context_window", None)
    return window if isinstance(window, int) else None


@lru_cache(maxsize=256)
def _library_price(provider: str, name: str, day: date) -> Price | Any | None:
    """The library's price of a model on a day: a `Price` where it is flat, the library's own object where it has tiers."""
    model = _library_model(provider, normal_name(name))
    if model is None:
        return None
    price = model.get_prices(datetime(day.year, day.month, day.day, tzinfo=UTC), None)
    rates = {
        ours: getattr(price, theirs, None)
        for ours, theirs in (
            ("input", "input_mtok"),
            ("output", "output_mtok"),
            ("cache_read", "cache_read_mtok"),
            ("cache_write", "cache_write_mtok"),
            ("cache_write_1h", "cache_write_1h_mtok"),
        )
    }
    if rates["input"] is None or rates["output"] is None:
        return None
    if all(rate is None or isinstance(rate, Decimal) for rate in rates.values()):
        return Price(**rates)
    return price


@lru_cache(maxsize=256)
def _library_model(provider: str, name: str) -> Any | None:
    """The library's entry whose name is exactly `name`: it also matches by prefix, which would price models nobody sells."""
    provider = provider.partition("-")[0]
    if provider not in _LIBRARY_PROVIDERS:
        return None
    try:
        _, model = get_snapshot().find_provider_model(name, None, provider, None)
    except LookupError:
        return None
    return model if name == normal_name(model.id) or _is_equals_clause(model.match, name) else None


def _is_equals_clause(match: Any, name: str) -> bool:
    """Whether the library lists `name` itself as a spelling of the model."""
    alternatives = getattr(match, "or_", None)
    if alternatives is not None:
        return any(_is_equals_clause(alternative, name) for alternative in alternatives)
    return normal_name(str(getattr(match, "equals", ""))) == name


def _library_usage(usage: Usage) -> LibraryUsage:
    return LibraryUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )


def _dated(prices: Price | Sequence[Price]) -> Sequence[Price]:
    return [prices] if isinstance(prices, Price) else prices


def _nano(dollars: Decimal) -> int:
    return int((dollars * _NANO).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
