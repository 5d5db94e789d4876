"""Hostile replies, answers and dag files: whatever comes, an answer or a classified error comes of it.

`make fuzz` searches for minutes; the tests look at two hundred examples of each kind, the same ones every time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web
from fuzz.strategies import HTTP_HEADERS, HTTP_STATUSES, bodies, mutated_text
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from beam_llmdag.calls.attempt import checked
from beam_llmdag.errors import ERROR_CLASSES, CallError, GraphError
from beam_llmdag.model import Answer, Message, Model, Request
from beam_llmdag.outputs.output import Output
from beam_llmdag.outputs.reading import read_answer
from beam_llmdag.providers.anthropic import AnthropicProvider
from beam_llmdag.providers.google import GoogleProvider
from beam_llmdag.providers.http.provider import HttpProvider
from beam_llmdag.providers.openai import OpenAIChatProvider, OpenAIResponsesProvider
from beam_llmdag.providers.prices import Price, PriceTable
from beam_llmdag.yaml.build import parse_dag

SEARCHING = "FUZZ_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))

settings.register_profile(
    "fuzz",
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not SEARCHING,
    database=None,
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink] if SEARCHING else [Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


class Mood(BaseModel):
    """An output with a bit of everything."""

    label: Literal["warm", "cold"]
    score: float = Field(ge=0, le=1)
    price: Decimal | None = None
    tags: set[str] = set()
    counts: dict[str, int] = {}


MOOD = Output(Mood)
TEXT = Output(str)
ANSWER = '{"label": "warm", "score": 0.5, "price": 12.25, "tags": ["a", "b"], "counts": {"x": 1}}'
THOUGHT_AND_FENCED = f"<think>{ANSWER[:40]}</think>Here it is:\n```json\n{ANSWER}\n```"


@dataclass(frozen=True)
class Wire:
    """A vendor's API: its provider, and a good reply."""

    provider: type[HttpProvider]
    model: str
    path: str
    key: str
    good: dict[str, Any]


WIRES = {
    "anthropic": Wire(
        AnthropicProvider,
        "anthropic:claude-haiku-4-5",
        "",
        "ANTHROPIC_API_KEY",
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5",
            "content": [{"type": "thinking", "thinking": "so", "signature": "x"}, {"type": "text", "text": ANSWER}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 60,
                "cache_read_input_tokens": 400,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                "output_tokens": 9,
            },
        },
    ),
    "openai-chat": Wire(
        OpenAIChatProvider,
        "openai-chat:gpt-5-mini",
        "/v1",
        "OPENAI_API_KEY",
        {
            "id": "c1",
            "object": "chat.completion",
            "model": "gpt-5-mini",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": 60,
                "completion_tokens": 9,
                "total_tokens": 69,
                "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
        },
    ),
    "openai-responses": Wire(
        OpenAIResponsesProvider,
        "openai-responses:gpt-5-mini",
        "/v1",
        "OPENAI_API_KEY",
        {
            "id": "r1",
            "object": "response",
            "status": "completed",
            "incomplete_details": None,
            "model": "gpt-5-mini",
            "output": [
                {"type": "reasoning", "id": "rs1", "summary": []},
                {
                    "type": "message",
                    "id": "m1",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": ANSWER, "annotations": []}],
                },
            ],
            "usage": {
                "input_tokens": 60,
                "input_tokens_details": {"cached_tokens": 8},
                "output_tokens": 9,
                "output_tokens_details": {"reasoning_tokens": 3},
                "total_tokens": 69,
            },
        },
    ),
    "google": Wire(
        GoogleProvider,
        "google:gemini-2.5-flash",
        "",
        "GEMINI_API_KEY",
        {
            "candidates": [
                {"content": {"role": "model", "parts": [{"text": ANSWER}]}, "finishReason": "STOP", "index": 0}
            ],
            "usageMetadata": {
                "promptTokenCount": 60,
                "cachedContentTokenCount": 8,
                "candidatesTokenCount": 6,
                "thoughtsTokenCount": 3,
                "totalTokenCount": 69,
            },
            "modelVersion": "gemini-2.5-flash",
            "responseId": "g1",
        },
    ),
}
ERRORS = [
    {
        "error": {
            "message": "Rate limit reached. Limit 100, Requested 200",
            "type": "tokens",
            "code": "rate_limit_exceeded",
        }
    },
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "q1"},
    {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota", "details": [{"retryDelay": "7s"}]}},
]
PRICES = PriceTable({wire.model: Price(input=1, output=2) for wire in WIRES.values()})


class HostileServer:
    """Answers every request with the bytes that it is told."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"", {}
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        await request.read()
        headers = {"content-type": "application/json", **self.headers}
        return web.Response(status=self.status, body=self.body, headers=headers)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("name", WIRES)
def test_any_reply_is_an_answer_or_a_classified_error(
    name: str, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = WIRES[name]
    monkeypatch.setenv(wire.key, "sk-test-0123456789")
    server = HostileServer()
    loop.run_until_complete(server.start())
    model = Model(wire.model, base_url=server.url + wire.path, timeout_seconds=20)
    provider = wire.provider(model)
    request = Request(model=model, messages=(Message("user", "How warm?"),), system=None, output=None)

    @settings(settings.get_profile("fuzz"))
    @given(
        body=st.sampled_from([wire.good, wire.good, wire.good, *ERRORS]).flatmap(bodies),
        status=HTTP_STATUSES,
        headers=HTTP_HEADERS,
    )
    def look(body: bytes, status: int, headers: dict[str, str]) -> None:
        server.status, server.body, server.headers = status, body, headers
        try:
            answer = loop.run_until_complete(provider.answer(request))
        except CallError as error:
            check_error(error)
        else:
            check_answer(answer, wire.model)

    try:
        look()
    finally:
        loop.run_until_complete(provider.aclose())
        loop.run_until_complete(server.stop())


@settings(settings.get_profile("fuzz"))
@given(mutated_text(THOUGHT_AND_FENCED) | mutated_text(ANSWER) | st.text())
def test_any_answer_is_data_that_fits_or_a_classified_error(text: str) -> None:
    for output in (MOOD, TEXT):
        try:
            data = read_answer(text, output)
        except CallError as error:
            check_class(error, "invalid_answer", "truncated")
        else:
            assert output.load(data) == data if output is MOOD else data.strip()


DAG_FILE = (Path(__file__).parent.parent.parent / "examples" / "reviews.dag.yaml").read_text(encoding="utf-8")


@settings(settings.get_profile("fuzz"))
@given(mutated_text(DAG_FILE))
def test_any_dag_file_is_a_dag_or_a_graph_error(text: str) -> None:
    try:
        dag = parse_dag(text, "hostile.dag.yaml")
    except GraphError as error:
        check_message(str(error), names="hostile.dag.yaml")
    else:
        assert dag.name


def check_error(error: CallError) -> None:
    assert error.error_class in ERROR_CLASSES
    assert error.error_class != "user_function", f"{error}\n{error.traceback}"
    check_message(error.message)
    assert error.request_id is None or isinstance(error.request_id, str)
    assert error.retry_after_seconds is None or 0 <= error.retry_after_seconds < float("inf")
    check_usage(error)


def check_answer(answer: Answer, model: str) -> None:
    assert isinstance(answer.text, str)
    assert answer.request_id is None or isinstance(answer.request_id, str)
    check_usage(answer)
    cost = PRICES.cost(model, answer.usage, at=1.7e9)
    assert cost is None or cost >= 0
    try:
        checked(answer, MOOD)
    except CallError as error:
        check_class(error, "invalid_answer", "truncated", "refused")


def check_usage(known: Answer | CallError) -> None:
    usage = known.usage
    if usage is not None:
        assert 0 <= usage.cache_read_tokens + usage.cache_write_tokens <= usage.input_tokens < 2**63
        assert 0 <= usage.cache_write_1h_tokens <= usage.cache_write_tokens
        assert 0 <= usage.reasoning_tokens <= usage.output_tokens < 2**63


def check_class(error: CallError, *expected: str) -> None:
    assert error.error_class in expected, error
    check_message(error.message)


def check_message(message: str, names: str = "") -> None:
    assert names in message
    assert 0 < len(message) <= 3000
    message.encode("utf-8")
