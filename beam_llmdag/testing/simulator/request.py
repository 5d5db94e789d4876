"""What the simulator was asked, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

__all__ = ["ApiProtocol", "LoggedRequest", "SimulatedRequest"]

ApiProtocol = Literal["anthropic", "openai-responses", "openai-chat", "google"]
"""A wire format, by the name of the provider that speaks it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRequest:
    """One request that reached the simulator.

    Attributes:
        protocol: the API that was called.
        path: path of the URL, query included.
        model: the vendor's name of the model.
        system: system text; `""` if there is none.
        messages: role and text of every other message, in order; images are left out.
        schema: the JSON schema asked for; None for plain text.
        body: the parsed JSON body.
        raw: the body's bytes.
        headers: HTTP headers, names in lower case.
        received_at: seconds since 1970-01-01 UTC.
        fingerprint: the same for equal paths and bodies: 16 hexadecimal digits.
        repeat: how often the same path and body had come before.
        lane: `"batch"` if it came in a batch; then `path` is the one that it would have had on its own.
    """

    protocol: ApiProtocol
    path: str
    model: str
    system: str
    messages: tuple[tuple[str, str], ...]
    schema: Mapping[str, Any] | None
    body: Mapping[str, Any] = field(repr=False)
    raw: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    received_at: float
    fingerprint: str
    repeat: int
    lane: Literal["direct", "batch"] = "direct"

    @property
    def prompt(self) -> str:
        """The text of all user messages, joined by line breaks."""
        return "\n".join(text for role, text in self.messages if role == "user")

    @property
    def text(self) -> str:
        """System text and the text of all messages, joined by line breaks."""
        return "\n".join((self.system, *(text for _, text in self.messages)))

    @property
    def request_id(self) -> str:
        """The id that the simulator gives to this request, the same in every run."""
        return f"req_{self.fingerprint}_{self.repeat}"

    def chance(self, seed: int, purpose: str) -> float:
        """A number between 0 and 1, both excluded, that depends on `seed`, `purpose` and this request alone.

        Concurrent requests arrive in any order; a shared random generator would make every run another one.
        """
        digest = blake2b(f"{seed}/{purpose}/{self.fingerprint}/{self.repeat}".encode(), digest_size=6).digest()
        return (int.from_bytes(digest, "big") + 0.5) / 2**48


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest(SimulatedRequest):
    """A request and what had become of it when `Simulator.requests` was read.

    Attributes:
        status: HTTP status of the answer; None while there is none, and if there never was one.
        usage: token usage as it was sent; None if none was.
        finished_at: when the answer was sent, or the connection cut by the simulator; seconds since 1970-01-01 UTC.
        closed_by_client_at: when the client hung up before it had an answer; None if it did not.
    """

    status: int | None = None
    usage: Mapping[str, Any] | None = None
    finished_at: float | None = None
    closed_by_client_at: float | None = None
