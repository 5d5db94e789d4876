"""Which wire format a path speaks."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from beam_llmdag.testing.simulator.wire import Wire
from beam_llmdag.testing.simulator.wire_anthropic import ANTHROPIC
from beam_llmdag.testing.simulator.wire_google import GOOGLE
from beam_llmdag.testing.simulator.wire_openai_chat import OPENAI_CHAT
from beam_llmdag.testing.simulator.wire_openai_responses import OPENAI_RESPONSES

__all__ = ["BASE_PATHS", "find_route"]

BASE_PATHS: Mapping[str, str] = {
    "anthropic": "",
    "openai": "/v1",
    "openai-responses": "/v1",
    "openai-chat": "/v1",
    "google": "",
}
"""Provider -> what its SDK wants behind the server's address in `base_url`."""

_PATHS: Mapping[str, Wire] = {
    "/v1/messages": ANTHROPIC,
    "/v1/responses": OPENAI_RESPONSES,
    "/v1/chat/completions": OPENAI_CHAT,
}
_GENERATE = ":generateContent"


def find_route(path: str) -> tuple[Wire, str | None] | None:
    """The wire format of a request's path, and the model where the path names it; None for an unknown path."""
    path = path.partition("?")[0]
    wire = _PATHS.get(path)
    if wire is not None:
        return wire, None
    version, slash, rest = path.removeprefix("/").partition("/models/")
    if slash and rest.endswith(_GENERATE) and version.startswith("v1") and "/" not in version:
        return GOOGLE, unquote(rest.removesuffix(_GENERATE))
    return None
