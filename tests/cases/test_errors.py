"""The kind `errors`: what a call does when the vendor, the network or the account does not do its part."""

from __future__ import annotations

import logging
import pickle
import time
from email.utils import formatdate
from typing import Any, Literal

import pytest
from helpers.dags import walked
from pydantic import BaseModel

from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.dag import Dag
from beam_llmdag.model import Model
from beam_llmdag.records.item import Item
from beam_llmdag.testing import FakeClock, Reply, Simulator

KEYS = {
    "OPENAI_API_KEY": "sk-test-0123456789abcdefSECRET",
    "ANTHROPIC_API_KEY": "sk-ant-test-0123456789SECRET",
    "GEMINI_API_KEY": "AIzaTEST0123456789SECRET",
}
NAMES = {
    "anthropic": "anthropic:claude-haiku-4-5",
    "openai": "openai:gpt-5-mini",
    "openai-responses": "openai-responses:gpt-5-mini",
    "google": "google:gemini-2.5-flash",
}
GOOD = {"label": "a"}
IN_BODY = {"error": {"message": "Provider returned error", "code": 502}}
HTML = Reply(
    body="<html><head><title>502 Bad Gateway</title></head><body>gw-7</body></html>",
    headers={"content-type": "text/html"},
)


class Answer(BaseModel):
    label: Literal["a", "b"]


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)


@pytest.fixture(params=NAMES)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def model(simulator: Simulator, provider: str, **options: Any) -> Model:
    vendor = provider.partition("-")[0]
    return Model(NAMES[provider], base_url=simulator.base_url(vendor), **{"timeout_seconds": 10.0, **options})


def make_dag(model: Model) -> Dag:
    dag = Dag("case", model=model)

    @dag.dimension(output=Answer)
    def analyze(item):
        return f"Analyse: {item.content}"

    return dag


def one_result(model: Model) -> Any:
    return walked(make_dag(model), Item("r1", "It arrived late."))["r1"]["analyze"]


def items(count: int) -> list[dict[str, str]]:
    return [{"id": f"r{n:02}", "content": f"It arrived late, {n}."} for n in range(1, count + 1)]


QUOTAS = {
    "openai": Reply(status=429, retry_after=1, code="insufficient_quota", message="You exceeded your current quota."),
    "openai-responses": Reply(
        status=429, retry_after=1, code="insufficient_quota", message="Check your billing quota."
    ),
    "anthropic": Reply(status=400, message="Your credit balance is too low, see Plans & Billing."),
    "google": Reply(status=429, code="GenerateRequestsPerDayPerProjectPerModel", message="Daily quota exceeded."),
}


def test_a_quota_that_is_gone_is_found_out_once_for_all_items(simulator, provider, run):
    """errors-01-quota-is-not-a-rate-limit"""
    simulator.script([QUOTAS[provider]])
    clock = FakeClock()
    done = run(make_dag(model(simulator, provider, attempts=5, max_in_flight=1)), items(50), clock=clock)
    assert len(simulator.requests) == 1
    assert clock.sleeps == []
    assert set(done.statuses("analyze").values()) == {"failed"}
    assert {failure.error_class for failure in done.failures} == {"quota_exhausted"}
    assert len(done.failures) == 50
    assert all("quota" in f.message.lower() or "billing" in f.message.lower() for f in done.failures)
    assert len({failure.message.partition(": ")[2] for failure in done.failures}) == 1


def test_a_fallback_of_another_vendor_serves_when_the_quota_is_gone(simulator, run):
    """errors-01-quota-is-not-a-rate-limit, second run"""
    simulator.script([QUOTAS["openai"]], model="gpt-5-mini")
    simulator.script([GOOD], model="claude-haiku-4-5")
    first = model(simulator, "openai", attempts=5, max_in_flight=1, fallbacks=[model(simulator, "anthropic")])
    done = run(make_dag(first), items(50), clock=FakeClock())
    assert set(done.statuses("analyze").values()) == {"ok"}
    assert {row.results["analyze"].model for row in done.items} == {"anthropic:claude-haiku-4-5"}
    assert [request.model for request in simulator.requests].count("gpt-5-mini") == 1


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    ("value", "least"),
    [
        ("Sun, 29 Mar 2026 01:30:05 GMT", 4.75),
        ("Sun, 29 Mar 2026 01:30:00 GMT", 0),
        (formatdate(0, usegmt=True), 0),
        ("5", 5),
    ],
)
def test_retry_after_may_be_a_date(simulator, run, monkeypatch, zone, value, least):
    """errors-02-retry-after-as-a-date"""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        clock = FakeClock(start=1774747800.25)  # 2026-03-29T01:30:00.250Z
        simulator.script([Reply(status=429, headers={"retry-after": value}, message="slow down"), GOOD])
        done = run(make_dag(model(simulator, "anthropic", attempts=2)), items(1), clock=clock)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert done.data("analyze") == {"r01": GOOD}
    [slept] = clock.sleeps
    assert least <= slept <= least + RetryPolicy().first_seconds
    assert len(simulator.requests) == 2


def test_an_error_object_with_status_200_is_tried_again(simulator, provider):
    """errors-03-error-object-with-status-200"""
    simulator.script([Reply(json=IN_BODY), GOOD])
    result = one_result(model(simulator, provider, attempts=2))
    assert (result.status, result.data) == ("ok", GOOD)
    first, second = result.attempts
    assert first.error_class in ("overloaded", "connection")
    assert "Provider returned error" in first.message
    assert "502" in first.message
    assert second.error_class is None
    assert len(simulator.requests) == 2


@pytest.mark.parametrize(("code", "error_class", "calls"), [(429, "rate_limited", 2), (401, "auth", 1)])
def test_the_code_in_an_error_object_with_status_200_counts(simulator, provider, code, error_class, calls):
    """errors-03-error-object-with-status-200, second run"""
    simulator.script([Reply(json={"error": {"message": "no", "code": code}})])
    result = one_result(model(simulator, provider, attempts=2))
    assert (result.status, result.error_class) == ("failed", error_class)
    assert len(simulator.requests) == calls


def test_a_proxys_page_is_tried_again_and_not_shown_to_the_model(simulator, provider):
    """errors-04-html-with-status-200"""
    simulator.script([HTML, GOOD])
    result = one_result(model(simulator, provider, attempts=2))
    assert (result.status, result.data) == ("ok", GOOD)
    assert result.attempts[0].error_class in ("overloaded", "connection")
    assert "502 Bad Gateway" in result.attempts[0].message
    first, second = simulator.requests
    assert first.body == second.body


def test_a_proxys_page_that_stays_fails_with_a_short_message(simulator, provider):
    """errors-04-html-with-status-200, third run"""
    simulator.script([Reply(body=str(HTML.body) + "<p>" + "x" * 100_000, headers=HTML.headers)])
    result = one_result(model(simulator, provider, attempts=2))
    assert result.status == "failed"
    assert "502 Bad Gateway" in result.message
    assert len(result.message) < 1000
    assert len(simulator.requests) == 2


def test_one_item_that_is_too_long_costs_that_item(simulator, run):
    """errors-05-one-bad-item"""
    too_long = "prompt is too long: 250000 tokens > 200000 maximum"
    simulator.script([Reply(status=400, message=too_long)], when=lambda request: "LONG" in request.prompt)
    simulator.script([GOOD])
    source = [{"id": "a", "content": "short"}, {"id": "b", "content": "LONG"}, {"id": "c", "content": "brief"}]
    done = run(make_dag(model(simulator, "anthropic", attempts=4)), source)
    assert done.statuses("analyze") == {"a": "ok", "b": "failed", "c": "ok"}
    [failure] = done.failures
    assert (failure.item_id, failure.error_class) in (("b", "bad_request"), ("b", "too_long"))
    assert "250000" in failure.message
    assert "too long" in failure.message
    assert len(simulator.requests) == 3


def test_an_overloaded_vendor_is_tried_again_and_nobody_else_tries(simulator, run):
    """errors-06-overloaded"""
    simulator.script([Reply(status=529), Reply(status=529), GOOD])
    done = run(make_dag(model(simulator, "anthropic", attempts=4)), items(1), clock=FakeClock())
    [row] = done.items
    assert [attempt.error_class for attempt in row.results["analyze"].attempts] == ["overloaded", "overloaded", None]
    assert len(simulator.requests) == 3
    counters = done.counters["analyze"]
    assert (counters["calls"], counters["retries"], counters.get("failures", 0)) == (3, 2, 0)


@pytest.mark.parametrize("name", ["anthropic", "openai", "google"])
def test_a_server_that_never_answers_is_given_up_in_time(simulator, run, name):
    """errors-07-server-that-never-answers"""
    hangs = tuple(f"late, {n}." for n in (1, 2, 3))
    simulator.script([Reply(hang=True)], when=lambda request: request.prompt.endswith(hangs))
    simulator.script([GOOD])
    dag = make_dag(model(simulator, name, attempts=2, timeout_seconds=2, max_in_flight=4))
    done = run(dag, items(20), clock=FakeClock())
    statuses = done.statuses("analyze")
    assert [item_id for item_id, status in statuses.items() if status == "failed"] == ["r01", "r02", "r03"]
    assert len(statuses) == 20
    assert [(f.error_class, "2 seconds" in f.message) for f in done.failures] == [("timeout", True)] * 3
    hung = [request for request in simulator.requests if request.prompt.endswith(hangs)]
    assert len(hung) == 6
    assert all(request.closed_by_client_at is not None for request in hung)


ALL_FAIL = {
    "claude-haiku-4-5": Reply(status=529, headers={"request-id": "req_A"}),
    "gpt-5-mini": Reply(
        status=429,
        code="insufficient_quota",
        message="You exceeded your current quota.",
        headers={"x-request-id": "req_B"},
    ),
    "gemini-2.5-flash": Reply(status=400, message="bad field"),
}


def three_models(simulator: Simulator) -> Model:
    fallbacks = [model(simulator, name, attempts=1) for name in ("openai", "google")]
    return model(simulator, "anthropic", attempts=1, fallbacks=fallbacks)


def test_the_message_tells_what_every_model_said(simulator, run):
    """errors-08-all-models-failed"""
    for name, reply in ALL_FAIL.items():
        simulator.script([reply], model=name)
    done = run(make_dag(three_models(simulator)), items(1))
    [failure] = done.failures
    for word in ("claude-haiku-4-5", "overloaded", "gpt-5-mini", "quota", "gemini-2.5-flash", "bad field"):
        assert word in failure.message
    assert [(a.model, a.error_class, a.http_status, a.request_id) for a in failure.attempts][:2] == [
        ("anthropic:claude-haiku-4-5", "overloaded", 529, "req_A"),
        ("openai:gpt-5-mini", "quota_exhausted", 429, "req_B"),
    ]
    third = failure.attempts[2]
    assert (third.model, third.error_class, third.http_status) == ("google:gemini-2.5-flash", "bad_request", 400)
    assert len(failure.attempts) == len(simulator.requests) == 3


def test_the_row_of_a_fallback_keeps_why_the_first_model_failed(simulator, run):
    """errors-08-all-models-failed, success run"""
    simulator.script([ALL_FAIL["claude-haiku-4-5"]], model="claude-haiku-4-5")
    simulator.script([GOOD], model="gpt-5-mini")
    [row] = run(make_dag(three_models(simulator)), items(1)).items
    result = row.results["analyze"]
    assert (result.status, result.model) == ("ok", "openai:gpt-5-mini")
    assert [attempt.error_class for attempt in result.attempts] == ["overloaded", None]


@pytest.mark.parametrize("status", [401, 403, 400, 500])
def test_a_key_that_a_vendor_echoes_is_nowhere(simulator, provider, run, caplog, status):
    """errors-09-keys-stay-out-of-errors"""
    caplog.set_level(logging.DEBUG)
    echoed = " ".join(KEYS.values())
    simulator.script([Reply(status=status, message=f"Incorrect API key provided: Bearer {echoed}", code=echoed)])
    dag = make_dag(model(simulator, provider, attempts=1))
    done = run(dag, items(1))
    [failure] = done.failures
    own = KEYS[_variable(provider)]
    seen = repr((done.items, done.failures, done.costs, done.globals, dict(done.counters))) + caplog.text
    assert own not in seen
    assert own[4:] not in seen
    if status == 401:
        assert failure.error_class == "auth"
        assert _variable(provider) in failure.message
    assert len(simulator.requests) == 1
    assert own.encode() not in pickle.dumps(dag.to_json()) + dag.explain().encode()


def _variable(provider: str) -> str:
    return {"anthropic": "ANTHROPIC_API_KEY", "google": "GEMINI_API_KEY"}.get(provider, "OPENAI_API_KEY")
