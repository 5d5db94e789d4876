"""What the vendors' SDKs make of the simulator's errors and faults."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from email.utils import formatdate
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from google.genai import errors

from beam_llmdag.testing import FaultName, Reply, Simulator

SDK_ERRORS = (
    anthropic.APIError,
    openai.APIError,
    errors.APIError,
    aiohttp.ClientError,
    json.JSONDecodeError,
    TimeoutError,
)


def caught(sdk: Any, sim: Simulator, name: Any, **options: Any) -> Any:
    """The exception that the SDK raises."""
    with pytest.raises(SDK_ERRORS) as info:
        sdk.ask(sim.base_url(name), name, **options)
    return info.value


def test_anthropic_sees_a_rate_limit_with_retry_after(sdk):
    with Simulator(lambda request: Reply(status=429, retry_after=7)) as sim:
        error = caught(sdk, sim, "anthropic")
        assert isinstance(error, anthropic.RateLimitError)
        assert (error.type, error.request_id) == ("rate_limit_error", sim.requests[0].request_id)
        assert error.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("name", ["openai-responses", "openai-chat"])
def test_openai_sees_a_rate_limit_with_retry_after(sdk, name):
    with Simulator(lambda request: Reply(status=429, retry_after=0.25)) as sim:
        error = caught(sdk, sim, name)
        assert isinstance(error, openai.RateLimitError)
        assert (error.code, error.type, error.request_id) == (
            "rate_limit_exceeded",
            "requests",
            sim.requests[0].request_id,
        )
        assert (error.response.headers["retry-after"], error.response.headers["retry-after-ms"]) == ("1", "250")


def test_google_sees_a_rate_limit_with_retry_info(sdk):
    with Simulator(lambda request: Reply(status=429, retry_after=7.5)) as sim:
        error = caught(sdk, sim, "google")
    assert isinstance(error, errors.ClientError)
    assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED")
    details = {detail["@type"].rpartition(".")[2]: detail for detail in error.details["error"]["details"]}
    assert details["RetryInfo"]["retryDelay"] == "7.5s"
    assert details["QuotaFailure"]["violations"][0]["quotaId"] == "GenerateRequestsPerMinutePerProjectPerModel"


def test_retry_after_can_be_an_http_date(raw, protocol):
    """errors-02-retry-after-as-a-date."""
    date = formatdate(1_774_747_805, usegmt=True)
    with Simulator(lambda request: Reply(status=429, retry_after=date)) as sim:
        assert raw.ask(sim, protocol).headers["retry-after"] == "Sun, 29 Mar 2026 01:30:05 GMT"


def test_a_rate_limit_can_come_without_a_hint(raw, protocol):
    with Simulator(lambda request: Reply(status=429)) as sim:
        got = raw.ask(sim, protocol)
    assert got.status == 429
    assert "retry-after" not in got.headers
    assert b"RetryInfo" not in got.body


def test_a_used_up_quota_is_told_from_a_rate_limit_by_its_code(sdk):
    """errors-01-quota-is-not-a-rate-limit."""
    with Simulator(faults={"quota_exhausted": 1}) as sim:
        chat = caught(sdk, sim, "openai-chat")
        assert (chat.status_code, chat.code, chat.type) == (429, "insufficient_quota", "insufficient_quota")
        assert caught(sdk, sim, "openai-responses").code == "insufficient_quota"
        assert caught(sdk, sim, "anthropic").error_code == "enforced_spend_limit_reached"
        violation = caught(sdk, sim, "google").details["error"]["details"][0]["violations"][0]
        assert violation["quotaId"] == "GenerateRequestsPerDayPerProjectPerModel"


def test_overload_is_529_of_anthropic_and_503_of_the_others(sdk):
    """errors-06-overloaded."""
    with Simulator(faults={"overloaded": 1}) as sim:
        error = caught(sdk, sim, "anthropic")
        assert isinstance(error, anthropic.OverloadedError)
        assert (error.status_code, error.type) == (529, "overloaded_error")
        assert isinstance(caught(sdk, sim, "openai-chat"), openai.InternalServerError)
        assert caught(sdk, sim, "openai-responses").status_code == 503
        google = caught(sdk, sim, "google")
        assert isinstance(google, errors.ServerError)
        assert (google.code, google.status) == (503, "UNAVAILABLE")


def test_a_message_and_a_code_of_ones_own_go_into_the_vendors_error_object(sdk):
    """errors-05-one-bad-item: 'too long' in the vendor's words."""
    reply = Reply(status=400, message="prompt is too long: 250000 tokens > 200000", code="context_length_exceeded")
    with Simulator(lambda request: reply) as sim:
        error = caught(sdk, sim, "openai-chat")
        assert isinstance(error, openai.BadRequestError)
        assert (error.code, error.type) == ("context_length_exceeded", "invalid_request_error")
        assert "250000" in str(error)
        assert caught(sdk, sim, "anthropic").api_message == "prompt is too long: 250000 tokens > 200000"
        assert caught(sdk, sim, "google").message == "prompt is too long: 250000 tokens > 200000"


def test_a_key_can_be_echoed_in_an_error(sdk):
    """errors-09-keys-stay-out-of-errors: the request's headers are there for the answer function."""

    def echo(request):
        key = request.headers.get("x-goog-api-key") or request.headers.get("authorization", "")
        return Reply(status=401, message=f"Incorrect API key provided: {key}")

    with Simulator(echo) as sim:
        for name in ("anthropic", "openai-responses", "openai-chat", "google"):
            assert "test-key" in str(caught(sdk, sim, name))


def test_a_reset_connection_is_a_connection_error(sdk):
    with Simulator(faults={"reset": 1}) as sim:
        assert isinstance(caught(sdk, sim, "anthropic"), anthropic.APIConnectionError)
        assert isinstance(caught(sdk, sim, "openai-chat"), openai.APIConnectionError)
        assert isinstance(caught(sdk, sim, "google"), aiohttp.ClientConnectionError)
        assert [(seen.status, seen.finished_at is not None) for seen in sim.requests] == [(None, True)] * 3


@pytest.mark.parametrize("name", ["anthropic", "openai-responses", "openai-chat", "google"])
def test_a_hanging_request_is_closed_by_the_client_at_its_timeout(sdk, name):
    """errors-07-server-that-never-answers: a time-out that really cancels closes the connection."""
    with Simulator(lambda request: Reply(hang=True)) as sim:
        caught(sdk, sim, name, timeout_seconds=0.3)
        deadline = time.monotonic() + 60
        while sim.requests[0].closed_by_client_at is None and time.monotonic() < deadline:
            time.sleep(0.01)  # the server hears of it a moment later
        (seen,) = sim.requests
        assert seen.finished_at is None
        assert seen.closed_by_client_at is not None
        assert 0.25 < seen.closed_by_client_at - seen.received_at < 2
        assert sim.in_flight == 0


@pytest.mark.parametrize("fault", ["malformed_json", "truncated_body", "empty_body"])
def test_a_damaged_body_never_looks_like_an_answer(sdk, protocol, fault: FaultName):
    said = None  # some SDKs raise, others return a text or an object full of None
    with Simulator(lambda request: "amber-answer", faults={fault: 1}) as sim, suppress(*SDK_ERRORS):
        said = sdk.ask(sim.base_url(protocol), protocol)
    assert "amber-answer" not in str(said)
    assert len(sim.requests) == 1


def test_a_malformed_body_is_complete_http_but_no_json(raw, protocol):
    with Simulator(lambda request: "hi", faults={"malformed_json": 1}) as sim:
        got = raw.ask(sim, protocol)
    assert got.status == 200
    with pytest.raises(json.JSONDecodeError):
        got.json  # noqa: B018 - the property parses


def test_a_truncated_body_ends_before_its_content_length(raw, protocol):
    with (
        Simulator(lambda request: "hi", faults={"truncated_body": 1}) as sim,
        pytest.raises(aiohttp.ClientPayloadError),
    ):
        raw.ask(sim, protocol)


def test_html_with_status_200_is_text_or_a_parse_error_to_the_sdks(sdk):
    """errors-04-html-with-status-200."""
    with Simulator(faults={"html": 1}) as sim:
        assert "502 Bad Gateway" in sdk.ask(sim.base_url("anthropic"), "anthropic")
        assert "502 Bad Gateway" in sdk.ask(sim.base_url("openai"), "openai-chat")
        assert isinstance(caught(sdk, sim, "google"), json.JSONDecodeError)


def test_an_error_object_with_status_200_is_an_object_of_nothing_to_the_sdks(sdk):
    """errors-03-error-object-with-status-200."""
    with Simulator(faults={"error_200": 1}) as sim:
        assert sdk.ask(sim.base_url("anthropic"), "anthropic").content is None
        assert sdk.ask(sim.base_url("openai"), "openai-chat").choices is None
        assert sdk.ask(sim.base_url("google"), "google").candidates is None


def test_an_answer_of_the_wrong_schema_is_valid_json(raw, protocol, label_schema):
    with Simulator(faults={"wrong_schema": 1}) as sim:
        assert json.loads(raw.ask(sim, protocol, schema=label_schema).text) == {"unexpected": True}


def test_an_answer_cut_at_the_limit_is_half_of_the_answer(raw, protocol):
    with Simulator(lambda request: "0123456789", faults={"length": 1}) as sim:
        assert raw.ask(sim, protocol).text == "01234"
