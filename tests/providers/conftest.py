"""The four APIs, asked through their real SDKs over loopback HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from beam_llmdag.clock import Clock
from beam_llmdag.errors import CallError
from beam_llmdag.model import Answer, Message, Model, Request, WireSchema
from beam_llmdag.providers.anthropic import AnthropicProvider
from beam_llmdag.providers.google import GoogleProvider
from beam_llmdag.providers.http.provider import HttpProvider
from beam_llmdag.providers.openai import OpenAIChatProvider, OpenAIResponsesProvider
from beam_llmdag.testing import Simulator

KEYS = {
    "OPENAI_API_KEY": "sk-test-0123456789abcdefSECRET",
    "ANTHROPIC_API_KEY": "sk-ant-test-0123456789SECRET",
    "GEMINI_API_KEY": "AIzaTEST0123456789SECRET",
}
OTHER_VARIABLES = ("GOOGLE_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL")


@dataclass(frozen=True)
class Api:
    """One API and how its provider is made."""

    name: str
    model_name: str
    make: Callable[..., HttpProvider]
    key_variable: str
    url_variable: str

    @property
    def vendor(self) -> str:
        return self.name.partition("-")[0]

    def model(self, simulator: Simulator | None = None, **options: Any) -> Model:
        base_url = simulator.base_url(self.vendor) if simulator else None
        return Model(f"{self.name}:{self.model_name}", **{"base_url": base_url, "timeout_seconds": 10.0, **options})

    def ask(
        self,
        simulator: Simulator | None = None,
        *messages: Message,
        system: str | None = None,
        output: WireSchema | None = None,
        clock: Clock | None = None,
        **options: Any,
    ) -> Answer:
        """Asks once, through a provider of its own."""
        model = self.model(simulator, **options)
        request = Request(
            model=model, messages=messages or (Message("user", "It arrived late."),), system=system, output=output
        )

        async def asked() -> Answer:
            provider = self.make(model, clock=clock)
            try:
                return await provider.answer(request)
            finally:
                await provider.aclose()

        return asyncio.run(asked())

    def failure(self, simulator: Simulator | None = None, **options: Any) -> CallError:
        """The error of asking once."""
        with pytest.raises(CallError) as caught:
            self.ask(simulator, **options)
        return caught.value


APIS = (
    Api("anthropic", "claude-haiku-4-5", AnthropicProvider, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    Api("openai-responses", "gpt-5-mini", OpenAIResponsesProvider, "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    Api("openai-chat", "gpt-5-mini", OpenAIChatProvider, "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    Api("google", "gemini-2.5-flash", GoogleProvider, "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
)
_BY_NAME = {api.name: api for api in APIS}


@pytest.fixture(params=APIS, ids=lambda api: api.name)
def api(request: pytest.FixtureRequest) -> Api:
    """Each of the APIs."""
    found: Api = request.param
    return found


@pytest.fixture
def apis() -> dict[str, Api]:
    """The APIs by name."""
    return _BY_NAME


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment with a key for each vendor and nothing else."""
    for name in OTHER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
