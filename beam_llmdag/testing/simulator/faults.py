"""What goes wrong between a client and a vendor, by name, and how often."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from itertools import accumulate
from typing import Literal, get_args

from beam_llmdag.testing.simulator.reply import Reply
from beam_llmdag.testing.simulator.request import SimulatedRequest

__all__ = ["FaultName", "Faults", "fault_reply"]

FaultName = Literal[
    "rate_limited",  # 429 with Retry-After: 1
    "rate_limited_date",  # 429 with Retry-After as an HTTP date, one to two seconds ahead
    "rate_limited_silent",  # 429 without Retry-After
    "quota_exhausted",  # 429 that waiting does not cure
    "overloaded",  # 529 (Anthropic) or 503
    "unavailable",  # 503
    "server_error",  # 500
    "reset",  # the connection is reset instead of an answer
    "hang",  # accepted and never answered
    "malformed_json",  # 200; the JSON ends half-way
    "truncated_body",  # 200; the connection ends half-way
    "empty_body",  # 200 and nothing
    "html",  # 200 and a proxy's page
    "error_200",  # 200 with an error object
    "wrong_schema",  # an answer that is not what the schema asks for
    "length",  # the answer hit the token limit
    "refusal",  # the model declined
]

_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
_QUOTA_CODES = {
    "anthropic": "enforced_spend_limit_reached",
    "google": "GenerateRequestsPerDayPerProjectPerModel",
    "openai-chat": "insufficient_quota",
    "openai-responses": "insufficient_quota",
}
_QUOTA_MESSAGE = "You exceeded your current quota, please check your plan and billing details."


def _rate_limited_date(request: SimulatedRequest, _answer: Reply) -> Reply:
    return Reply(status=429, retry_after=formatdate(request.received_at + 2, usegmt=True))


def _quota_exhausted(request: SimulatedRequest, _answer: Reply) -> Reply:
    return Reply(status=429, message=_QUOTA_MESSAGE, code=_QUOTA_CODES[request.protocol])


def _overloaded(request: SimulatedRequest, _answer: Reply) -> Reply:
    return Reply(status=529 if request.protocol == "anthropic" else 503)


def _malformed_json(_request: SimulatedRequest, answer: Reply) -> Reply:
    return replace(answer, malformed=True)


def _truncated_body(_request: SimulatedRequest, answer: Reply) -> Reply:
    return replace(answer, truncate=True)


def _wrong_schema(_request: SimulatedRequest, answer: Reply) -> Reply:
    return replace(answer, text={"unexpected": True})


def _length(_request: SimulatedRequest, answer: Reply) -> Reply:
    text = answer.answer_text
    return replace(answer, text=text[: len(text) // 2], stop="length")


_FIXED: Mapping[FaultName, Reply] = {
    "rate_limited": Reply(status=429, retry_after=1),
    "rate_limited_silent": Reply(status=429),
    "unavailable": Reply(status=503),
    "server_error": Reply(status=500),
    "reset": Reply(drop=True),
    "hang": Reply(hang=True),
    "empty_body": Reply(body=""),
    "html": Reply(body=_PAGE, headers={"content-type": "text/html"}),
    "error_200": Reply(json={"error": {"message": "Provider returned error", "code": 502}}),
    "refusal": Reply(stop="refusal", refusal="I cannot help with that request."),
}
_MADE: Mapping[FaultName, Callable[[SimulatedRequest, Reply], Reply]] = {
    "rate_limited_date": _rate_limited_date,
    "quota_exhausted": _quota_exhausted,
    "overloaded": _overloaded,
    "malformed_json": _malformed_json,
    "truncated_body": _truncated_body,
    "wrong_schema": _wrong_schema,
    "length": _length,
}


def fault_reply(name: FaultName, request: SimulatedRequest, answer: Reply) -> Reply:
    """What the fault called `name` sends in place of `answer`."""
    return _FIXED[name] if name in _FIXED else _MADE[name](request, answer)


class Faults:
    """Which requests meet which fault.

    Args:
        probabilities: name of a fault -> share of the requests that meet it.

    Raises:
        ValueError: an unknown name, a negative share, or shares of more than 1 in all.
    """

    def __init__(self, probabilities: Mapping[FaultName, float]) -> None:
        for name, share in probabilities.items():
            if name not in get_args(FaultName):
                raise ValueError(f"no fault {name!r}: there are {', '.join(get_args(FaultName))}")
            if share < 0:
                raise ValueError(f"the probability of {name!r} is negative: {share}")
        if sum(probabilities.values()) > 1 + 1e-9:
            raise ValueError(f"the probabilities of all faults sum up to more than 1: {dict(probabilities)}")
        self._steps = list(zip(accumulate(probabilities.values()), probabilities, strict=True))

    def choose(self, request: SimulatedRequest, seed: int) -> FaultName | None:
        """The fault that `request` meets; None for most, one hopes. Depends on `seed` and the request alone."""
        if not self._steps:
            return None
        chance = request.chance(seed, "fault")
        return next((name for step, name in self._steps if chance < step), None)
