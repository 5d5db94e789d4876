"""An independent check: the SDKs say the same about our simulator and about PyPI's `llmock`.

llmock 0.2 has no structured output for Anthropic, serves Gemini under `v1beta` only, and estimates tokens in its own
way: there, nothing is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import anthropic
import openai
import pytest
from google.genai import errors

from beam_llmdag.testing import ApiProtocol, RateLimit, Reply, Simulator

pytest.importorskip("llmock")

from llmock import ratelimit, scenarios
from llmock.testing import LLMockServer

pytestmark = pytest.mark.processes

SDK_ERRORS = (anthropic.APIStatusError, openai.APIStatusError, errors.APIError)
PATHS = {"anthropic": "anthropic", "openai-responses": "openai", "openai-chat": "openai", "google": "gemini"}


@dataclass(frozen=True)
class Both:
    """Both servers, asked the same question through the same SDK."""

    ours: Simulator
    theirs: LLMockServer
    ask: Callable[..., Any]

    def said(self, protocol: ApiProtocol, read: Callable[[Any], Any]) -> tuple[Any, Any]:
        """What `read` finds in the SDK's object, or in its exception, for our server and for theirs."""
        urls = self.ours.base_url(protocol), self.theirs.base_url(PATHS[protocol])
        options = {"api_version": "v1beta"} if protocol == "google" else {}
        return read(self._one(urls[0], protocol, options)), read(self._one(urls[1], protocol, options))

    def _one(self, url: str, protocol: ApiProtocol, options: dict[str, str]) -> Any:
        try:
            return self.ask(url, protocol, "How late is it?", **options)
        except SDK_ERRORS as error:
            return error

    def answer(self, text: str, *, stop: Literal["end", "length"] = "end") -> None:
        """Both models say `text` to the next request."""
        self.ours.script([Reply(text, stop=stop)])
        finish_reason = "length" if stop == "length" else None
        self.theirs.state.scenarios.add(scenarios.Reply(text=text, finish_reason=finish_reason))

    def fail(self, status: int, *, retry_after: float | None = None) -> None:
        """Both servers answer the next request with an error."""
        self.ours.script([Reply(status=status, retry_after=retry_after)])
        self.theirs.state.scenarios.add(scenarios.Fail(status, retry_after=retry_after))


@pytest.fixture
def both(sdk) -> Iterator[Both]:
    with Simulator() as ours, LLMockServer() as theirs:
        yield Both(ours, theirs, sdk.ask)


def test_anthropic_messages_say_the_same(both):
    both.answer("It is ten.")
    ours, theirs = both.said("anthropic", lambda m: (type(m), m.role, m.type, m.stop_reason, m.model, m.content))
    assert ours == theirs
    assert ours[3] == "end_turn"


def test_openai_responses_say_the_same(both):
    both.answer("It is ten.")
    ours, theirs = both.said(
        "openai-responses",
        lambda r: (type(r), r.object, r.status, r.model, r.output_text, [(o.type, o.role, o.status) for o in r.output]),
    )
    assert ours == theirs
    assert ours[2:5] == ("completed", "gpt-5-mini", "It is ten.")


def test_openai_chat_completions_say_the_same(both):
    both.answer("It is ten.")
    ours, theirs = both.said(
        "openai-chat",
        lambda c: (type(c), c.object, c.model, [(o.index, o.finish_reason, o.message.content) for o in c.choices]),
    )
    assert ours == theirs
    assert ours[3] == [(0, "stop", "It is ten.")]


def test_google_says_the_same(both):
    both.answer("It is ten.")
    ours, theirs = both.said(
        "google",
        lambda r: (type(r), r.text, [(c.index, c.finish_reason, c.content.role) for c in r.candidates]),
    )
    assert ours == theirs
    assert ours[1] == "It is ten."


@pytest.mark.parametrize(
    ("protocol", "read", "reason"),
    [
        ("anthropic", lambda m: m.stop_reason, "max_tokens"),
        ("openai-responses", lambda r: (r.status, r.incomplete_details.reason), ("incomplete", "max_output_tokens")),
        ("openai-chat", lambda c: c.choices[0].finish_reason, "length"),
        ("google", lambda r: r.candidates[0].finish_reason, "MAX_TOKENS"),
    ],
)
def test_an_answer_at_the_token_limit_has_the_same_stop_reason(both, protocol, read, reason):
    both.answer("It is", stop="length")
    ours, theirs = both.said(protocol, read)
    assert ours == theirs == reason


@pytest.mark.parametrize(
    ("protocol", "read"),
    [
        ("anthropic", lambda m: (m.usage.input_tokens, m.usage.output_tokens)),
        ("openai-responses", lambda r: (r.usage.input_tokens, r.usage.output_tokens)),
        ("openai-chat", lambda c: (c.usage.prompt_tokens, c.usage.completion_tokens)),
        ("google", lambda r: (r.usage_metadata.prompt_token_count, r.usage_metadata.candidates_token_count)),
    ],
)
def test_usage_is_found_in_the_same_fields(both, protocol, read):
    both.answer("It is ten o'clock, and all is well.")
    ours, theirs = both.said(protocol, read)
    assert all(isinstance(tokens, int) and tokens > 0 for tokens in (*ours, *theirs))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_an_error_is_the_same_exception_of_the_sdk(both, protocol, status):
    both.fail(status)
    ours, theirs = both.said(protocol, lambda error: (type(error), status_of(error)))
    assert ours == theirs
    assert ours[1] == status


def test_anthropics_overload_is_the_same_exception(both):
    both.fail(529)
    ours, theirs = both.said("anthropic", lambda error: (type(error), error.type))
    assert ours == theirs == (anthropic.OverloadedError, "overloaded_error")


@pytest.mark.parametrize(
    ("protocol", "status"), [("anthropic", 400), ("anthropic", 401), ("anthropic", 429), ("anthropic", 500)]
)
def test_anthropics_error_types_are_the_same(both, protocol, status):
    both.fail(status)
    ours, theirs = both.said(protocol, lambda error: error.type)
    assert ours == theirs


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_googles_error_statuses_are_the_same(both, status):
    both.fail(status)
    ours, theirs = both.said("google", lambda error: error.status)
    assert ours == theirs


@pytest.mark.parametrize("protocol", ["anthropic", "openai-responses", "openai-chat"])
def test_retry_after_is_the_same_header(both, protocol):
    both.fail(429, retry_after=7)
    ours, theirs = both.said(protocol, lambda error: float(error.response.headers["retry-after"]))
    assert ours == theirs == 7


@pytest.mark.parametrize("protocol", ["anthropic", "openai-responses", "openai-chat"])
def test_the_limit_of_requests_is_told_by_the_same_headers(sdk, protocol):
    with Simulator(limits=RateLimit(requests=1)) as ours, LLMockServer() as theirs:
        theirs.state.limiter.configure(ratelimit.LimitSettings(rpm=1))
        both = Both(ours, theirs, sdk.ask)
        both.said(protocol, lambda answer: answer)
        limits = both.said(protocol, lambda error: {k: v for k, v in headers_of(error) if "requests" in k})
    assert limits[0].keys() == limits[1].keys()
    assert [v for k, v in limits[0].items() if "reset" not in k] == [
        v for k, v in limits[1].items() if "reset" not in k
    ]


def status_of(error: Any) -> int:
    """HTTP status of an SDK's exception."""
    return int(error.code if isinstance(error, errors.APIError) else error.status_code)


def headers_of(error: Any) -> list[tuple[str, str]]:
    """Headers of the response that an SDK raised."""
    return sorted(error.response.headers.items())
