"""What only Anthropic does."""

from __future__ import annotations

import pytest

from beam_llmdag.model import Model
from beam_llmdag.providers.anthropic import AnthropicProvider
from beam_llmdag.testing import Reply
from beam_llmdag.usage import Usage


@pytest.fixture
def api(apis):
    return apis["anthropic"]


def message(**changes):
    body = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "content": [{"type": "text", "text": '{"label": "a"}'}],
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }
    return Reply(json={**body, **changes})


def test_cache_tokens_are_added_to_the_input(api, simulator):
    """Case cost-01."""
    usage = {
        "input_tokens": 4,
        "cache_creation_input_tokens": 8000,
        "cache_read_input_tokens": 0,
        "output_tokens": 500,
    }
    simulator.script([message(usage=usage)])
    assert api.ask(simulator).usage == Usage(input_tokens=8004, cache_write_tokens=8000, output_tokens=500)


def test_tokens_cached_for_an_hour_and_thinking_are_told_apart(api, simulator):
    usage = {
        "input_tokens": 1,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 40},
        "server_tool_use": None,
    }
    simulator.script([message(usage=usage)])
    assert api.ask(simulator).usage == Usage(
        input_tokens=36,
        output_tokens=50,
        cache_read_tokens=5,
        cache_write_tokens=30,
        cache_write_1h_tokens=20,
        reasoning_tokens=40,
    )


def test_nulls_in_the_usage_count_as_none(api, simulator):
    usage = {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": None, "cache_creation": None}
    simulator.script([message(usage=usage)])
    assert api.ask(simulator).usage == Usage(input_tokens=3, output_tokens=2)


def test_a_json_object_in_the_thinking_is_not_part_of_the_text(api, simulator):
    """Case parsing-05, the provider's part."""
    content = [
        {"type": "thinking", "thinking": '{"label": "b"}', "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": '{"label": '},
        {"type": "text", "text": '"a"}'},
    ]
    simulator.script([message(content=content)])
    assert api.ask(simulator).text == '{"label": "a"}'


@pytest.mark.parametrize(
    ("stop_reason", "stop"),
    [
        ("end_turn", "end"),
        ("stop_sequence", "end"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        (None, "end"),
    ],
)
def test_stop_reasons(api, simulator, stop_reason, stop):
    simulator.script([message(stop_reason=stop_reason)])
    assert api.ask(simulator).stop == stop


def test_a_prompt_that_is_too_long_is_known_by_the_vendor_s_words(api, simulator):
    """Case errors-05: there is no code, only prose."""
    error = {"type": "invalid_request_error", "message": "prompt is too long: 250000 tokens > 200000 maximum"}
    simulator.script([Reply(status=400, json={"type": "error", "error": error})])
    failed = api.failure(simulator)
    assert failed.error_class == "too_long"
    assert "250000 tokens > 200000" in failed.message


def test_a_low_credit_balance_is_no_bad_request(api, simulator):
    words = "Your credit balance is too low to access the Anthropic API."
    simulator.script([Reply(status=400, json={"error": {"type": "invalid_request_error", "message": words}})])
    assert api.failure(simulator).error_class == "quota_exhausted"


@pytest.mark.parametrize(
    ("status", "kind", "code", "error_class"),
    [
        (429, "rate_limit_error", None, "rate_limited"),
        (429, "rate_limit_error", "ramp_limit_exceeded", "rate_limited"),
        (429, "rate_limit_error", "enforced_spend_limit_reached", "quota_exhausted"),
        (402, "billing_error", None, "quota_exhausted"),
        (403, "permission_error", None, "auth"),
        (413, "request_too_large", None, "too_long"),
        (504, "timeout_error", None, "timeout"),
        (500, "api_error", None, "overloaded"),
        (529, "overloaded_error", None, "overloaded"),
        (200, "overloaded_error", None, "overloaded"),
        (200, "invalid_request_error", None, "bad_request"),
    ],
)
def test_codes_decide(api, simulator, status, kind, code, error_class):
    details = {"error_code": code} if code else None
    error = {"type": kind, "message": "no", "details": details}
    simulator.script([Reply(status=status, json={"type": "error", "error": error, "request_id": "req_7"})])
    assert api.failure(simulator).error_class == error_class


def test_an_overload_carries_the_request_id(api, simulator):
    """Case errors-08, the provider's part."""
    simulator.script([Reply(status=529, headers={"request-id": "req_A"})])
    failed = api.failure(simulator)
    assert (failed.error_class, failed.request_id, failed.http_status) == ("overloaded", "req_A", 529)


def test_the_lowest_effort_of_the_api_is_low(api, simulator):
    api.ask(simulator, effort="minimal")
    assert simulator.requests[0].body["output_config"] == {"effort": "low"}


def test_bounds_that_the_api_rejects_are_words_in_the_request():
    """Case schema-05, the provider's part."""
    properties = {"confidence": {"type": "number", "minimum": 0, "maximum": 1}}
    wire = AnthropicProvider(Model("anthropic:x")).wire_schema({"type": "object", "properties": properties})
    assert wire.schema["properties"] == {"confidence": {"type": "number", "description": "at least 0; at most 1"}}
