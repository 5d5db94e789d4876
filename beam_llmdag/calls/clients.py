"""Who is asked, and how: looked up once for a model and an output. Clients are made on first use."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from beam_llmdag.calls.limits import Gate
from beam_llmdag.calls.store.keys import KeyParts
from beam_llmdag.clock import Clock
from beam_llmdag.errors import CallError, LLMDagError
from beam_llmdag.model import Model, WireSchema
from beam_llmdag.outputs.output import Output
from beam_llmdag.providers.base import Clocked, Provider, ProviderFactory, find_provider
from beam_llmdag.telling import told, traceback_of, words_of

__all__ = ["Clients", "Target"]

_log = logging.getLogger(__name__)

_ModelKey = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """What is the same for all calls to a model that ask for an output.

    Attributes:
        provider: the client.
        gate: the limits of the model's account.
        schema: the output in the provider's dialect; None for plain text.
        schema_text: the same as JSON text.
        key_parts: what the keys of the answers have in common.
    """

    provider: Provider
    gate: Gate
    schema: WireSchema | None
    schema_text: str | None
    key_parts: KeyParts


class Clients:
    """The clients of one run. Belongs to one event loop.

    Args:
        factories: the dag's own providers, by name.
        clock: time, for the providers that read it.
        gate: gives the gate of a model, whose provider has so many calls in flight by default.
    """

    def __init__(
        self, factories: Mapping[str, ProviderFactory], clock: Clock, gate: Callable[[Model, int], Gate]
    ) -> None:
        self._factories = factories
        self._clock = clock
        self._gate = gate
        self._providers: dict[_ModelKey, Provider] = {}
        # by the object itself: an id() is used again when a copy of the graph that another DoFn had is gone
        self._targets: WeakKeyDictionary[Output, dict[_ModelKey, Target]] = WeakKeyDictionary()

    def target(self, model: Model, output: Output) -> Target:
        """Whom to ask for an output, and how.

        Raises:
            CallError: `bad_request`, if there is no such provider, it cannot be made, or it cannot be asked for this.
        """
        known = self._targets.setdefault(output, {})
        key = (
            *_client_key(model),
            model.max_in_flight,
            model.requests_per_minute,
            model.input_tokens_per_minute,
            model.output_tokens_per_minute,
            model.temperature,
            model.max_tokens,
            model.effort,
            json.dumps(model.extra_body, sort_keys=True, default=str) if model.extra_body else "",
        )
        target = known.get(key)
        if target is None:
            target = known[key] = self._target(model, output)
        return target

    def _target(self, model: Model, output: Output) -> Target:
        try:
            provider = self._provider(model)
            schema = None if output.schema is None else provider.wire_schema(output.schema)
            text = None if schema is None else json.dumps(schema.schema, ensure_ascii=False)
            endpoint = getattr(provider, "endpoint", model.base_url)
            native = schema is not None and schema.native
            return Target(
                provider=provider,
                gate=self._gate(model, provider.default_in_flight),
                schema=schema,
                schema_text=text,
                key_parts=KeyParts.of(model, endpoint, text, native=native),
            )
        except BaseException as error:  # a third party's code may raise anything: it costs these calls
            raise _unusable(model, error) from error

    def _provider(self, model: Model) -> Provider:
        key = _client_key(model)
        provider = self._providers.get(key)
        if provider is None:
            provider = find_provider(model.provider, self._factories)(model)
            if isinstance(provider, Clocked):
                provider.use_clock(self._clock)
            self._providers[key] = provider
        return provider

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


def _client_key(model: Model) -> _ModelKey:
    """What a client is made for."""
    if not model.headers and not model.query:
        return (model.spec, model.base_url, model.api_key_env)
    return (model.spec, model.base_url, model.api_key_env, *model.headers.items(), "?", *model.query.items())


def _unusable(model: Model, error: BaseException) -> CallError:
    if isinstance(error, LLMDagError):
        return CallError("bad_request", words_of(error) or f"{model.spec} cannot be used", sent=False)
    return CallError("bad_request", told(error), sent=False, traceback=traceback_of(error))
