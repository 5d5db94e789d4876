"""What a call asks of the limits."""

from __future__ import annotations

from dataclasses import dataclass

from beam_llmdag.model import LimitKind

__all__ = ["Demand"]


@dataclass(frozen=True, slots=True)
class Demand:
    """What a call asks of the limits beside being one request.

    Attributes:
        input_tokens: of its prompt, estimated.
        output_tokens: of its answer, estimated.
    """

    input_tokens: float = 0.0
    output_tokens: float = 0.0

    def of(self, kind: LimitKind) -> float:
        """What it asks of one limit."""
        if kind == "requests":
            return 1.0
        if kind == "input_tokens":
            return self.input_tokens
        return self.output_tokens if kind == "output_tokens" else self.input_tokens + self.output_tokens
