"""What OpenAI's two APIs share: error objects and rate-limit headers.

Error codes and headers as OpenAI documents them under "Error codes" and "Rate limits: headers".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beam_llmdag.testing.simulator.rate_limits import LimitState
from beam_llmdag.testing.simulator.reply import Reply

__all__ = ["go_duration", "openai_error", "openai_limit_headers"]

_ERRORS: Mapping[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is not valid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", None, "You do not have access to this resource."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later"),
}
_OTHER_ERROR = ("server_error", None, "The server had an error while processing your request.")
_TYPES_BY_CODE: Mapping[str, str] = {
    "insufficient_quota": "insufficient_quota",
    "context_length_exceeded": "invalid_request_error",
}


def openai_error(status: int, reply: Reply, _request_id: str) -> dict[str, Any]:
    """The error object of both APIs; the id of the request is in a header only."""
    kind, code, message = _ERRORS.get(status, _OTHER_ERROR)
    if reply.code is not None:
        kind, code = _TYPES_BY_CODE.get(reply.code, kind), reply.code
    return {"error": {"message": reply.message or message, "type": kind, "param": None, "code": code}}


def openai_limit_headers(state: LimitState, _now: float) -> dict[str, str]:
    """The x-ratelimit headers. OpenAI shows one token limit: the tighter one of ours."""
    headers: dict[str, str] = {}
    for name, bucket in (("requests", state.requests), ("tokens", state.tightest_tokens)):
        if bucket is not None:
            headers[f"x-ratelimit-limit-{name}"] = str(bucket.limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(bucket.remaining)
            headers[f"x-ratelimit-reset-{name}"] = go_duration(bucket.reset_seconds)
    return headers


def go_duration(seconds: float) -> str:
    """`seconds` in OpenAI's notation: `"0s"`, `"120ms"`, `"7.66s"`, `"1m0s"`."""
    milliseconds = round(seconds * 1000)
    if milliseconds == 0:
        return "0s"
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return (f"{minutes}m" if minutes else "") + f"{rest / 1000:g}s"
