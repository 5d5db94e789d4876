"""Ways to ask the simulator: raw HTTP, and the vendors' own SDKs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from beam_llmdag.testing import ApiProtocol, Simulator

PROTOCOLS: list[ApiProtocol] = ["anthropic", "openai-responses", "openai-chat", "google"]
LABEL_SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["a", "b"]}},
    "required": ["label"],
    "additionalProperties": False,
}


def body_of(
    protocol: ApiProtocol, prompt: str, *, model: str, system: str | None, schema: Mapping[str, Any] | None
) -> tuple[str, dict[str, Any]]:
    """Path and body of a request as the vendor documents it."""
    user = {"role": "user", "content": prompt}
    if protocol == "anthropic":
        body: dict[str, Any] = {"model": model, "max_tokens": 100, "messages": [user]}
        if system is not None:
            body["system"] = system
        if schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return "/v1/messages", body
    if protocol == "openai-responses":
        body = {"model": model, "input": [user]}
        if system is not None:
            body["instructions"] = system
        if schema is not None:
            body["text"] = {"format": {"type": "json_schema", "name": "out", "schema": schema, "strict": True}}
        return "/v1/responses", body
    if protocol == "openai-chat":
        messages = [user] if system is None else [{"role": "system", "content": system}, user]
        body = {"model": model, "messages": messages}
        if schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "out", "schema": schema}}
        return "/v1/chat/completions", body
    body = {"contents": [{"role": "user", "parts": [{"text": prompt}]}]}
    if system is not None:
        body["systemInstruction"] = {"parts": [{"text": system}]}
    if schema is not None:
        body["generationConfig"] = {"responseMimeType": "application/json", "responseJsonSchema": schema}
    return f"/v1beta/models/{model}:generateContent", body


def text_of(body: Any) -> str:
    """The model's answer in a response's body, whatever API it is of."""
    if "content" in body:
        return "".join(block["text"] for block in body["content"] if block["type"] == "text")
    if "output" in body:
        items = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
        return "".join(part["text"] for part in items if part["type"] == "output_text")
    if "choices" in body:
        return str(body["choices"][0]["message"]["content"])
    parts = body["candidates"][0].get("content", {}).get("parts", [])
    return "".join(part["text"] for part in parts if not part.get("thought"))


@dataclass(frozen=True)
class Got:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return text_of(self.json)


class RawCaller:
    """Asks by raw HTTP."""

    async def post(self, sim: Simulator, path: str, body: Any, *, timeout_seconds: float = 10) -> Got:
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        data = body if isinstance(body, bytes) else json.dumps(body)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.post(sim.url + path, data=data) as answer:
            return Got(answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read())

    async def ask_async(
        self,
        sim: Simulator,
        protocol: ApiProtocol,
        prompt: str = "hello",
        *,
        model: str = "m-1",
        system: str | None = None,
        schema: Mapping[str, Any] | None = None,
        timeout_seconds: float = 10,
    ) -> Got:
        path, body = body_of(protocol, prompt, model=model, system=system, schema=schema)
        return await self.post(sim, path, body, timeout_seconds=timeout_seconds)

    def ask(self, sim: Simulator, protocol: ApiProtocol = "anthropic", prompt: str = "hello", **options: Any) -> Got:
        return asyncio.run(self.ask_async(sim, protocol, prompt, **options))

    def ask_many(self, sim: Simulator, prompts: list[str], **options: Any) -> list[Got | BaseException]:
        async def gather() -> list[Got | BaseException]:
            calls = (self.ask_async(sim, "anthropic", prompt, **options) for prompt in prompts)
            return await asyncio.gather(*calls, return_exceptions=True)

        return asyncio.run(gather())


class SdkCaller:
    """Asks through the vendor's SDK, with its retries off, over aiohttp; returns the SDK's own object."""

    def ask(self, base_url: str, protocol: ApiProtocol, prompt: str = "hello", **options: Any) -> Any:
        return asyncio.run(getattr(self, protocol.replace("-", "_"))(base_url, prompt, **options))

    async def anthropic(
        self, base_url: str, prompt: str, *, schema: Any = None, timeout_seconds: float = 10, system: str = "be brief"
    ) -> Any:
        more: dict[str, Any] = {}
        if schema is not None:
            more["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        async with anthropic.AsyncAnthropic(
            base_url=base_url,
            api_key="test-key",
            max_retries=0,
            timeout=timeout_seconds,
            http_client=anthropic.DefaultAioHttpClient(),
        ) as client:
            return await client.messages.create(
                model="claude-haiku-4-5",
                max_tokens=100,
                system=system,
                messages=[{"role": "user", "content": prompt}],
                **more,
            )

    async def openai_responses(
        self, base_url: str, prompt: str, *, schema: Any = None, timeout_seconds: float = 10, system: str = "be brief"
    ) -> Any:
        more: dict[str, Any] = {}
        if schema is not None:
            more["text"] = {"format": {"type": "json_schema", "name": "out", "schema": schema, "strict": True}}
        async with self._openai(base_url, timeout_seconds) as client:
            return await client.responses.create(model="gpt-5-mini", instructions=system, input=prompt, **more)

    async def openai_chat(
        self, base_url: str, prompt: str, *, schema: Any = None, timeout_seconds: float = 10, system: str = "be brief"
    ) -> Any:
        more: dict[str, Any] = {}
        if schema is not None:
            json_schema = {"name": "out", "schema": schema, "strict": True}
            more["response_format"] = {"type": "json_schema", "json_schema": json_schema}
        async with self._openai(base_url, timeout_seconds) as client:
            return await client.chat.completions.create(
                model="gpt-5-mini",
                messages=[{"role": "system", "content": system}, {"role": "user", "content": prompt}],
                **more,
            )

    def _openai(self, base_url: str, timeout_seconds: float) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=base_url,
            api_key="test-key",
            max_retries=0,
            timeout=timeout_seconds,
            http_client=openai.DefaultAioHttpClient(),
        )

    async def google(
        self,
        base_url: str,
        prompt: str,
        *,
        schema: Any = None,
        timeout_seconds: float = 10,
        system: str = "be brief",
        api_version: str | None = None,
    ) -> Any:
        options = types.HttpOptions(
            base_url=base_url,
            api_version=api_version,
            timeout=int(timeout_seconds * 1000),
            retry_options=types.HttpRetryOptions(attempts=1),
        )
        config = types.GenerateContentConfig(system_instruction=system)
        if schema is not None:
            config.response_mime_type = "application/json"
            config.response_json_schema = schema
        async with genai.Client(api_key="test-key", http_options=options).aio as client:
            return await client.models.generate_content(model="gemini-2.5-flash", contents=prompt, config=config)


@pytest.fixture
def raw() -> RawCaller:
    return RawCaller()


@pytest.fixture
def sdk() -> SdkCaller:
    return SdkCaller()


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> ApiProtocol:
    name: ApiProtocol = request.param
    return name


@pytest.fixture
def label_schema() -> dict[str, Any]:
    return dict(LABEL_SCHEMA)
