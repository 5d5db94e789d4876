import pytest

from beam_llmdag.calls.limits.demand import Demand
from beam_llmdag.calls.limits.mirror import Mirror
from beam_llmdag.model import LimitState

NOTHING = Demand()


def requests(remaining: int, reset_seconds: float | None, limit: int = 60) -> tuple[LimitState, ...]:
    return (LimitState(kind="requests", limit=limit, remaining=remaining, reset_seconds=reset_seconds),)


def told(*states: LimitState, calls_since: int = 0, tokens_since: Demand = NOTHING, age: float = 0.0) -> Mirror:
    mirror = Mirror()
    mirror.learn(states, number=1, age_seconds=age, calls_since=calls_since, tokens_since=tokens_since, now=0.0)
    return mirror


def test_without_headers_nobody_waits():
    assert Mirror().wait_seconds(NOTHING, 0.0) == 0


def test_what_is_left_may_be_used_at_once_and_then_at_the_vendors_rate():
    mirror = told(*requests(2, 58.0))
    waits = []
    for _ in range(4):
        waits.append(mirror.wait_seconds(NOTHING, 0.0))
        mirror.take(NOTHING)
    assert waits == pytest.approx([0, 0, 1, 2])


def test_requests_that_the_response_cannot_know_of_are_taken_off():
    assert told(*requests(5, 55.0), calls_since=5).wait_seconds(NOTHING, 0.0) == pytest.approx(1.0)


def test_what_came_back_since_the_request_went_out_is_added():
    assert told(*requests(0, 60.0), age=3.0).wait_seconds(NOTHING, 0.0) == 0


def test_tokens_are_reckoned_together_or_apart_as_the_vendor_does():
    apart = told(LimitState(kind="output_tokens", limit=600, remaining=0, reset_seconds=60.0))
    together = told(LimitState(kind="tokens", limit=600, remaining=0, reset_seconds=60.0))
    demand = Demand(input_tokens=30, output_tokens=10)
    assert apart.wait_seconds(demand, 0.0) == pytest.approx(1.0)
    assert together.wait_seconds(demand, 0.0) == pytest.approx(4.0)


def test_a_late_response_of_an_older_request_says_nothing_new():
    mirror = Mirror()
    fresh = {"calls_since": 0, "tokens_since": NOTHING, "age_seconds": 0.0, "now": 0.0}
    mirror.learn(requests(0, 60.0), number=7, **fresh)
    mirror.learn(requests(29, 31.0), number=3, **fresh)
    assert mirror.wait_seconds(NOTHING, 0.0) == pytest.approx(1.0)


def test_a_limit_whose_reset_is_unknown_makes_nobody_wait():
    assert told(*requests(0, None)).wait_seconds(NOTHING, 0.0) == 0


def test_a_header_that_is_wrong_does_not_stop_a_run():
    assert told(*requests(0, 86_400.0, limit=1)).wait_seconds(NOTHING, 0.0) == 60
