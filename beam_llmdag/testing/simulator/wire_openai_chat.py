"""OpenAI's Chat Completions API, as openai 3.57 reads it (`openai.types.chat.ChatCompletion`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beam_llmdag.testing.simulator.reply import Reply
from beam_llmdag.testing.simulator.request import SimulatedRequest
from beam_llmdag.testing.simulator.wire import Asked, Wire, parts_text
from beam_llmdag.testing.simulator.wire_openai import openai_error, openai_limit_headers
from beam_llmdag.usage import Usage

__all__ = ["OPENAI_CHAT"]

# the chat API has no stop reason for a refusal by the model: its words stand in a field of their own
_STOP_REASONS = {"end": "stop", "length": "length", "refusal": "stop"}
_SYSTEM_ROLES = ("system", "developer")


def _read(body: Mapping[str, Any]) -> Asked:
    messages = [(str(m.get("role", "user")), parts_text(m.get("content"))) for m in body.get("messages", ())]
    response_format = body.get("response_format") or {}
    return Asked(
        system="\n".join(text for role, text in messages if role in _SYSTEM_ROLES),
        messages=tuple((role, text) for role, text in messages if role not in _SYSTEM_ROLES),
        schema=(response_format.get("json_schema") or {}).get("schema"),
    )


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _answer(request: SimulatedRequest, reply: Reply, usage: Mapping[str, Any] | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.answer_text, "refusal": reply.refusal}
    if reply.stop == "refusal":
        message["content"] = reply.answer_text or None
        message["refusal"] = reply.refusal or "I'm sorry, I cannot assist with that request."
    if reply.thinking is not None:
        message["reasoning_content"] = reply.thinking  # not OpenAI itself, but what servers that copy its API send
    choice: dict[str, Any] = {"index": 0, "message": message, "logprobs": None}
    if reply.stop is not None:
        choice["finish_reason"] = _STOP_REASONS.get(reply.stop, reply.stop)
    body: dict[str, Any] = {
        "id": f"chatcmpl-{request.fingerprint}",
        "object": "chat.completion",
        "created": int(request.received_at),
        "model": request.model,
        "choices": [choice],
        "service_tier": "default",
    }
    if usage is not None:
        body["usage"] = usage
    return body


OPENAI_CHAT = Wire(
    protocol="openai-chat",
    request_id_header="x-request-id",
    read=_read,
    usage=_usage,
    answer=_answer,
    error=openai_error,
    limit_headers=openai_limit_headers,
)
