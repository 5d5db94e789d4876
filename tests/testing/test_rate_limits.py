"""Rate limits and the headers that tell of them."""

from __future__ import annotations

import pytest

from beam_llmdag.testing import FakeClock, RateLimit, Reply, Simulator
from beam_llmdag.usage import Usage


def answered(usage: Usage | None = None) -> Reply:
    return Reply("hi", usage=usage or Usage(input_tokens=1, output_tokens=1))


def test_requests_beyond_the_limit_are_refused_until_the_bucket_fills_up(raw):
    clock = FakeClock()
    with Simulator(limits=RateLimit(requests=2), clock=clock) as sim:
        assert [raw.ask(sim).status for _ in range(3)] == [200, 200, 429]
        clock.advance(29.9)
        assert raw.ask(sim).status == 429
        clock.advance(0.2)
        assert [raw.ask(sim).status for _ in range(2)] == [200, 429]


def test_a_refusal_says_when_to_come_back_in_whole_seconds_rounded_up(raw):
    clock = FakeClock()
    with Simulator(limits=RateLimit(requests=2), clock=clock) as sim:
        raw.ask(sim)
        raw.ask(sim)
        clock.advance(7.4)
        got = raw.ask(sim)
    assert (got.status, got.headers["retry-after"]) == (429, "23")
    assert got.json["error"]["type"] == "rate_limit_error"
    assert "requests" in got.json["error"]["message"]


def test_openai_also_gets_milliseconds_and_google_gets_retry_info(raw):
    with Simulator(limits=RateLimit(requests=1, period_seconds=0.5), clock=FakeClock()) as sim:
        raw.ask(sim, "openai-chat")
        got = raw.ask(sim, "openai-chat")
        assert (got.headers["retry-after"], got.headers["retry-after-ms"]) == ("1", "500")
        details = raw.ask(sim, "google").json["error"]["details"]
        assert details[-1] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.5s"}


def test_the_wait_that_is_asked_for_is_enough(raw):
    clock = FakeClock()
    with Simulator(limits=RateLimit(requests=3, period_seconds=1), clock=clock) as sim:
        for _ in range(3):
            raw.ask(sim, "openai-chat")
        clock.advance(int(raw.ask(sim, "openai-chat").headers["retry-after-ms"]) / 1000)
        assert raw.ask(sim, "openai-chat").status == 200


def test_each_model_has_limits_of_its_own(raw):
    with Simulator(limits={"small": RateLimit(requests=1)}, clock=FakeClock()) as sim:
        assert [raw.ask(sim, model="small").status for _ in range(2)] == [200, 429]
        assert [raw.ask(sim, model="other").status for _ in range(2)] == [200, 200]


def test_one_limit_holds_for_every_model_by_itself(raw):
    with Simulator(limits=RateLimit(requests=1), clock=FakeClock()) as sim:
        assert [raw.ask(sim, model=model).status for model in ("a", "a", "b")] == [200, 429, 200]


def test_input_tokens_are_counted_at_four_characters_each(raw):
    with Simulator(limits=RateLimit(input_tokens=100), clock=FakeClock()) as sim:
        got = raw.ask(sim, prompt="x" * 239)  # 60 tokens with the line break after the system text
        assert got.headers["anthropic-ratelimit-input-tokens-remaining"] == "40"
        assert raw.ask(sim, prompt="y" * 199).status == 429
        assert raw.ask(sim, prompt="y" * 159).status == 200


def test_a_prompt_of_more_than_the_whole_limit_is_never_admitted(raw):
    clock = FakeClock()
    with Simulator(limits=RateLimit(input_tokens=10), clock=clock) as sim:
        assert raw.ask(sim, prompt="x" * 100).status == 429
        clock.advance(1000)
        assert raw.ask(sim, prompt="x" * 100).status == 429


def test_an_answer_may_overdraw_the_output_tokens_and_the_next_one_waits(raw):
    clock = FakeClock()
    usage = Usage(input_tokens=1, output_tokens=150)
    with Simulator(lambda request: answered(usage), limits=RateLimit(output_tokens=100), clock=clock) as sim:
        got = raw.ask(sim)
        assert (got.status, got.headers["anthropic-ratelimit-output-tokens-remaining"]) == (200, "0")
        assert raw.ask(sim).status == 429
        clock.advance(31)
        assert raw.ask(sim).status == 200


def test_anthropics_headers_are_on_every_answer(raw):
    limits = RateLimit(requests=2, input_tokens=600, output_tokens=30)
    with Simulator(lambda request: answered(), limits=limits, clock=FakeClock(start=1_800_000_000)) as sim:
        for status in (200, 200, 429):
            got = raw.ask(sim, prompt="x" * 39)
            assert got.status == status
    assert {name: value for name, value in got.headers.items() if "ratelimit" in name} == {
        "anthropic-ratelimit-requests-limit": "2",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2027-01-15T08:01:00Z",
        "anthropic-ratelimit-tokens-limit": "30",
        "anthropic-ratelimit-tokens-remaining": "28",
        "anthropic-ratelimit-tokens-reset": "2027-01-15T08:00:04Z",
        "anthropic-ratelimit-input-tokens-limit": "600",
        "anthropic-ratelimit-input-tokens-remaining": "580",
        "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:00:02Z",
        "anthropic-ratelimit-output-tokens-limit": "30",
        "anthropic-ratelimit-output-tokens-remaining": "28",
        "anthropic-ratelimit-output-tokens-reset": "2027-01-15T08:00:04Z",
    }


@pytest.mark.parametrize("name", ["openai-responses", "openai-chat"])
def test_openais_headers_show_requests_and_the_tighter_token_limit(raw, name):
    limits = RateLimit(requests=100, input_tokens=6000, output_tokens=60)
    with Simulator(lambda request: answered(), limits=limits, clock=FakeClock()) as sim:
        got = raw.ask(sim, name)
    assert {name: value for name, value in got.headers.items() if "ratelimit" in name} == {
        "x-ratelimit-limit-requests": "100",
        "x-ratelimit-remaining-requests": "99",
        "x-ratelimit-reset-requests": "600ms",
        "x-ratelimit-limit-tokens": "60",
        "x-ratelimit-remaining-tokens": "59",
        "x-ratelimit-reset-tokens": "1s",
    }


def test_errors_carry_the_headers_too(raw):
    with Simulator(faults={"server_error": 1}, limits=RateLimit(requests=5), clock=FakeClock()) as sim:
        got = raw.ask(sim, "openai-chat")
    assert (got.status, got.headers["x-ratelimit-remaining-requests"]) == (500, "4")


def test_google_sends_no_rate_limit_headers(raw):
    with Simulator(limits=RateLimit(requests=5), clock=FakeClock()) as sim:
        assert [name for name in raw.ask(sim, "google").headers if "ratelimit" in name] == []


def test_openais_reset_times_are_in_its_notation(raw):
    with Simulator(limits=RateLimit(requests=1, period_seconds=90.5), clock=FakeClock()) as sim:
        assert raw.ask(sim, "openai-chat").headers["x-ratelimit-reset-requests"] == "1m30.5s"


def test_a_refused_request_is_answered_at_once_and_costs_no_tokens(raw):
    limits = RateLimit(requests=1, input_tokens=1000)
    with Simulator(limits=limits, latency=30, clock=FakeClock()) as sim:
        sim.script([Reply("hi", delay_seconds=0)])
        raw.ask(sim, prompt="x" * 39)
        got = raw.ask(sim, prompt="x" * 39, timeout_seconds=5)
        assert (got.status, got.headers["anthropic-ratelimit-input-tokens-remaining"]) == (429, "990")
        assert [seen.usage is None for seen in sim.requests] == [False, True]


def test_reset_fills_the_buckets(raw):
    with Simulator(limits=RateLimit(requests=1), clock=FakeClock()) as sim:
        raw.ask(sim)
        sim.reset()
        assert raw.ask(sim).status == 200


def test_a_limit_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="input_tokens must be positive, not 0"):
        RateLimit(input_tokens=0)


def test_a_vendor_may_keep_its_limits_to_itself(raw):
    with Simulator(limits=RateLimit(requests=1), limit_headers=False, clock=FakeClock()) as sim:
        got = [raw.ask(sim) for _ in range(2)]
    assert [reply.status for reply in got] == [200, 429]
    assert not any("ratelimit" in name for reply in got for name in reply.headers)
    assert got[1].headers["retry-after"] == "60"
