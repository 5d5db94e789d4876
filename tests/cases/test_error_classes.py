"""The kind `errors`: what a vendor, or a gateway in front of it, means by what it says."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from beam_llmdag import Dag, Model, Price, RetryPolicy, StrictModeError
from beam_llmdag.providers.http.error_words import meant_class
from beam_llmdag.providers.http.failure import status_class
from beam_llmdag.testing import FakeClock, Reply, Simulator

NAMES = {
    "anthropic": "anthropic:claude-haiku-4-5",
    "openai": "openai-chat:gpt-5-mini",
    "google": "google:gemini-2.5-flash",
}
GOOD = Reply("fine")


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "a-key-for-a-test")


def model(simulator: Simulator, provider: str, **options: Any) -> Model:
    return Model(NAMES[provider], base_url=simulator.base_url(provider), **{"timeout_seconds": 10.0, **options})


def run(asked: Model, count: int = 1, **options: Any) -> Any:
    """The report on `count` items, asked with a clock that does not wait."""
    dag = Dag("case", model=asked, prices={spec: Price(input=0.25, output=2.0) for spec in NAMES.values()})

    @dag.dimension
    def analyze(item):
        return f"Analyse: {item.content}"

    source = [{"id": f"r{n:02}", "content": f"It arrived late, {n}."} for n in range(count)]
    return dag.run(source, **{"store": False, "clock": FakeClock(), **options})


def chat(message: str, status: int = 400, code: Any = None, kind: Any = "invalid_request_error", **more: Any) -> Reply:
    return Reply(status=status, json={"error": {"message": message, "type": kind, "param": None, "code": code, **more}})


def messages(message: str, status: int = 400, kind: str = "invalid_request_error") -> Reply:
    return Reply(status=status, json={"type": "error", "error": {"type": kind, "message": message}})


def gemini(message: str, status: int = 429, code: str = "RESOURCE_EXHAUSTED", *details: Any) -> Reply:
    return Reply(
        status=status, json={"error": {"code": status, "status": code, "message": message, "details": list(details)}}
    )


def violations(**violation: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}


def litellm(words: str, status: int = 400) -> Reply:
    return chat(words, status, code=str(status))


PER_DAY = "generativelanguage.googleapis.com/generate_requests_per_model_per_day"
LIMITED = (
    "Rate limit reached for gpt-5 on tokens per min (TPM): Limit 400000, Used 398000, Requested 5000. Please try again"
)
OF_GEMINI = "You exceeded your current quota, please check your plan and billing details. Please retry in 24.8s."

SPENT = {
    "56a": ("anthropic", messages("You have reached your specified API usage limits. Access returns on 2027-02-01.")),
    "56b": ("anthropic", messages("You have reached your specified workspace API usage limits.")),
    "56c": ("anthropic", messages("This organization has been disabled.")),
    "56d": ("google", gemini("Your prepayment credits are depleted.")),
    "56e": ("google", gemini("Please enable billing on your project.", 400, "FAILED_PRECONDITION")),
    "56f": ("google", gemini("quota", 429, "RESOURCE_EXHAUSTED", violations(quotaMetric=PER_DAY, quotaId="requests"))),
    "56g": (
        "openai",
        litellm("litellm.BadRequestError: AnthropicException - You have reached your specified API usage limits."),
    ),
    "62a": (
        "openai",
        litellm(
            "litellm.RateLimitError: RateLimitError: OpenAIException - You exceeded your current quota, please "
            "check your plan and billing details.",
            429,
        ),
    ),
    "62e": (
        "openai",
        litellm(
            'litellm.BadRequestError: AnthropicException - {"type":"error","error":{"type":"invalid_request_error",'
            '"message":"Your credit balance is too low to access the Anthropic API."}}'
        ),
    ),
    "python text of a code": ("openai", litellm("OpenAIException - {'error': {'code': 'insufficient_quota'}}", 500)),
    "hard limit": ("openai", chat("Billing hard limit has been reached.")),
    "balance": ("openai", chat("Insufficient Balance", 402, kind="unknown_error")),
    "balance, 400": ("openai", chat("Your account balance is too low to run this query.")),
    "payment": ("anthropic", messages("Payment required: update your payment method.", 403, "permission_error")),
    "plan": ("openai", chat("Your plan has expired.", 403)),
    "budget of a proxy": (
        "openai",
        chat("Budget has been exceeded! Current cost: 3, Max budget: 2", 400, code="400", kind="budget_exceeded"),
    ),
    "credits": ("openai", chat("Your team has either used all available credits or reached its spending limit.", 403)),
    "gateway": (
        "openai",
        chat("Provider returned error", 400, metadata={"raw": '{"error":{"message":"Insufficient credits"}}'}),
    ),
    "tokens of a day": (
        "openai",
        chat(
            "Rate limit reached on tokens per day (TPD): Limit 100, Used 99, Requested 5. Please try again in 7m.", 429
        ),
    ),
    "no quota at all": ("google", gemini(f"{OF_GEMINI} * Quota exceeded for metric: free_tier_requests, limit: 0")),
    "another shape": ("openai", Reply(status=403, json={"detail": "Your subscription has expired"})),
}


@pytest.mark.parametrize(("provider", "reply"), SPENT.values(), ids=SPENT)
def test_no_money_in_any_words_is_found_out_by_one_call(simulator, provider, reply):
    """errors-56-no-money-in-other-words, errors-62-through-a-litellm-proxy"""
    simulator.script([reply])
    report = run(model(simulator, provider, max_in_flight=1), 20)
    assert {failure.error_class for failure in report.failures} == {"quota_exhausted"}
    assert (len(report.failures), len(simulator.requests)) == (20, 1)


def test_a_fallback_answers_when_the_money_is_spent(simulator):
    """errors-56-no-money-in-other-words"""
    simulator.script([SPENT["56a"][1]], model="claude-haiku-4-5")
    simulator.script([GOOD], model="gpt-5-mini")
    fallback = model(simulator, "openai")
    report = run(model(simulator, "anthropic", max_in_flight=1, fallbacks=[fallback]), 20)
    assert report.failures == []
    assert [request.model for request in simulator.requests].count("claude-haiku-4-5") == 1


MEANT = {
    "56h": ("anthropic", messages("max_tokens: 9000 > 8192, the usage limit of this model is 8192"), "bad_request"),
    "max_tokens": ("openai", chat("max_tokens is too large: 9000. This model supports at most 8192."), "bad_request"),
    "thinking": ("anthropic", messages("thinking.budget_tokens: the budget exceeds max_tokens"), "bad_request"),
    "55a": (
        "openai",
        chat(
            "Request too large for model `llama-4-maverick` on tokens per minute (TPM): Limit 12000, Requested 23541",
            413,
            code="rate_limit_exceeded",
            kind="tokens",
        ),
        "too_long",
    ),
    "55b": (
        "openai",
        chat(
            "Request too large for gpt-5 (for limit gpt-5-long-context) on input tokens per min: Limit 400000, "
            "Requested 512345.",
            429,
            code="rate_limit_exceeded",
            kind="input_tokens",
        ),
        "too_long",
    ),
    "requested above the limit": (
        "openai",
        chat(
            "Rate limit reached on tokens per min (TPM): Limit: 30,000, Used: 0, Requested: 30,001.",
            429,
            code="rate_limit_exceeded",
            kind="tokens",
        ),
        "too_long",
    ),
    "behind a proxy": (
        "openai",
        litellm(
            'litellm.RateLimitError: GroqException - {"error":{"message":"on tokens per minute (TPM): '
            'Limit 6000, Requested 6789, please reduce your message size","code":"rate_limit_exceeded"}}',
            429,
        ),
        "too_long",
    ),
    "62c": (
        "openai",
        litellm(
            "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: "
            "OpenAIException - This model's maximum context length is 128000 tokens. However, your messages resulted "
            "in 130001 tokens.\nmodel=gpt-5-mini. context_window_fallbacks=None. fallbacks=None."
        ),
        "too_long",
    ),
    "62f": (
        "openai",
        litellm(
            'litellm.ContextWindowExceededError: litellm.BadRequestError: AnthropicError - {"type":"error",'
            '"error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 '
            'maximum"}}'
        ),
        "too_long",
    ),
    "context window": ("openai", chat("Your input exceeds the context window of this model."), "too_long"),
    "context limit": (
        "anthropic",
        messages("input length and `max_tokens` exceed context limit: 197202 + 21333 > 200000"),
        "too_long",
    ),
    "token count": (
        "google",
        gemini(
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            400,
            "INVALID_ARGUMENT",
        ),
        "too_long",
    ),
    "vllm": (
        "openai",
        chat("The decoder prompt (length 5000) is longer than the maximum model length of 4096."),
        "too_long",
    ),
    "57a": (
        "openai",
        chat(
            "filtered",
            innererror={
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
            },
        ),
        "refused",
    ),
    "57b": (
        "openai",
        chat("filtered", code="400", innererror={"code": "ResponsibleAIPolicyViolation"}),
        "refused",
    ),
    "57c": (
        "openai",
        chat("The prompt was flagged for a possible breach of the usage policy.", code="invalid_prompt"),
        "refused",
    ),
    "57d": ("anthropic", messages("Output blocked by content filtering policy"), "refused"),
    "57e": ("openai", litellm("litellm.ContentPolicyViolationError: AzureException - filtered"), "refused"),
    "62d": (
        "openai",
        litellm(
            "litellm.BadRequestError: OpenAIException - The response was filtered due to the prompt triggering "
            "content management policy."
        ),
        "refused",
    ),
    "usage guidelines": ("openai", chat("Content violates usage guidelines. SAFETY_CHECK_TYPE_X", 403), "refused"),
    "risk": ("openai", chat("Content Exists Risk"), "refused"),
    "inspection": (
        "openai",
        chat("Input data may contain inappropriate content.", code="data_inspection_failed"),
        "refused",
    ),
    "policy": ("openai", chat("No.", code="content_policy_violation"), "refused"),
    "gemini": (
        "google",
        gemini("The prompt was blocked: PROHIBITED_CONTENT", 400, "INVALID_ARGUMENT", {"reason": "PROHIBITED_CONTENT"}),
        "refused",
    ),
    "54a": (
        "openai",
        Reply(
            status=403,
            json={
                "error": {
                    "code": 403,
                    "message": "Input flagged by moderation",
                    "metadata": {"reasons": ["harassment"], "flagged_input": "…"},
                }
            },
        ),
        "refused",
    ),
    "62g": (
        "openai",
        litellm(
            'litellm.InternalServerError: AnthropicError - {"type":"error","error":{"type":"overloaded_error",'
            '"message":"Overloaded"}}',
            500,
        ),
        "overloaded",
    ),
    "a gateway's 400 around an overload": (
        "openai",
        litellm(
            'AnthropicException - b\'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\''
        ),
        "overloaded",
    ),
    "a quota of the minute": (
        "google",
        gemini(OF_GEMINI, 429, "RESOURCE_EXHAUSTED", violations(quotaId="GenerateRequestsPerMinutePerProjectPerModel")),
        "rate_limited",
    ),
    "55c": ("openai", chat(f"{LIMITED} in 450ms.", 429, code="rate_limit_exceeded", kind="tokens"), "rate_limited"),
    "quoted input": (
        "openai",
        Reply(
            status=422, json={"detail": [{"msg": "Input should be a valid string", "input": "insufficient balance"}]}
        ),
        "bad_request",
    ),
    "54b": ("openai", Reply(status=403, body="<html><title>Blocked</title></html>"), "auth"),
}


@pytest.mark.parametrize(("provider", "reply", "error_class"), MEANT.values(), ids=MEANT)
def test_words_say_what_is_meant_whatever_the_code(simulator, provider, reply, error_class):
    """errors-54, errors-55, errors-56 (control), errors-57 and errors-62"""
    simulator.script([reply])
    [failure] = run(model(simulator, provider, attempts=1)).failures
    assert (failure.error_class, len(simulator.requests)) == (error_class, 1)


@pytest.mark.parametrize("name", ["55a", "55b", "57a", "57c", "62c", "62d"])
def test_what_waiting_does_not_cure_is_one_call_and_a_fallback_is_asked(simulator, name):
    """errors-55-larger-than-the-minute-in-other-words, errors-57-filters-in-other-shapes"""
    provider, reply, _ = MEANT[name]
    simulator.script([reply], model="gpt-5-mini")
    simulator.script([GOOD], model="claude-haiku-4-5")
    clock = FakeClock()
    report = run(model(simulator, provider, attempts=6, fallbacks=[model(simulator, "anthropic")]), clock=clock)
    assert report.items[0].results["analyze"].status == "ok"
    assert [request.model for request in simulator.requests] == ["gpt-5-mini", "claude-haiku-4-5"]
    assert clock.sleeps == []


@pytest.mark.parametrize(("name", "numbers"), [("55a", ("23541", "12000")), ("55b", ("512345", "400000"))])
def test_the_message_names_what_was_requested_and_the_limit(simulator, name, numbers):
    """errors-55-larger-than-the-minute-in-other-words"""
    simulator.script([MEANT[name][1]])
    [failure] = run(model(simulator, "openai", attempts=6)).failures
    assert all(number in failure.message for number in numbers)


def test_a_request_below_the_limit_is_an_ordinary_rate_limit(simulator):
    """errors-55-larger-than-the-minute-in-other-words, c"""
    simulator.script([MEANT["55c"][1], GOOD])
    assert run(model(simulator, "openai", attempts=6)).failures == []
    assert len(simulator.requests) == 2


@pytest.mark.parametrize("name", ["55a", "55b"])
def test_requests_that_never_fit_say_nothing_of_the_pace(simulator, name):
    """errors-55-larger-than-the-minute-in-other-words, d"""
    simulator.script([MEANT[name][1]], when=lambda request: request.prompt.endswith("0."))
    simulator.script([GOOD])
    clock = FakeClock()
    report = run(model(simulator, "openai", attempts=6, max_in_flight=64), 200, clock=clock)
    assert (len(report.failures), len(simulator.requests), clock.sleeps) == (20, 200, [])


REJECTIONS = {
    "refused": (MEANT["54a"][1], "refused", "flagged"),
    "page": (MEANT["54b"][1], "auth", "403"),
    "key": (chat("Incorrect API key provided.", 401, code="invalid_api_key"), "auth", "OPENAI_API_KEY"),
    "no money": (chat("Insufficient Balance", 402), "quota_exhausted", "Balance"),
}


@pytest.mark.parametrize(
    ("name", "number"),
    [*itertools.product(("refused", "page", "key"), (0, 1, 7, 23)), ("no money", 7), ("no money", 23)],
)
def test_one_rejection_among_answers_is_that_items_alone(simulator, name, number):
    """errors-54-a-403-among-answers, a to c"""
    reply, error_class, word = REJECTIONS[name]
    simulator.script([reply], when=lambda request: request.prompt.endswith(f" {number}."))
    simulator.script([GOOD])
    clock = FakeClock()
    report = run(model(simulator, "openai", max_in_flight=4, attempts=4), 24, clock=clock)
    [failure] = report.failures
    assert (failure.item_id, failure.error_class) == (f"r{number:02}", error_class)
    assert word in failure.message
    assert ("check the key" in failure.message) == (word == "OPENAI_API_KEY")
    assert (len(simulator.requests), clock.sleeps) == (24, [])


@pytest.mark.parametrize("reply", [REJECTIONS["key"][0], REJECTIONS["page"][0]])
def test_a_key_that_never_works_is_given_up_after_the_calls_in_flight(simulator, reply):
    """errors-54-a-403-among-answers, d"""
    simulator.script([reply])
    report = run(model(simulator, "openai", max_in_flight=4, attempts=4), 24)
    assert {failure.error_class for failure in report.failures} == {"auth"}
    assert (len(report.failures), len(simulator.requests) <= 4) == (24, True)


def test_a_key_that_stops_working_is_given_up_soon(simulator):
    """errors-54-a-403-among-answers: several in a row, no answer in between"""
    simulator.script([GOOD] * 5 + [REJECTIONS["key"][0]])
    report = run(model(simulator, "openai", max_in_flight=1), 24)
    assert (len(report.failures), len(simulator.requests)) == (19, 8)


@pytest.mark.parametrize("header", ["retry-after", "llm_provider-retry-after"])
def test_the_wait_that_a_proxy_passes_on_is_heeded(simulator, header):
    """errors-62-through-a-litellm-proxy, b"""
    limited = "litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached. Please try again in 2s."
    simulator.script([replace(litellm(limited, 429), headers={header: "7"}), GOOD])
    clock = FakeClock()
    report = run(model(simulator, "openai", attempts=3), clock=clock)
    assert [attempt.error_class for attempt in report.items[0].results["analyze"].attempts] == ["rate_limited", None]
    assert clock.now() - FakeClock().now() >= 7


def test_a_refusal_of_anthropic_without_content_is_a_refusal_with_its_usage(simulator):
    """errors-57-filters-in-other-shapes, f"""
    body = {
        "id": "m9",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": None,
        "stop_reason": "refusal",
        "usage": {"input_tokens": 33, "output_tokens": 1},
    }
    simulator.script([Reply(json=body)])
    report = run(model(simulator, "anthropic"))
    [failure] = report.failures
    usage = failure.attempts[0].usage
    assert (failure.error_class, len(simulator.requests)) == ("refused", 1)
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (33, 1)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
@pytest.mark.parametrize(
    ("status", "body", "error_class", "code"),
    [
        (413, '{"error": {"code": "payload_too_large"}}', "too_long", "payload_too_large"),
        (422, '{"error": {}}', "bad_request", ""),
        (409, "{}", "bad_request", ""),
        (400, '{"error": {"type": "invalid_request_error", "message": ""}}', "bad_request", "invalid_request_error"),
        (404, "", "bad_request", "empty body"),
    ],
)
def test_an_error_without_words_has_its_status_and_its_code(simulator, provider, status, body, error_class, code):
    """errors-52-errors-without-words, a"""
    simulator.script([Reply(status=status, body=body)])
    [failure] = run(model(simulator, provider, attempts=1)).failures
    assert failure.error_class == error_class
    assert f"HTTP {status}" in failure.message
    assert code in failure.message


@pytest.mark.parametrize("reply", [Reply("fine", usage="missing"), Reply(hang=True)], ids=["missing", "timeout"])
def test_calls_of_unknown_cost_are_charged_to_the_budget_by_an_estimate(simulator, reply):
    """cost-56-a-budget-and-calls-of-unknown-cost"""
    simulator.script([reply])
    patience = 1 if reply.hang else 60
    asked = model(simulator, "openai", max_in_flight=2, attempts=1, timeout_seconds=patience, max_tokens=6)
    report = run(asked, 20, budget_usd=0.00004)
    sent = [cost.attempt for cost in report.costs if cost.attempt.sent]
    assert [attempt.cost_nano_usd for attempt in sent] == [None] * len(sent)
    assert len(simulator.requests) == 2  # a third may cost more than is left: 6 tokens written, and the prompt
    assert {f.error_class for f in report.failures if f.error_class != "timeout"} == {"over_budget"}


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "1800"},
        {"retry-after": "88888888888"},
        {"retry-after": "Fri, 01 Jan 9998 00:00:00 GMT"},
        {"retry-after-ms": "1800000"},
        {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "9998-01-01T00:00:00Z"},
    ],
    ids=lambda headers: "-".join(headers)[:30] + next(iter(headers.values()))[:5],
)
def test_the_longest_retry_after_holds_for_all_who_wait(simulator, headers):
    """errors-61-the-longest-retry-after"""
    simulator.script([Reply(status=429, headers=headers, json={"error": {"message": "slow down"}}), GOOD])
    clock = FakeClock()
    retry = RetryPolicy(longest_retry_after_seconds=2)
    report = run(model(simulator, "openai", max_in_flight=5, attempts=3), 10, clock=clock, retry=retry)
    assert report.failures == []
    assert max(clock.sleeps) <= 2 + retry.first_seconds
    assert clock.monotonic() <= 2 * (2 + retry.first_seconds)  # a clock that adds up what is waited at the same time


HALF = "\ud83c"


@pytest.mark.parametrize("provider", NAMES)
def test_half_an_emoji_in_an_error_is_a_sign_that_can_be_printed(simulator, provider, tmp_path):
    """errors-51-half-an-emoji-in-an-error, a"""
    simulator.script([Reply(status=400, body='{"error": {"message": "not \\ud83c allowed", "type": "x"}}')])
    report = run(model(simulator, provider, attempts=1))
    [failure] = report.failures
    assert failure.error_class == "bad_request"
    assert "not \ufffd allowed" in failure.message
    (str(report) + repr(report.failures) + repr(report.items) + str(report.summary)).encode()


@pytest.mark.parametrize("provider", NAMES)
def test_half_an_emoji_in_a_refusal_and_in_a_function_s_error_can_be_printed(simulator, provider):
    """errors-51-half-an-emoji-in-an-error, b and c"""
    simulator.script([Reply("", stop="refusal", refusal=f"I can{HALF}not")])
    dag = Dag("case", model=model(simulator, provider))
    dag.dimension(lambda item: item.content, name="asked")

    @dag.dimension
    def broken(item):
        raise ValueError(f"bad {HALF} text")

    report = dag.run(["x"], store=False)
    assert {failure.error_class for failure in report.failures} == {"refused", "user_function"}
    (str(report) + repr(report.failures) + repr(report.items)).encode()
    with pytest.raises(StrictModeError) as caught:
        dag.run(["x"], store=False, strict=True)
    str(caught.value).encode()


@pytest.mark.parametrize("provider", NAMES)
@pytest.mark.parametrize("of_model", [True, False])
def test_half_an_emoji_in_a_system_text_is_sent_alike_by_all(simulator, provider, of_model):
    """errors-51-half-an-emoji-in-an-error, d"""
    simulator.script([GOOD])
    text = f"Be {HALF} kind."
    dag = Dag("case", model=model(simulator, provider, system=text if of_model else None))
    dag.dimension(lambda item: item.content, name="said", system=None if of_model else text)
    assert dag.run(["x"], store=False).failures == []
    assert simulator.requests[0].system == "Be \ufffd kind."


FLAT = {
    "a code of its own": ({"code": "insufficient_quota", "message": "x"}, "quota_exhausted"),
    "a status in a code": ({"code": 429, "msg": "Too many requests"}, "rate_limited"),
    "a list of errors": ({"errors": [{"message": "Insufficient balance", "code": 1113}]}, "quota_exhausted"),
    "a base_resp": ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "quota_exhausted"),
    "words beside a flag": ({"error": True, "message": "Insufficient credits"}, "quota_exhausted"),
    "an object that is an error": (
        {"object": "error", "message": "bad", "type": "BadRequestError", "code": "context_length_exceeded"},
        "too_long",
    ),
}


@pytest.mark.parametrize("provider", NAMES)
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("body", "error_class"), FLAT.values(), ids=FLAT)
def test_an_error_that_stands_flat_in_its_body_is_understood(simulator, provider, status, body, error_class):
    """errors-56-no-money-in-other-words: in other shapes"""
    simulator.script([Reply(status=status, json=body)])
    [failure] = run(model(simulator, provider, attempts=1)).failures
    assert failure.error_class == error_class


WORDS = {
    "quota_exhausted": (
        *("Your credits have run out", "You have no remaining credits", "Account balance is negative"),
        *("Your prepaid balance is exhausted", "Token quota is not enough", "Insufficient USD or other balance"),
        *("You have reached your usage limit for this month", "Key limit exceeded (total limit)", "额度不足"),
        *("Access suspended due to unpaid bill", "Your free trial credits have been used"),
    ),
    "too_long": (
        *("Input length 250000 exceeds the maximum length 200000", "The prompt exceeds the context length"),
        *("your request exceeded model token limit: 8192", "The input token count exceeds the limit"),
        "Unable to submit: the input token count is 40000 but the model only supports up to 32768",
    ),
    "refused": (
        *("Content blocked", "Request blocked due to policy", "The prompt violates the acceptable use policy"),
        *("The generated text error: blocked by safety", "prompt contains disallowed content"),
    ),
    "bad_request": (
        *("max_tokens must be at most 4096", "the billing project name must be a string", "temperature exceeds 2"),
        *("Safety identifier must be a string", "stop: too many sequences"),
    ),
}


@pytest.mark.parametrize(("error_class", "words"), [(kind, words) for kind in WORDS for words in WORDS[kind]])
def test_words_of_other_vendors_are_understood(error_class, words):
    """errors-55, errors-56 and errors-57, in still other words"""
    body = {"error": {"message": words, "type": "invalid_request_error"}}
    assert (meant_class(400, body) or status_class(400)) == error_class


@pytest.mark.parametrize(
    "words",
    [
        "Number of input tokens has exceeded your per-minute rate limit",
        "Resource has been exhausted (e.g. check quota).",
        "Requests are limited to 5 per minute on the free tier; add credits to raise it",
        "Quota exceeded for quota metric 'Generate Content API requests per minute'",
    ],
)
def test_a_limit_that_passes_is_no_other_thing(words):
    """errors-55 and errors-56: controls"""
    assert (meant_class(429, {"error": {"message": words}}) or status_class(429)) == "rate_limited"
