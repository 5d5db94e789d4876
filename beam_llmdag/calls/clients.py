"""Provider clients of a run in one process, made on first use, and outputs in the dialect of each."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from beam_llmdag.clock import Clock
from beam_llmdag.errors import CallError, LLMDagError
from beam_llmdag.model import Model, WireSchema
from beam_llmdag.outputs.output import Output
from beam_llmdag.providers.base import Clocked, Provider, ProviderFactory, find_provider
from beam_llmdag.telling import told, traceback_of, words_of

__all__ = ["Clients", "WireOutput"]

_log = logging.getLogger(__name__)

_ModelKey = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class WireOutput:
    """An output in a provider's dialect, and the same as JSON text."""

    schema: WireSchema
    text: str


class Clients:
    """The clients of one run. Belongs to one event loop.

    Args:
        factories: the dag's own providers, by name.
        clock: time, for the providers that read it.
    """

    def __init__(self, factories: Mapping[str, ProviderFactory], clock: Clock) -> None:
        self._clock = clock
        self._factories = factories
        self._providers: dict[_ModelKey, Provider] = {}
        # by the object itself: an id() is used again when a copy of the graph that another DoFn had is gone
        self._outputs: WeakKeyDictionary[Output, dict[_ModelKey, WireOutput]] = WeakKeyDictionary()

    def provider(self, model: Model) -> Provider:
        """The client for a model.

        Raises:
            CallError: `bad_request`, if there is no such provider or it cannot be made.
        """
        key = _key(model)
        provider = self._providers.get(key)
        if provider is None:
            try:
                provider = find_provider(model.provider, self._factories)(model)
            except BaseException as error:  # a third party's factory may raise anything: it costs these calls
                raise _unusable(model, error) from error
            if isinstance(provider, Clocked):
                provider.use_clock(self._clock)
            self._providers[key] = provider
        return provider

    def output(self, output: Output, model: Model) -> WireOutput | None:
        """An output as the model's provider is asked for it; None for plain text.

        Raises:
            CallError: `bad_request`, if the provider cannot be asked for it.
        """
        if output.schema is None:
            return None
        known = self._outputs.setdefault(output, {})
        key = _key(model)
        found = known.get(key)
        if found is None:
            provider = self.provider(model)
            try:
                schema = provider.wire_schema(output.schema)
            except BaseException as error:  # as above
                raise _unusable(model, error) from error
            found = known[key] = WireOutput(schema, json.dumps(schema.schema, ensure_ascii=False))
        return found

    def endpoint(self, model: Model) -> str | None:
        """The server that a model's requests go to; None for the vendor's own."""
        # isinstance(…, Addressed) would say the same in thirty times the time
        endpoint: str | None = getattr(self.provider(model), "endpoint", model.base_url)
        return endpoint

    async def aclose(self) -> None:
        """Closes all clients. One that cannot be closed does not keep the others open."""
        providers = list(self._providers.values())
        self._providers.clear()
        await asyncio.gather(*(_close(provider) for provider in providers), return_exceptions=True)


async def _close(provider: Provider) -> None:
    try:
        await provider.aclose()
    except BaseException as error:  # noqa: BLE001 - SystemExit, say, would end the event loop of all calls
        _log.warning("a client was not closed: %s", type(error).__name__)


def _key(model: Model) -> _ModelKey:
    """What a client is made for."""
    if not model.headers and not model.query:
        return (model.spec, model.base_url, model.api_key_env)
    return (model.spec, model.base_url, model.api_key_env, *model.headers.items(), "?", *model.query.items())


def _unusable(model: Model, error: BaseException) -> CallError:
    if isinstance(error, LLMDagError):
        return CallError("bad_request", words_of(error) or f"{model.spec} cannot be used", sent=False)
    return CallError("bad_request", told(error), sent=False, traceback=traceback_of(error))
