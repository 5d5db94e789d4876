"""Anthropic's Messages API.

Shapes as anthropic 2.13 reads them (`anthropic.types.Message`, `.Usage`, `.shared.ErrorResponse`); rate-limit headers
as Anthropic documents them under "Rate limits: response headers".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from beam_llmdag.testing.simulator.rate_limits import BucketState, LimitState
from beam_llmdag.testing.simulator.reply import Reply
from beam_llmdag.testing.simulator.request import SimulatedRequest
from beam_llmdag.testing.simulator.wire import Asked, Wire, parts_text
from beam_llmdag.usage import Usage

__all__ = ["ANTHROPIC"]

_STOP_REASONS = {"end": "end_turn", "length": "max_tokens", "refusal": "refusal"}
_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request_error", "The request body is not valid."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low to access the Anthropic API."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "The requested resource could not be found."),
    413: ("invalid_request_error", "Request exceeds the maximum allowed number of bytes."),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    503: ("api_error", "Service unavailable."),
    504: ("timeout_error", "The request timed out."),
    529: ("overloaded_error", "Overloaded"),
}
_OTHER_ERROR = ("api_error", "Internal server error")


def _read(body: Mapping[str, Any]) -> Asked:
    messages = tuple((str(m.get("role", "user")), parts_text(m.get("content"))) for m in body.get("messages", ()))
    output_format = (body.get("output_config") or {}).get("format") or {}
    return Asked(system=parts_text(body.get("system")), messages=messages, schema=output_format.get("schema"))


def _usage(usage: Usage) -> dict[str, Any]:
    five_minutes = usage.cache_write_tokens - usage.cache_write_1h_tokens
    wire: dict[str, Any] = {
        "input_tokens": usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": five_minutes,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
        "service_tier": "standard",
    }
    if usage.reasoning_tokens:
        wire["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return wire


def _answer(request: SimulatedRequest, reply: Reply, usage: Mapping[str, Any] | None) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if reply.thinking is not None:
        content.append({"type": "thinking", "thinking": reply.thinking, "signature": "c2ltdWxhdGVk"})
    if reply.answer_text:
        content.append({"type": "text", "text": reply.answer_text})
    body: dict[str, Any] = {
        "id": f"msg_{request.fingerprint}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_sequence": None,
    }
    if reply.stop is not None:
        body["stop_reason"] = _STOP_REASONS.get(reply.stop, reply.stop)
    if reply.stop == "refusal":
        body["stop_details"] = {"type": "refusal", "category": None, "explanation": reply.refusal}
    if usage is not None:
        body["usage"] = usage
    return body


def _error(status: int, reply: Reply, request_id: str) -> dict[str, Any]:
    kind, message = _ERRORS.get(status, _OTHER_ERROR)
    error: dict[str, Any] = {"type": kind, "message": reply.message or message}
    if reply.code is not None:
        error["details"] = {"error_code": reply.code}
    return {"type": "error", "error": error, "request_id": request_id}


def _limit_headers(state: LimitState, now: float) -> dict[str, str]:
    buckets: dict[str, BucketState | None] = {
        "requests": state.requests,
        "tokens": state.tightest_tokens,
        "input-tokens": state.input_tokens,
        "output-tokens": state.output_tokens,
    }
    headers: dict[str, str] = {}
    for name, bucket in buckets.items():
        if bucket is not None:
            reset = datetime.fromtimestamp(now + bucket.reset_seconds, UTC).isoformat(timespec="seconds")
            headers[f"anthropic-ratelimit-{name}-limit"] = str(bucket.limit)
            headers[f"anthropic-ratelimit-{name}-remaining"] = str(bucket.remaining)
            headers[f"anthropic-ratelimit-{name}-reset"] = reset.replace("+00:00", "Z")
    return headers


ANTHROPIC = Wire(
    protocol="anthropic",
    request_id_header="request-id",
    read=_read,
    usage=_usage,
    answer=_answer,
    error=_error,
    limit_headers=_limit_headers,
)
