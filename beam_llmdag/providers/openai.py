"""OpenAI's two APIs over its SDK: Responses, and Chat Completions, which many other servers speak too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import openai

from beam_llmdag.clock import Clock
from beam_llmdag.model import Answer, Model, Request
from beam_llmdag.providers import openai_chat, openai_responses
from beam_llmdag.providers.batch.openai import OpenAIBatches
from beam_llmdag.providers.dialects import OPENAI
from beam_llmdag.providers.http.access import Access
from beam_llmdag.providers.http.body import LONGEST_FILE, WholeBodies
from beam_llmdag.providers.http.certificates import trusting
from beam_llmdag.providers.http.connections import UNLIMITED
from beam_llmdag.providers.http.reply import Reply
from beam_llmdag.providers.http.sdk_provider import SdkProvider
from beam_llmdag.usage import Usage

__all__ = ["OpenAIChatProvider", "OpenAIProvider", "OpenAIResponsesProvider", "openai_provider"]

_ADDED = ("/chat/completions", "/responses")  # users copy whole addresses


class _Client(WholeBodies, openai.DefaultAioHttpClient):
    """The SDK's own client over aiohttp, with whole bodies."""


class _FileClient(_Client):
    """The same for whole files."""

    longest_body = LONGEST_FILE


class OpenAIProvider(SdkProvider):
    """What both APIs share: client, sending, errors."""

    status_error = openai.APIStatusError
    connection_error = openai.APIConnectionError
    dialect = OPENAI
    path: ClassVar[str]

    def __init__(self, model: Model, *, clock: Clock | None = None, key: str | None = None) -> None:
        access = Access(
            model=model,
            key_variables=("OPENAI_API_KEY",),
            url_variable="OPENAI_BASE_URL",
            added_paths=_ADDED,
            fixed_key=key,
        )
        super().__init__(model, access, clock)

    def _path(self, request: Request) -> str:  # noqa: ARG002 - as every API
        return self.path

    def batches(self) -> OpenAIBatches:
        """See `Batched`."""
        return OpenAIBatches(self, self.path)

    def _new_client(self, *, for_files: bool) -> openai.AsyncOpenAI:
        address = self.access.address
        kind = _FileClient if for_files else _Client
        return openai.AsyncOpenAI(
            api_key=self._key_to_send(),
            base_url=address.base,
            default_headers=self.model.headers,
            default_query=address.query,
            max_retries=0,
            http_client=kind(limits=UNLIMITED, follow_redirects=False, verify=trusting()),
        )


class OpenAIResponsesProvider(OpenAIProvider):
    """OpenAI's Responses API. Nothing is stored at OpenAI (`store: false`) unless `extra_body` says so.

    Args:
        model: for its `base_url` (with `/v1`; else `OPENAI_BASE_URL`) and `api_key_env` (else `OPENAI_API_KEY`).
        clock: for a Retry-After that is a date.
        key: a key that is not from the environment.
    """

    path = "/responses"

    def body(self, request: Request) -> dict[str, Any]:
        """See `SdkProvider`."""
        return openai_responses.request_body(request)

    def _read(self, body: Mapping[str, Any]) -> Answer | None:
        return openai_responses.read_answer(body)

    def _usage(self, body: Mapping[str, Any]) -> Usage | None:
        return openai_responses.read_usage(body)


class OpenAIChatProvider(OpenAIProvider):
    """Chat Completions, of OpenAI and of every server that speaks it (vLLM, Ollama, llama.cpp, gateways, …).

    Args:
        model: for its `base_url` (with `/v1`; else `OPENAI_BASE_URL`) and `api_key_env` (else `OPENAI_API_KEY`).
        clock: for a Retry-After that is a date.
        key: a key that is not from the environment.
    """

    path = "/chat/completions"

    def body(self, request: Request) -> dict[str, Any]:
        """See `SdkProvider`."""
        return openai_chat.request_body(request, own_server=self.endpoint is None)

    def _read(self, body: Mapping[str, Any]) -> Answer | None:
        return openai_chat.read_answer(body)

    def _error_within(self, reply: Reply) -> Reply | None:
        return openai_chat.choice_error(reply)

    def _usage(self, body: Mapping[str, Any]) -> Usage | None:
        return openai_chat.read_usage(body)


def openai_provider(model: Model) -> OpenAIChatProvider | OpenAIResponsesProvider:
    """The Responses API at OpenAI itself; Chat Completions at any other address: those every server has."""
    chat = OpenAIChatProvider(model)
    return OpenAIResponsesProvider(model) if chat.endpoint is None else chat
