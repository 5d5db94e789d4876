"""What only Google does."""

from __future__ import annotations

import pytest

from beam_llmdag.testing import Reply
from beam_llmdag.usage import Usage

PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"


@pytest.fixture
def api(apis):
    return apis["google"]


def generated(candidate=None, **changes):
    body = {"modelVersion": "gemini-2.5-flash", "responseId": "g1", **changes}
    return Reply(json=body if candidate is None else {"candidates": [candidate], **body})


def failed(status, code, *details, message="No."):
    return Reply(
        status=status, json={"error": {"code": status, "message": message, "status": code, "details": details}}
    )


def quota(*quota_ids):
    violations = [{"quotaId": quota_id} for quota_id in quota_ids]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}


def test_thoughts_are_output(api, simulator):
    """Case cost-02."""
    usage = {"promptTokenCount": 1500, "candidatesTokenCount": 120, "thoughtsTokenCount": 880, "totalTokenCount": 2500}
    candidate = {"content": {"parts": [{"text": "yes"}]}, "finishReason": "STOP"}
    simulator.script([generated(candidate, usageMetadata=usage)])
    assert api.ask(simulator).usage == Usage(input_tokens=1500, output_tokens=1000, reasoning_tokens=880)


def test_parts_are_joined_without_thoughts(api, simulator):
    parts = [{"text": "draft", "thought": True}, {"text": "y"}, {"text": "es"}]
    simulator.script([generated({"content": {"parts": parts}, "finishReason": "STOP"})])
    assert api.ask(simulator).text == "yes"


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("STOP", "end"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "refusal"),
        ("RECITATION", "refusal"),
        ("PROHIBITED_CONTENT", "refusal"),
        ("BLOCKLIST", "refusal"),
        ("SPII", "refusal"),
        ("OTHER", "unknown"),
    ],
)
def test_finish_reasons(api, simulator, reason, stop):
    simulator.script([generated({"content": {"parts": [{"text": "x"}]}, "finishReason": reason})])
    assert api.ask(simulator).stop == stop


def test_a_candidate_without_content_that_was_stopped_is_a_refusal(api, simulator):
    simulator.script([generated({"finishReason": "SAFETY", "finishMessage": "Unsafe."})])
    answer = api.ask(simulator)
    assert (answer.stop, answer.refusal, answer.text) == ("refusal", "Unsafe.", "")


def test_a_blocked_prompt_is_a_refusal_with_its_usage(api, simulator):
    feedback = {"blockReason": "PROHIBITED_CONTENT"}
    simulator.script([generated(promptFeedback=feedback, usageMetadata={"promptTokenCount": 9})])
    answer = api.ask(simulator)
    assert (answer.stop, answer.refusal) == ("refusal", "prompt blocked: PROHIBITED_CONTENT")
    assert answer.usage == Usage(input_tokens=9)


def test_neither_candidates_nor_a_block_are_no_answer(api, simulator):
    simulator.script([generated(usageMetadata={"promptTokenCount": 9})])
    assert api.failure(simulator).error_class == "connection"


@pytest.mark.parametrize(
    ("quota_ids", "error_class"),
    [((PER_MINUTE,), "rate_limited"), ((PER_DAY,), "quota_exhausted"), ((PER_MINUTE, PER_DAY), "quota_exhausted")],
)
def test_a_quota_of_a_day_is_not_a_rate_limit(api, simulator, quota_ids, error_class):
    simulator.script([failed(429, "RESOURCE_EXHAUSTED", quota(*quota_ids))])
    assert api.failure(simulator).error_class == error_class


def test_the_delay_is_in_the_body(api, simulator):
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"}
    simulator.script([failed(429, "RESOURCE_EXHAUSTED", quota(PER_MINUTE), info)])
    assert api.failure(simulator).retry_after_seconds == 3.5


def test_an_invalid_key_comes_with_status_400(api, simulator):
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    simulator.script([failed(400, "INVALID_ARGUMENT", info)])
    error = api.failure(simulator)
    assert error.error_class == "auth"
    assert "GEMINI_API_KEY or GOOGLE_API_KEY" in error.message


@pytest.mark.parametrize(
    ("status", "code", "error_class"),
    [
        (400, "INVALID_ARGUMENT", "bad_request"),
        (400, "FAILED_PRECONDITION", "bad_request"),
        (403, "PERMISSION_DENIED", "auth"),
        (404, "NOT_FOUND", "bad_request"),
        (500, "INTERNAL", "overloaded"),
        (503, "UNAVAILABLE", "overloaded"),
        (504, "DEADLINE_EXCEEDED", "timeout"),
    ],
)
def test_codes_decide(api, simulator, status, code, error_class):
    simulator.script([failed(status, code, message="bad field")])
    error = api.failure(simulator)
    assert error.error_class == error_class
    assert "bad field" in error.message


def test_an_error_in_a_list_is_read(api, simulator):
    simulator.script([Reply(status=503, json=[{"error": {"code": 503, "message": "Busy.", "status": "UNAVAILABLE"}}])])
    error = api.failure(simulator)
    assert (error.error_class, error.message) == ("overloaded", "Busy. (503, UNAVAILABLE)")


def test_an_error_page_that_claims_to_be_json_keeps_its_status(api, simulator):
    simulator.script([Reply(status=502, body="<html><title>502 Bad Gateway</title></html>")])
    error = api.failure(simulator)
    assert (error.error_class, error.http_status) == ("overloaded", 502)
    assert "an HTML page (502 Bad Gateway)" in error.message


def test_the_older_variable_holds_the_key_too(api, simulator, monkeypatch):
    monkeypatch.delenv("GEMINI_API_KEY")
    monkeypatch.setenv("GOOGLE_API_KEY", "AIza-older")
    api.ask(simulator)
    assert simulator.requests[0].headers["x-goog-api-key"] == "AIza-older"


def test_the_usual_variable_comes_before_the_older_one(api, simulator, monkeypatch):
    monkeypatch.setenv("GOOGLE_API_KEY", "AIza-older")
    api.ask(simulator)
    assert simulator.requests[0].headers["x-goog-api-key"] == "AIzaTEST0123456789SECRET"


def test_a_machine_that_is_set_up_for_vertex_still_asks_the_gemini_api(api, simulator, monkeypatch):
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    api.ask(simulator)
    path = simulator.requests[0].path
    assert path.endswith("/models/gemini-2.5-flash:generateContent")
    assert "projects" not in path
