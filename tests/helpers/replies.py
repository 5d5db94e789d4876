"""Replies of the four APIs, made by hand: the wire formats with any value in any place."""

from __future__ import annotations

import copy
import json
from typing import Any

from beam_llmdag.model import Model
from beam_llmdag.testing import Reply, Simulator

KEY = "sk-test/Zq81-0123456789abcdef"
SPECS = {
    "anthropic": "anthropic:claude-haiku-4-5",
    "openai-chat": "openai-chat:gpt-5-mini",
    "openai-responses": "openai-responses:gpt-5-mini",
    "google": "google:gemini-2.5-flash",
}
KEY_VARIABLES = {"anthropic": "ANTHROPIC_API_KEY", "google": "GEMINI_API_KEY"}
_PLACES: dict[str, dict[str, tuple[str | int, ...]]] = {
    "anthropic": {
        "text": ("content", 0, "text"),
        "usage": ("usage",),
        "input": ("usage", "input_tokens"),
        "output": ("usage", "output_tokens"),
        "stop": ("stop_reason",),
        "id": ("id",),
        "model": ("model",),
    },
    "openai-chat": {
        "text": ("choices", 0, "message", "content"),
        "usage": ("usage",),
        "input": ("usage", "prompt_tokens"),
        "output": ("usage", "completion_tokens"),
        "stop": ("choices", 0, "finish_reason"),
        "id": ("id",),
        "model": ("model",),
    },
    "openai-responses": {
        "text": ("output", 0, "content", 0, "text"),
        "usage": ("usage",),
        "input": ("usage", "input_tokens"),
        "output": ("usage", "output_tokens"),
        "stop": ("status",),
        "id": ("id",),
        "model": ("model",),
    },
    "google": {
        "text": ("candidates", 0, "content", "parts", 0, "text"),
        "usage": ("usageMetadata",),
        "input": ("usageMetadata", "promptTokenCount"),
        "output": ("usageMetadata", "candidatesTokenCount"),
        "stop": ("candidates", 0, "finishReason"),
        "id": ("responseId",),
        "model": ("modelVersion",),
    },
}
_BODIES: dict[str, dict[str, Any]] = {
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": '{"label": "a"}'}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 40, "output_tokens": 6},
    },
    "openai-chat": {
        "id": "c1",
        "object": "chat.completion",
        "model": "gpt-5-mini",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": '{"label": "a"}'}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 40, "completion_tokens": 6},
    },
    "openai-responses": {
        "id": "r1",
        "object": "response",
        "status": "completed",
        "model": "gpt-5-mini",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": '{"label": "a"}'}]}],
        "usage": {"input_tokens": 40, "output_tokens": 6},
    },
    "google": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": '{"label": "a"}'}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 40, "candidatesTokenCount": 6},
        "modelVersion": "gemini-2.5-flash",
        "responseId": "g1",
    },
}


def body(api: str, **odd: Any) -> dict[str, Any]:
    """A good answer in the shape of an API, other things in it than usual.

    Args:
        api: its name.
        odd: `text`, `usage`, `input` and `output` (tokens), `stop`, `id` or `model` -> what stands there.
    """
    made = copy.deepcopy(_BODIES[api])
    for place, value in odd.items():
        *path, last = _PLACES[api][place]
        inside: Any = made
        for step in path:
            inside = inside[step]
        inside[last] = value
    return made


def reply(api: str, **odd: Any) -> Reply:
    """A `Reply` with `body(api, **odd)` and no id in its headers."""
    return Reply(body=json.dumps(body(api, **odd)), headers={"request-id": "", "x-request-id": ""})


def model(simulator: Simulator, api: str, **options: Any) -> Model:
    """The model of an API, answered by the simulator."""
    return Model(SPECS[api], base_url=simulator.base_url(api.partition("-")[0]), **{"timeout_seconds": 10.0, **options})


def key_variable(api: str) -> str:
    """The environment variable of an API's key."""
    return KEY_VARIABLES.get(api, "OPENAI_API_KEY")
