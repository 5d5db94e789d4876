"""Gemini's generateContent.

Shapes as google-genai 3.6 reads them (`types.GenerateContentResponse`, `errors.APIError`); statuses of google.rpc.Code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beam_llmdag.testing.simulator.rate_limits import LimitState
from beam_llmdag.testing.simulator.reply import Reply
from beam_llmdag.testing.simulator.request import SimulatedRequest
from beam_llmdag.testing.simulator.wire import Asked, Wire, parts_text
from beam_llmdag.usage import Usage

__all__ = ["GOOGLE"]

_STOP_REASONS = {"end": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"}
_ROLES = {"model": "assistant"}
_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "API keys are not supported by this API."),
    403: ("PERMISSION_DENIED", "Method doesn't allow unregistered callers."),
    404: ("NOT_FOUND", "The model is not found for API version v1."),
    429: ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "The request timed out. Please try again."),
}
_OTHER_ERROR = ("INTERNAL", "An internal error has occurred.")
_RPC = "type.googleapis.com/google.rpc."
_QUOTA_METRIC = "generativelanguage.googleapis.com/generate_content_requests"
_QUOTA_PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel"


def _read(body: Mapping[str, Any]) -> Asked:
    messages = []
    for turn in body.get("contents", ()):
        role = str(turn.get("role", "user"))
        messages.append((_ROLES.get(role, role), parts_text(turn.get("parts"))))
    config = body.get("generationConfig") or {}
    return Asked(
        system=parts_text((body.get("systemInstruction") or {}).get("parts")),
        messages=tuple(messages),
        schema=config.get("responseJsonSchema") or config.get("responseSchema"),
    )


def _usage(usage: Usage) -> dict[str, Any]:
    wire = {"promptTokenCount": usage.input_tokens}
    if usage.cache_read_tokens:
        wire["cachedContentTokenCount"] = usage.cache_read_tokens
    wire["candidatesTokenCount"] = usage.output_tokens - usage.reasoning_tokens
    if usage.reasoning_tokens:
        wire["thoughtsTokenCount"] = usage.reasoning_tokens
    wire["totalTokenCount"] = usage.input_tokens + usage.output_tokens
    return wire


def _answer(request: SimulatedRequest, reply: Reply, usage: Mapping[str, Any] | None) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if reply.thinking is not None:
        parts.append({"text": reply.thinking, "thought": True})
    if reply.answer_text:
        parts.append({"text": reply.answer_text})
    candidate: dict[str, Any] = {"index": 0}
    if parts:
        candidate["content"] = {"role": "model", "parts": parts}
    if reply.stop is not None:
        candidate["finishReason"] = _STOP_REASONS.get(reply.stop, reply.stop)
    if reply.refusal is not None:
        candidate["finishMessage"] = reply.refusal
    body: dict[str, Any] = {
        "candidates": [candidate],
        "modelVersion": request.model,
        "responseId": request.fingerprint,
    }
    if usage is not None:
        body["usageMetadata"] = usage
    return body


def _error(status: int, reply: Reply, _request_id: str) -> dict[str, Any]:
    kind, message = _ERRORS.get(status, _OTHER_ERROR)
    error: dict[str, Any] = {"code": status, "message": reply.message or message, "status": kind}
    details = _error_details(status, reply)
    if details:
        error["details"] = details
    return {"error": error}


def _error_details(status: int, reply: Reply) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if status == 429:
        violation = {"quotaMetric": _QUOTA_METRIC, "quotaId": reply.code or _QUOTA_PER_MINUTE}
        details.append({"@type": f"{_RPC}QuotaFailure", "violations": [violation]})
    elif reply.code is not None:
        details.append({"@type": f"{_RPC}ErrorInfo", "reason": reply.code, "domain": "googleapis.com"})
    if isinstance(reply.retry_after, (int, float)):
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{reply.retry_after:g}s"})
    return details


def _limit_headers(_state: LimitState, _now: float) -> dict[str, str]:
    return {}  # Gemini sends none


GOOGLE = Wire(
    protocol="google",
    request_id_header=None,
    read=_read,
    usage=_usage,
    answer=_answer,
    error=_error,
    limit_headers=_limit_headers,
)
