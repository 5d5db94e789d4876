"""What only OpenAI and the servers that speak its protocol do."""

from __future__ import annotations

import pytest

from beam_llmdag.model import Message, Request
from beam_llmdag.providers import openai_chat
from beam_llmdag.testing import Reply
from beam_llmdag.usage import Usage


@pytest.fixture
def chat(apis):
    return apis["openai-chat"]


@pytest.fixture
def responses(apis):
    return apis["openai-responses"]


def completion(message, finish_reason="stop", **changes):
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", **message}}
    body = {"id": "c1", "object": "chat.completion", "model": "gpt-5-mini", "choices": [choice], **changes}
    return Reply(json=body)


def response(*items, status="completed", **changes):
    return Reply(json={"id": "r1", "object": "response", "model": "m", "status": status, "output": items, **changes})


def said(text, **changes):
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}], **changes}


def test_a_refusal_with_empty_content_is_a_refusal(chat, simulator):
    """Case parsing-06."""
    usage = {"prompt_tokens": 40, "completion_tokens": 9, "total_tokens": 49}
    words = "I cannot help with that request."
    simulator.script([completion({"content": "", "refusal": words}, usage=usage)])
    answer = chat.ask(simulator)
    assert (answer.stop, answer.refusal) == ("refusal", words)
    assert answer.usage == Usage(input_tokens=40, output_tokens=9)


def test_a_refusal_without_content_is_a_refusal(chat, simulator):
    simulator.script([completion({"content": None, "refusal": "No."})])
    assert (chat.ask(simulator).stop, chat.ask(simulator).refusal) == ("refusal", "No.")


def test_a_content_filter_is_a_refusal(chat, simulator):
    simulator.script([completion({"content": None}, finish_reason="content_filter")])
    answer = chat.ask(simulator)
    assert (answer.stop, answer.refusal) == ("refusal", "stopped by the content filter")


def test_reasoning_beside_the_content_is_not_the_text(chat, simulator):
    simulator.script([completion({"content": "yes", "reasoning_content": '{"draft": 1}'})])
    assert chat.ask(simulator).text == "yes"


def test_a_content_in_parts_is_joined_without_its_thinking(chat, simulator):
    parts = [{"type": "thinking", "text": "hm"}, {"type": "text", "text": "y"}, {"type": "text", "text": "es"}]
    simulator.script([completion({"content": parts})])
    assert chat.ask(simulator).text == "yes"


def test_an_error_inside_of_a_choice_is_a_failure_with_its_usage(chat, simulator):
    choice = {
        "index": 0,
        "finish_reason": "error",
        "error": {"code": 429, "message": "busy"},
        "message": {"content": ""},
    }
    usage = {"prompt_tokens": 4, "completion_tokens": 1}
    simulator.script([Reply(json={"id": "c1", "choices": [choice], "usage": usage})])
    error = chat.failure(simulator)
    assert (error.error_class, error.usage) == ("rate_limited", Usage(input_tokens=4, output_tokens=1))


def test_no_choices_are_no_answer(chat, simulator):
    simulator.script([Reply(json={"id": "c1", "object": "chat.completion", "choices": []})])
    assert chat.failure(simulator).error_class == "connection"


def test_openai_itself_gets_the_name_of_the_token_limit_that_its_reasoning_models_accept(chat):
    request = Request(model=chat.model(max_tokens=9), messages=(Message("user", "?"),))
    assert openai_chat.request_body(request, own_server=True)["max_completion_tokens"] == 9
    assert openai_chat.request_body(request, own_server=False)["max_tokens"] == 9


@pytest.mark.parametrize("name", ["openai-chat", "openai-responses"])
@pytest.mark.parametrize(
    ("status", "kind", "code", "error_class"),
    [
        (429, "insufficient_quota", "insufficient_quota", "quota_exhausted"),
        (429, "insufficient_quota", None, "quota_exhausted"),
        (429, "billing_not_active", None, "quota_exhausted"),
        (400, "invalid_request_error", "billing_hard_limit_reached", "quota_exhausted"),
        (429, "requests", "rate_limit_exceeded", "rate_limited"),
        (429, "tokens", "rate_limit_exceeded", "rate_limited"),
        (400, "invalid_request_error", "context_length_exceeded", "too_long"),
        (400, "invalid_request_error", "content_filter", "refused"),
        (400, "invalid_request_error", None, "bad_request"),
        (401, "invalid_request_error", None, "auth"),
        (404, "invalid_request_error", "model_not_found", "bad_request"),
        (503, "server_error", None, "overloaded"),
        (200, "invalid_request_error", None, "bad_request"),
    ],
)
def test_codes_decide(apis, name, simulator, status, kind, code, error_class):
    """Case errors-01: a quota is not a rate limit, whatever Retry-After says."""
    error = {"message": "No.", "type": kind, "param": None, "code": code}
    simulator.script([Reply(status=status, headers={"retry-after": "1"}, json={"error": error})])
    failed = apis[name].failure(simulator)
    assert failed.error_class == error_class
    assert (code or kind) in failed.message


def test_an_exhausted_quota_says_so_and_carries_the_request_id(chat, simulator):
    """Cases errors-01 and errors-08."""
    error = {"message": "You exceeded your current quota.", "type": "insufficient_quota", "code": "insufficient_quota"}
    simulator.script([Reply(status=429, headers={"x-request-id": "req_B"}, json={"error": error})])
    failed = chat.failure(simulator)
    assert failed.request_id == "req_B"
    assert "quota" in failed.message


def test_an_incomplete_response_hit_the_token_limit(responses, simulator):
    simulator.script([response(said("{"), status="incomplete", incomplete_details={"reason": "max_output_tokens"})])
    assert responses.ask(simulator).stop == "length"


def test_a_response_of_reasoning_alone_hit_the_token_limit(responses, simulator):
    thought = {"type": "reasoning", "summary": []}
    simulator.script([response(thought, status="incomplete", incomplete_details={"reason": "max_output_tokens"})])
    answer = responses.ask(simulator)
    assert (answer.stop, answer.text) == ("length", "")


def test_a_filtered_response_is_a_refusal(responses, simulator):
    simulator.script([response(status="incomplete", incomplete_details={"reason": "content_filter"})])
    answer = responses.ask(simulator)
    assert (answer.stop, answer.refusal) == ("refusal", "stopped by the content filter")


def test_a_commentary_on_the_way_is_not_the_answer(responses, simulator):
    simulator.script([response(said("Let me see.", phase="commentary"), said("yes", phase="final_answer"))])
    assert responses.ask(simulator).text == "yes"


@pytest.mark.parametrize(
    ("code", "error_class"),
    [
        ("server_error", "overloaded"),
        ("rate_limit_exceeded", "rate_limited"),
        ("invalid_prompt", "bad_request"),
        ("image_too_large", "bad_request"),
        ("bio_policy", "refused"),
    ],
)
def test_a_failed_response_is_a_failure_with_its_usage(responses, simulator, code, error_class):
    error = {"code": code, "message": "No."}
    usage = {"input_tokens": 3, "output_tokens": 0}
    simulator.script([response(status="failed", error=error, usage=usage)])
    failed = responses.failure(simulator)
    assert (failed.error_class, failed.usage) == (error_class, Usage(input_tokens=3))


@pytest.mark.parametrize("status", ["in_progress", "queued", "cancelled", "failed"])
def test_a_response_without_an_end_is_no_answer(responses, simulator, status):
    simulator.script([response(status=status)])
    assert responses.failure(simulator).error_class == "connection"


def test_tokens_written_to_the_cache_are_counted(responses, simulator):
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 20},
        "output_tokens": 5,
        "output_tokens_details": None,
    }
    simulator.script([response(said("yes"), usage=usage)])
    assert responses.ask(simulator).usage == Usage(
        input_tokens=100, output_tokens=5, cache_read_tokens=10, cache_write_tokens=20
    )
