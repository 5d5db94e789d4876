"""Anthropic's Messages API, over its SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anthropic

from beam_llmdag.clock import Clock
from beam_llmdag.model import Answer, Image, Message, Model, Request
from beam_llmdag.providers.batch.anthropic import AnthropicBatches
from beam_llmdag.providers.dialects import ANTHROPIC
from beam_llmdag.providers.http.access import Access
from beam_llmdag.providers.http.body import LONGEST_FILE, WholeBodies
from beam_llmdag.providers.http.certificates import trusting
from beam_llmdag.providers.http.connections import UNLIMITED
from beam_llmdag.providers.http.request_body import base64_of, deep_merged, given, mapping
from beam_llmdag.providers.http.sdk_provider import SdkProvider
from beam_llmdag.providers.http.stop_reasons import stop_of
from beam_llmdag.providers.http.usage_report import agreed, count, details, part
from beam_llmdag.text import name_text
from beam_llmdag.usage import Usage

__all__ = ["AnthropicProvider", "request_body"]

_PATH = "/v1/messages"
_ADDED = (_PATH, "/v1")


class _Client(WholeBodies, anthropic.DefaultAioHttpClient):
    """The SDK's own client over aiohttp, with whole bodies."""


class _FileClient(_Client):
    """The same for whole files."""

    longest_body = LONGEST_FILE


class AnthropicProvider(SdkProvider):
    """Anthropic's Messages API.

    Args:
        model: for its `base_url` (without `/v1`; else `ANTHROPIC_BASE_URL`) and `api_key_env` (else
            `ANTHROPIC_API_KEY`).
        clock: for a Retry-After that is a date.
    """

    dialect = ANTHROPIC
    status_error = anthropic.APIStatusError
    connection_error = anthropic.APIConnectionError
    default_max_tokens = 4096  # the API insists on a number

    def __init__(self, model: Model, *, clock: Clock | None = None) -> None:
        access = Access(
            model=model, key_variables=("ANTHROPIC_API_KEY",), url_variable="ANTHROPIC_BASE_URL", added_paths=_ADDED
        )
        super().__init__(model, access, clock)

    def _path(self, request: Request) -> str:  # noqa: ARG002 - as every API
        return _PATH

    def body(self, request: Request) -> dict[str, Any]:
        """See `SdkProvider`."""
        return request_body(request)

    def batches(self) -> AnthropicBatches:
        """See `Batched`."""
        return AnthropicBatches(self)

    def _new_client(self, *, for_files: bool) -> anthropic.AsyncAnthropic:
        address = self.access.address
        kind = _FileClient if for_files else _Client
        return anthropic.AsyncAnthropic(
            api_key=self._key_to_send(),
            base_url=address.base,
            default_headers=self.model.headers,
            default_query=address.query,
            max_retries=0,
            http_client=kind(limits=UNLIMITED, follow_redirects=False, verify=trusting()),
        )

    def _read(self, body: Mapping[str, Any]) -> Answer | None:
        blocks = body.get("content")
        stop = stop_of(body.get("stop_reason"))
        if not isinstance(blocks, list):
            if stop != "refusal":
                return None
            blocks = []  # a refusal may have null in place of a content
        text = "".join(str(block.get("text") or "") for block in map(mapping, blocks) if block.get("type") == "text")
        words = mapping(body.get("stop_details"))
        told = (words.get("explanation"), text, words.get("category"))
        return Answer(
            text=text,
            stop=stop,
            stop_reason=name_text(body.get("stop_reason")),
            refusal=next((said for said in told if said and isinstance(said, str)), None),
        )

    def _usage(self, body: Mapping[str, Any]) -> Usage | None:
        if not body.get("usage"):
            return None
        usage = details(body["usage"])
        writes = details(usage.get("cache_creation"))
        short, long = (part(writes.get(f"ephemeral_{time}_input_tokens")) for time in ("5m", "1h"))
        read = part(usage.get("cache_read_input_tokens"))
        write = max(part(usage.get("cache_creation_input_tokens")), short + long)  # proxies leave the sum out
        reading = Usage(
            input_tokens=count(usage.get("input_tokens")) + read + write,
            output_tokens=count(usage.get("output_tokens")),
            cache_read_tokens=read,
            cache_write_tokens=write,
            cache_write_1h_tokens=long,
            reasoning_tokens=part(details(usage.get("output_tokens_details")).get("thinking_tokens")),
        )
        return agreed([reading], None)


def request_body(request: Request) -> dict[str, Any]:
    """The JSON body of a Messages request."""
    model = request.model
    body = given(
        model=model.name,
        max_tokens=model.max_tokens or AnthropicProvider.default_max_tokens,
        system=request.system,
        messages=[{"role": message.role, "content": _content(message)} for message in request.messages],
        temperature=model.temperature,
    )
    config: dict[str, Any] = {}
    if request.output is not None and request.output.native:
        config["format"] = {"type": "json_schema", "schema": request.output.schema}
    if model.effort is not None:
        config["effort"] = "low" if model.effort == "minimal" else model.effort  # the API begins at low
    if config:
        body["output_config"] = config
    return deep_merged(body, model.extra_body)


def _content(message: Message) -> str | list[dict[str, Any]]:
    return message.content if isinstance(message.content, str) else [_block(part) for part in message.parts()]


def _block(part: str | Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    source = {"type": "base64", "media_type": part.media_type, "data": base64_of(part)}
    return {"type": "image", "source": source}
