"""OpenAI's Responses API, as openai 3.57 reads it (`openai.types.responses.Response`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beam_llmdag.testing.simulator.reply import Reply
from beam_llmdag.testing.simulator.request import SimulatedRequest
from beam_llmdag.testing.simulator.wire import Asked, Wire, parts_text
from beam_llmdag.testing.simulator.wire_openai import openai_error, openai_limit_headers
from beam_llmdag.usage import Usage

__all__ = ["OPENAI_RESPONSES"]

_SYSTEM_ROLES = ("system", "developer")
_TEXT_TYPES = ("text", "input_text", "output_text")


def _read(body: Mapping[str, Any]) -> Asked:
    asked = body.get("input", ())
    turns = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    messages = [(str(t.get("role", "user")), parts_text(t.get("content"), type_of_text=_TEXT_TYPES)) for t in turns]
    instructions = body.get("instructions")
    system = [instructions] if isinstance(instructions, str) else []
    output_format = (body.get("text") or {}).get("format") or {}
    return Asked(
        system="\n".join((*system, *(text for role, text in messages if role in _SYSTEM_ROLES))),
        messages=tuple((role, text) for role, text in messages if role not in _SYSTEM_ROLES),
        schema=output_format.get("schema"),
    )


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _output(request: SimulatedRequest, reply: Reply, status: str) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = []
    if reply.thinking is not None:
        summary = [{"type": "summary_text", "text": reply.thinking}]
        output.append({"type": "reasoning", "id": f"rs_{request.fingerprint}", "summary": summary})
    content: list[dict[str, Any]] = []
    if reply.answer_text:
        content.append({"type": "output_text", "text": reply.answer_text, "annotations": []})
    if reply.stop == "refusal" or reply.refusal is not None:
        words = reply.refusal or "I'm sorry, I cannot assist with that request."
        content.append({"type": "refusal", "refusal": words})
    if content:
        message = {"type": "message", "id": f"msg_{request.fingerprint}", "role": "assistant", "status": status}
        output.append({**message, "content": content})
    return output


def _answer(request: SimulatedRequest, reply: Reply, usage: Mapping[str, Any] | None) -> dict[str, Any]:
    cut = None if reply.stop in ("end", "refusal", None) else reply.stop
    status = "incomplete" if cut else "completed"
    reason = "max_output_tokens" if cut == "length" else cut
    body: dict[str, Any] = {
        "id": f"resp_{request.fingerprint}",
        "object": "response",
        "created_at": int(request.received_at),
        "error": None,
        "incomplete_details": {"reason": reason} if cut else None,
        "model": request.model,
        "output": _output(request, reply, status),
        "parallel_tool_calls": True,
        "temperature": request.body.get("temperature", 1.0),
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }
    if reply.stop is not None:
        body["status"] = status
    if usage is not None:
        body["usage"] = usage
    return body


OPENAI_RESPONSES = Wire(
    protocol="openai-responses",
    request_id_header="x-request-id",
    read=_read,
    usage=_usage,
    answer=_answer,
    error=openai_error,
    limit_headers=openai_limit_headers,
)
