import asyncio
import itertools

import pytest
from helpers.calls import GOOD, ask, failed, make_caller, question

from beam_llmdag.calls.limits.breaker import Breaker, Verdict
from beam_llmdag.errors import CallError
from beam_llmdag.model import Model
from beam_llmdag.testing import FakeClock, ScriptedProvider

MODEL = Model("scripted:a")


def verdict(breaker: Breaker, model: Model = MODEL) -> Verdict | None:
    """Why a call may not go out now; None if it goes out."""
    return asyncio.run(breaker.admit(model))


def asked(breaker: Breaker, clock: FakeClock, error: CallError | None) -> None:
    """A call goes out, and this comes of it."""
    assert verdict(breaker) is None
    breaker.learn(MODEL, error, clock.monotonic())


def opened(clock: FakeClock, error_class: str = "overloaded") -> Breaker:
    """A breaker whose model has just failed ten times in a row."""
    breaker = Breaker(clock)
    for _ in range(10):
        asked(breaker, clock, failed(error_class, "down"))
    return breaker


def looked(breaker: Breaker, clock: FakeClock) -> bool:
    """Whether a call may go out now; it fails."""
    if verdict(breaker) is not None:
        return False
    breaker.learn(MODEL, failed("overloaded", "still down"), clock.monotonic())
    return True


@pytest.mark.parametrize("error_class", ["overloaded", "timeout", "connection"])
def test_a_model_that_only_fails_is_left_alone(error_class):
    reason = verdict(opened(FakeClock(), error_class))
    assert reason is not None
    assert reason.error.error_class == error_class
    assert reason.error.message == "down; so did 10 calls in a row, and the model is left alone for a while"
    assert not reason.error.sent


def test_one_answer_in_between_and_the_model_is_asked_on():
    clock = FakeClock()
    breaker = Breaker(clock)
    for number in range(100):
        asked(breaker, clock, None if number % 10 == 9 else failed("overloaded"))


@pytest.mark.parametrize("error_class", ["bad_request", "too_long", "refused", "rate_limited", "invalid_answer"])
def test_a_server_that_says_no_is_not_down(error_class):
    assert verdict(opened(FakeClock(), error_class)) is None


def test_other_models_are_asked_on():
    breaker = opened(FakeClock())
    assert verdict(breaker, Model("scripted:b")) is None
    assert verdict(breaker, Model("scripted:a", base_url="http://elsewhere")) is None


def test_after_a_pause_one_call_looks_and_the_others_go_on_being_held():
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(1.0)
    assert [verdict(breaker) is None for _ in range(3)] == [True, False, False]


def test_an_answer_to_the_call_that_looked_ends_it():
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(1.0)
    asked(breaker, clock, None)
    assert verdict(breaker) is None


def test_the_end_of_an_outage_is_seen_half_a_second_or_a_tenth_of_it_late():
    clock = FakeClock()
    breaker = opened(clock)
    moments = [0.0]
    while clock.monotonic() < 600:
        clock.advance(0.25)
        if looked(breaker, clock):
            moments.append(clock.monotonic())
    pauses = [(start, end - start) for start, end in itertools.pairwise(moments)]
    assert all(
        min(30, max(0.5, 0.1 * start)) <= pause <= min(30, max(0.5, 0.1 * start)) + 0.25 for start, pause in pauses
    )
    assert sum(moment <= 30 for moment in moments) < 30


def test_calls_that_were_on_their_way_when_it_opened_do_not_lengthen_the_pause():
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(0.9)
    for _ in range(50):
        breaker.learn(MODEL, failed("overloaded"), 0.0)
    clock.advance(0.1)
    assert verdict(breaker) is None


def test_it_is_worth_waiting_for_half_a_minute():
    clock = FakeClock()
    breaker = opened(clock)
    waits = []
    for _ in range(60):
        reason = verdict(breaker)
        assert reason is not None
        waits.append((clock.monotonic(), reason.wait_seconds))
        clock.advance(reason.wait_seconds or 5.0)
        assert looked(breaker, clock) or reason.wait_seconds is None
    assert all((wait is not None) == (moment < 30) for moment, wait in waits)
    assert waits[-1][1] is None


def test_whoever_ends_it_is_told():
    clock = FakeClock()
    breaker = opened(clock)
    clock.advance(1.0)
    assert verdict(breaker) is None
    assert breaker.learn(MODEL, None, clock.monotonic())
    assert verdict(breaker) is None
    assert not breaker.learn(MODEL, None, clock.monotonic())


@pytest.mark.parametrize(("error_class", "witnesses"), [("quota_exhausted", 1), ("auth", 3)])
def test_a_few_failures_are_enough_where_it_will_not_pass(error_class, witnesses):
    clock = FakeClock()
    breaker = Breaker(clock)
    for _ in range(witnesses):
        asked(breaker, clock, failed(error_class))
    reason = verdict(breaker)
    assert reason is not None
    assert reason.wait_seconds is None
    clock.advance(299.0)
    assert verdict(breaker) is not None
    clock.advance(1.0)
    assert verdict(breaker) is None


@pytest.mark.parametrize("error_class", ["quota_exhausted", "auth"])
def test_what_has_just_worked_is_given_up_after_three_in_a_row(error_class):
    clock = FakeClock()
    breaker = Breaker(clock)
    for error in (None, failed(error_class), failed(error_class), None, failed(error_class), failed(error_class)):
        asked(breaker, clock, error)
    asked(breaker, clock, failed(error_class))
    assert verdict(breaker) is not None


def test_while_a_new_key_is_in_doubt_no_more_calls_go_out_than_were_on_their_way():
    async def run():
        clock = FakeClock()
        breaker = Breaker(clock)
        for _ in range(4):
            assert await breaker.admit(MODEL) is None
        breaker.learn(MODEL, failed("auth"), 0.0)
        waiting = asyncio.create_task(breaker.admit(MODEL))
        cancelled = asyncio.create_task(breaker.admit(MODEL))
        await asyncio.sleep(0)
        cancelled.cancel()
        breaker.learn(MODEL, failed("auth"), 0.0)
        await asyncio.sleep(0)
        assert not waiting.done()
        breaker.learn(MODEL, None, 0.0)
        assert await waiting is None
        breaker.forget(MODEL)

    asyncio.run(run())


def test_fallbacks_are_asked_at_once_while_the_first_model_is_left_alone():
    """100 items against a server that is down: a few dozen calls find that out, not four per item."""
    down = ScriptedProvider([failed("overloaded", "down")])
    good = ScriptedProvider([GOOD])
    caller = make_caller({"down": down, "good": good})
    model = Model("down:a", fallbacks=["good:b"], max_in_flight=5, attempts=4)
    replies = ask(caller, *(question(str(n), model=model) for n in range(100)))
    assert [reply.model for reply in replies] == ["good:b"] * 100
    assert len(down.requests) <= 30
    assert len(good.requests) == 100


def test_without_a_fallback_an_outage_of_seconds_is_waited_for():
    clock = FakeClock()

    def answer(_request):
        return GOOD if clock.monotonic() > 5 else failed("connection", "refused")

    provider = ScriptedProvider(answer)
    caller = make_caller({"scripted": provider}, clock=clock)
    replies = ask(caller, *(question(str(n), model=Model("scripted:a", attempts=6)) for n in range(40)))
    assert [reply.error for reply in replies] == [None] * 40


def test_a_server_that_stays_down_does_not_get_four_calls_per_item():
    provider = ScriptedProvider([failed("connection", "refused")])
    caller = make_caller({"scripted": provider})
    model = Model("scripted:a", max_in_flight=10)
    replies = ask(caller, *(question(str(n), model=model) for n in range(1000)))
    assert {reply.error.error_class for reply in replies if reply.error} == {"connection"}
    assert all(reply.error for reply in replies)
    assert len(provider.requests) <= 100
