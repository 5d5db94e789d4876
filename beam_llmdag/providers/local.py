"""A model in this process: llama.cpp (xllamacpp) on a GGUF file."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from beam_llmdag.errors import CallError
from beam_llmdag.model import Answer, Image, Model, Request, WireSchema
from beam_llmdag.providers.dialects import LLAMA, wire_schema
from beam_llmdag.providers.gguf import DEFAULT_MODEL, model_path
from beam_llmdag.providers.openai import OpenAIChatProvider

__all__ = ["LocalProvider"]

_CONTEXT_TOKENS = 2048  # prompt and answer
_DEFAULT_TEMPERATURE = 0.0
_SEED = 1


class LocalProvider:
    """A GGUF model in this process: `local:smollm2`, the default model, or `local:<path>`.

    llama.cpp is asked over its own listener on the loopback interface, with a random key: that way a cancelled call
    closes its connection and so stops the generation. The model is loaded by the first call. Its grammar enforces the
    output schema; descriptions in it are not shown to the model. It says the same again when it is asked the same: the
    temperature is 0 unless one is given, the seed is fixed, another one for each sample, and one request is computed at
    a time.

    Args:
        model: for its name. `base_url` and `api_key_env` do not matter.
    """

    # Requests computed together are rounded otherwise: of 80 prompts in another order, 5 had another answer with 4 at
    # once, none with 1. On 2 cores it costs a third: 1.9 requests/s instead of 3.0.
    default_in_flight = 1
    default_max_tokens = 1024  # a small model that does not find an end should not fill its context

    def __init__(self, model: Model) -> None:
        self._model = model
        self._key = secrets.token_urlsafe(24)
        self._loading = asyncio.Lock()
        self._server: Any = None
        self._chat: OpenAIChatProvider | None = None

    @property
    def endpoint(self) -> str | None:
        """Size and time of the file: another file under the same name is another model. See `Addressed`."""
        path = model_path(self._model.name)
        if not path.is_file():
            return None
        state = path.stat()
        return f"{state.st_size} bytes of {state.st_mtime_ns}"

    def wire_schema(self, schema: Mapping[str, Any]) -> WireSchema:
        """See `Provider`."""
        return wire_schema(schema, LLAMA)

    def key(self) -> str | None:
        """The key of the listener, which no other process knows."""
        return self._key

    async def answer(self, request: Request) -> Answer:
        """See `Provider`."""
        if any(isinstance(part, Image) for message in request.messages for part in message.parts()):
            raise CallError("bad_request", "local models see no images", sent=False)
        chat = await self._loaded()
        return await chat.answer(_with_defaults(request))

    async def aclose(self) -> None:
        """Closes the connections and frees the model."""
        chat, self._chat = self._chat, None
        if chat is not None:
            await chat.aclose()
        self._server = None

    async def _loaded(self) -> OpenAIChatProvider:
        async with self._loading:
            if self._chat is None:
                path = _existing(self._model.name)
                self._server = await asyncio.to_thread(_start, path, self._key)
                address = replace(self._model, base_url=f"{self._server.listening_address}/v1")
                self._chat = OpenAIChatProvider(address, key=self._key)
            return self._chat


def _with_defaults(request: Request) -> Request:
    """The request with what the user left open, so that the same request has the same answer in every run."""
    given = request.model
    model = replace(
        given,
        max_tokens=given.max_tokens or LocalProvider.default_max_tokens,
        temperature=_DEFAULT_TEMPERATURE if given.temperature is None else given.temperature,
        extra_body={"seed": _SEED + request.sample, **given.extra_body},
    )
    return replace(request, model=model)


def _existing(name: str) -> Path:
    """The file of the model.

    Raises:
        CallError: `bad_request`, if it or the engine is missing.
    """
    if find_spec("xllamacpp") is None:
        raise CallError("bad_request", "local models need xllamacpp: pip install 'beam-llmdag[local]'", sent=False)
    path = model_path(name)
    if path.is_file():
        return path
    remedy = "fetch it with `llmdag fetch-model`" if name == DEFAULT_MODEL else "give the path of a GGUF file"
    raise CallError("bad_request", f"there is no local model {name!r} at {path}: {remedy}", sent=False)


def _start(path: Path, key: str) -> Any:
    """A running llama.cpp server.

    Raises:
        CallError: `bad_request`, if the file is no model that it can load.
    """
    import xllamacpp  # 100 MB that only an in-process model needs

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = LocalProvider.default_in_flight
    params.n_ctx = _CONTEXT_TOKENS
    params.api_keys = [key]
    params.verbosity = -1  # no logs
    params.warmup = False
    # llama.cpp's threads wait for each other: with one per core, a busy machine stalled calls of 0.4 s for over 20 s
    threads = max(1, (os.cpu_count() or 2) - 1)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    try:
        return xllamacpp.Server(params)
    except (RuntimeError, ValueError) as error:
        raise CallError("bad_request", f"{path} is no model that can be loaded: {error}", sent=False) from None
