import random

import pytest

from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.errors import ERROR_CLASSES, CallError, GraphError

POLICY = RetryPolicy(first_seconds=1, longest_seconds=10, longest_retry_after_seconds=100)


class Highest(random.Random):
    """Chance at its worst."""

    def uniform(self, a, b):
        return b


def test_only_what_time_may_cure_is_waited_for():
    waited_for = {name for name in ERROR_CLASSES if POLICY.waits_for(CallError(name, ""))}
    assert waited_for == {"rate_limited", "overloaded", "timeout", "connection"}


def test_only_answers_that_would_not_do_are_asked_again():
    asked_again = {name for name in ERROR_CLASSES if POLICY.asks_again_for(CallError(name, ""))}
    assert asked_again == {"invalid_answer", "truncated"}


def test_the_longest_jitter_doubles_up_to_its_limit():
    delays = [POLICY.delay_seconds(tries, CallError("overloaded", ""), Highest()) for tries in range(1, 7)]
    assert delays == [1, 2, 4, 8, 10, 10]


def test_the_jitter_is_full():
    rng = random.Random(1)
    delays = [POLICY.delay_seconds(4, CallError("overloaded", ""), rng) for _ in range(2000)]
    assert min(delays) < 0.1
    assert max(delays) > 7.9
    assert 3.8 < sum(delays) / len(delays) < 4.2


def test_the_jitter_comes_on_top_of_retry_after():
    error = CallError("rate_limited", "", retry_after_seconds=30)
    delays = [POLICY.delay_seconds(1, error, random.Random(seed)) for seed in range(100)]
    assert min(delays) >= 30
    assert max(delays) <= 31
    assert len(set(delays)) == 100


def test_a_long_retry_after_is_cut():
    error = CallError("rate_limited", "", retry_after_seconds=86_400)
    assert POLICY.delay_seconds(1, error, Highest()) == 101


def test_an_answer_that_would_not_do_is_asked_again_at_once():
    assert POLICY.delay_seconds(1, CallError("invalid_answer", ""), Highest()) == 0


def test_a_huge_number_of_tries_does_not_overflow():
    assert POLICY.delay_seconds(100_000, CallError("overloaded", ""), Highest()) == 10


def test_a_negative_wait_is_refused():
    with pytest.raises(GraphError, match="0 seconds or more"):
        RetryPolicy(first_seconds=-1)
