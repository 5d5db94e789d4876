"""What a provider is, and how one is found by the name before the colon of a model."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, runtime_checkable

from beam_llmdag.clock import Clock
from beam_llmdag.errors import GraphError
from beam_llmdag.model import Answer, Model, Request, WireSchema
from beam_llmdag.providers.dialects import ANTHROPIC, GOOGLE, LLAMA, OPENAI, VendorDialect, wire_schema

__all__ = [
    "ENTRY_POINT_GROUP",
    "Addressed",
    "Clocked",
    "Provider",
    "ProviderFactory",
    "asked_schema",
    "check_provider",
    "find_provider",
    "has_batches",
]

ENTRY_POINT_GROUP = "beam_llmdag.providers"


@runtime_checkable
class Provider(Protocol):
    """A client of one LLM API. Built on first use in the process that calls it, never pickled.

    A provider does not retry, does not wait for limits and does not validate: it makes one call and says truthfully
    what came of it.

    Attributes:
        default_in_flight: calls in flight per process that suit the API when the user sets no limit.

    One that asks for no more than so many output tokens where the user sets no limit says so in `default_max_tokens`.
    """

    default_in_flight: int

    def wire_schema(self, schema: Mapping[str, Any]) -> WireSchema:
        """The canonical JSON schema of an output (see `beam_llmdag.outputs.output`) in this API's dialect.

        Needs no key and no network: it is called when the graph is built.

        Raises:
            GraphError: the schema can not be asked of this API at all; the message names the field.
        """

    def key(self) -> str | None:
        """The secret in use, so that it can be taken out of error texts; None if there is none."""

    async def answer(self, request: Request) -> Answer:
        """Asks once.

        Raises:
            CallError: anything else than an answer, classified. A cancelled call closes its connection.
        """

    async def aclose(self) -> None:
        """Closes connections."""


@runtime_checkable
class Addressed(Protocol):
    """A provider that finds its server (or file) elsewhere than in `Model.base_url`, in the environment for example.

    A part of `Provider` that may be left out. Answers of different servers are kept apart in the answer store.
    """

    @property
    def endpoint(self) -> str | None:
        """What answers; None for the vendor's own server."""


@runtime_checkable
class Clocked(Protocol):
    """A provider that reads a clock, for a Retry-After that is a date. A part of `Provider` that may be left out."""

    def use_clock(self, clock: Clock) -> None:
        """Takes the time from `clock` from now on."""


ProviderFactory = Callable[[Model], Provider]
"""Builds a provider for the `provider`, `base_url`, `api_key_env`, `headers` and `query` of a model.

Without network and without a key.
"""

_DIALECTS: Mapping[str, VendorDialect] = {
    "anthropic": ANTHROPIC,
    "openai": OPENAI,
    "openai-responses": OPENAI,
    "openai-chat": OPENAI,
    "google": GOOGLE,
    "local": LLAMA,
}
_WITHOUT_BATCHES = ("local",)
_BUILT_IN: Mapping[str, str] = {
    "anthropic": "beam_llmdag.providers.anthropic:AnthropicProvider",
    "openai": "beam_llmdag.providers.openai:openai_provider",
    "openai-responses": "beam_llmdag.providers.openai:OpenAIResponsesProvider",
    "openai-chat": "beam_llmdag.providers.openai:OpenAIChatProvider",
    "google": "beam_llmdag.providers.google:GoogleProvider",
    "local": "beam_llmdag.providers.local:LocalProvider",
}


def find_provider(name: str, own: Mapping[str, ProviderFactory]) -> ProviderFactory:
    """The factory for `name`: the dag's own providers first, then the package's, then installed entry points.

    Raises:
        GraphError: no such provider; the message lists those there are.
    """
    check_provider(name, own)
    if name in own:
        return own[name]
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        factory: ProviderFactory = getattr(import_module(module), attribute)
        return factory
    loaded: ProviderFactory = _installed()[name].load()
    return loaded


def has_batches(name: str, own: Mapping[str, ProviderFactory]) -> bool:
    """Whether a provider of the package has a batch API; of another one that is known when it is asked."""
    return name in _BUILT_IN and name not in own and name not in _WITHOUT_BATCHES


def check_provider(name: str, own: Mapping[str, ProviderFactory]) -> None:
    """Whether there is a provider, without importing it.

    Raises:
        GraphError: there is none; the message names the one that was meant, or those there are.
    """
    if name in own or name in _BUILT_IN:
        return
    known = {*own, *_BUILT_IN, *_installed()}
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {close[0]!r}? Known" if close else "known"
        raise GraphError(f"no provider {name!r}: {meant} ones are {', '.join(sorted(known))}")


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}


def asked_schema(
    schema: Mapping[str, Any] | None, model: Model, own: Mapping[str, ProviderFactory]
) -> WireSchema | None:
    """The canonical JSON schema of an output as the provider of `model` gets it; None for plain text.

    For the package's providers their dialect alone says it: the SDKs take a second to import, and are not.

    Raises:
        GraphError: there is no such provider, or the schema can not be asked of its API at all.
    """
    if model.provider in _DIALECTS and model.provider not in own:
        return None if schema is None else wire_schema(schema, _DIALECTS[model.provider])
    provider = find_provider(model.provider, own)(model)
    return None if schema is None else provider.wire_schema(schema)
