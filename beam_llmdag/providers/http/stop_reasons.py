"""Why a model stopped, in one table for all vendors: gateways pass on each other's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beam_llmdag.model import Stop

__all__ = ["stop_of"]

_STOPS: Mapping[str, Stop] = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "eos_token", "end", "completed"), "end"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length", "continuation"), "length"),
    "model_context_window_exceeded": "length",
    **dict.fromkeys(("refusal", "content_filter", "content_filtered", "guardrail_intervened", "sensitive"), "refusal"),
    **dict.fromkeys(("safety", "recitation", "language", "blocklist", "prohibited_content", "spii"), "refusal"),
    **dict.fromkeys(("image_safety", "image_prohibited_content", "image_recitation", "model_armor"), "refusal"),
}


def stop_of(reason: Any) -> Stop:
    """What a stop reason means. Servers that know none leave it out; one that is not in the table is no good end."""
    if reason is None or reason == "":
        return "end"
    return _STOPS.get(reason.lower(), "unknown") if isinstance(reason, str) else "unknown"
