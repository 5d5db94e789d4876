from bisect import bisect_left

import pytest

from beam_llmdag.calls.limits.bucket import Bucket, per_minute


def taken(bucket: Bucket, amount: float, seconds: float) -> list[float]:
    """The moments at which somebody who takes `amount` whenever he can does so."""
    now, moments = 0.0, []
    while now < seconds:
        wait = bucket.wait_seconds(amount, now)
        if wait == 0:
            bucket.take(amount)
            moments.append(now)
        now += wait
    return moments


@pytest.mark.parametrize("amount", [0.5, 1, 2, 7, 60, 601, 3000])
def test_no_sixty_seconds_let_out_more_than_the_amount(amount):
    moments = taken(per_minute(amount, 0.0), 1.0, 300.0)
    most = max(bisect_left(moments, start + 59.999) - index for index, start in enumerate(moments))
    assert most <= max(1, amount)


@pytest.mark.parametrize("amount", [1, 7, 60, 601, 3000])
def test_what_is_let_out_is_close_to_the_amount(amount):
    assert len(taken(per_minute(amount, 0.0), 1.0, 600.0)) >= 0.98 * 10 * amount


def test_a_minutes_amount_does_not_go_at_once():
    moments = taken(per_minute(3000, 0.0), 1.0, 60.0)
    assert sum(moment < 1.0 for moment in moments) <= 56


def test_more_than_it_holds_is_paid_back_before_the_next_is_taken():
    bucket = per_minute(6000, 0.0)
    assert taken(bucket, 3000, 90.0) == pytest.approx([0.0, 30.0, 60.0], abs=0.3)


def test_what_was_not_used_is_given_back():
    bucket = Bucket(10, 1.0, 0.0)
    bucket.take(10)
    assert bucket.wait_seconds(5, 0.0) == 5
    bucket.take(-5)
    assert bucket.wait_seconds(5, 0.0) == 0


def test_it_never_holds_more_than_its_capacity():
    bucket = Bucket(10, 1.0, 0.0)
    bucket.take(-100)
    assert bucket.wait_seconds(10, 1000.0) == 0
    bucket.take(10)
    assert bucket.wait_seconds(1, 1000.0) == 1
