"""The pace against vendors that are a few lines of arithmetic: time is a number here."""

import heapq
import random
from dataclasses import dataclass, field

import pytest

from beam_llmdag.calls.limits.bucket import Bucket
from beam_llmdag.calls.limits.pace import Pace

LATENCY = 0.2


@dataclass
class Vendor:
    """Takes `per_second` requests, `burst` of them at once; a refused one is told to come back in a second."""

    per_second: float
    burst: float
    good: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bucket = Bucket(self.burst, self.per_second, 0.0)

    def takes(self, now: float) -> bool:
        if self.bucket.wait_seconds(1.0, now) > 0:
            self.refused.append(now)
            return False
        self.bucket.take(1.0)
        self.good.append(now)
        return True


def run(vendor: Vendor, in_flight: int, seconds: float, workers: int = 1) -> None:
    """Workers that always have something to ask."""
    paces = [Pace() for _ in range(workers)]
    flying, paused = [0] * workers, [0.0] * workers
    events: list[tuple[float, int, int, float, bool]] = []  # when, tie-break, worker, sent at, accepted
    now, count = 0.0, 0
    while now < seconds:
        for worker, pace in enumerate(paces):
            while flying[worker] < in_flight and paused[worker] <= now and pace.wait_seconds(now) == 0:
                pace.send(now)
                flying[worker] += 1
                count += 1
                good = vendor.takes(now)
                heapq.heappush(events, (now + (LATENCY if good else 0.01), count, worker, now, good))
        later = [max(paused[w], now + p.wait_seconds(now)) for w, p in enumerate(paces) if flying[w] < in_flight]
        now = max(now + 1e-4, min([*later, events[0][0] if events else seconds]))
        while events and events[0][0] <= now:
            at, _, worker, sent_at, good = heapq.heappop(events)
            flying[worker] -= 1
            if good:
                paces[worker].accept(sent_at, at)
            else:
                if paces[worker].refuse(sent_at, at):
                    paused[worker] = max(paused[worker], at + 1.0)


def share_of_limit(vendor: Vendor, start: float, end: float) -> float:
    return sum(start <= at < end for at in vendor.good) / (end - start) / vendor.per_second


def share_refused(vendor: Vendor, start: float) -> float:
    refused = sum(at >= start for at in vendor.refused)
    return refused / (refused + sum(at >= start for at in vendor.good))


def test_without_a_429_there_is_no_limit():
    pace = Pace()
    for number in range(1000):
        pace.send(0.0)
        pace.accept(0.0, number / 1000)
    assert pace.per_second is None
    assert pace.wait_seconds(0.0) == 0


@pytest.mark.parametrize("in_flight", [16, 64, 1000])
@pytest.mark.parametrize("per_second", [5, 50, 500])
def test_it_finds_the_vendors_limit_and_stays_there(per_second, in_flight):
    vendor = Vendor(per_second, burst=per_second)
    run(vendor, in_flight, 120.0)
    reachable = min(1.0, in_flight / LATENCY / per_second)
    assert share_of_limit(vendor, 20.0, 120.0) >= 0.95 * reachable
    assert share_refused(vendor, 20.0) <= 0.025


def test_a_burst_of_refusals_is_one_event():
    pace = Pace()
    for _ in range(100):
        pace.send(0.0)
    for _ in range(100):
        pace.refuse(0.0, 0.5)
    assert pace.per_second == pytest.approx(50)


def test_more_refusals_slow_it_down_further():
    pace, rates = Pace(), []
    for second in range(6):
        for _ in range(100):
            pace.send(float(second))
        pace.refuse(float(second), second + 0.1)
        rates.append(pace.per_second)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < rates[0] / 3


def test_it_follows_a_limit_that_is_lowered_and_raised():
    vendor = Vendor(50, burst=50)
    pace_of_time = [(0.0, 50), (60.0, 10), (160.0, 40)]
    takes = vendor.takes

    def changing(now: float) -> bool:
        vendor.bucket.per_second = next(rate for since, rate in reversed(pace_of_time) if since <= now)
        return takes(now)

    vendor.takes = changing  # type: ignore[method-assign]
    run(vendor, 64, 400.0)
    good = [sum(start <= at < start + 30 for at in vendor.good) / 30 for start in (25.0, 125.0, 365.0)]
    assert good == pytest.approx([50, 10, 40], rel=0.1)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_429s_that_do_not_come_from_the_rate_do_not_bring_it_down(share):
    """A vendor with room for all refuses some all the same."""
    vendor, chance = Vendor(1e6, burst=1e6), random.Random(1)
    takes = vendor.takes

    def unlucky(now: float) -> bool:
        if chance.random() < share:
            vendor.refused.append(now)
            return False
        return takes(now)

    vendor.takes = unlucky  # type: ignore[method-assign]
    run(vendor, 30, 120.0)
    assert sum(at >= 60 for at in vendor.good) / 60 >= 10
    assert share_refused(vendor, 10.0) == pytest.approx(share, abs=0.05)


def test_workers_that_do_not_know_of_each_other_share_a_limit():
    vendor = Vendor(50, burst=50)
    run(vendor, 64, 120.0, workers=4)
    assert share_of_limit(vendor, 30.0, 120.0) >= 0.9
    assert share_refused(vendor, 30.0) <= 0.05


def refusing_all(vendor: Vendor, start: float, end: float) -> Vendor:
    """The vendor, with an outage."""
    takes = vendor.takes

    def out(now: float) -> bool:
        if start <= now < end:
            vendor.refused.append(now)
            return False
        return takes(now)

    vendor.takes = out  # type: ignore[method-assign]
    return vendor


@pytest.mark.parametrize("start", [0.0, 10.0])
@pytest.mark.parametrize("seconds", [1.5, 5.0, 20.0])
def test_a_vendor_that_refused_everything_for_a_while_is_asked_as_before_when_it_is_well(start, seconds):
    vendor = refusing_all(Vendor(1e6, burst=1e6), start, start + seconds)
    run(vendor, 50, start + seconds + 10)
    well = start + seconds
    soon = well + max(0.5, 0.1 * seconds) + 1.0 + LATENCY  # a look, after the wait that was asked for, and its answer
    assert sum(soon <= at < soon + 1 for at in vendor.good) >= 0.9 * 50 / LATENCY


def test_a_known_rate_is_known_after_an_outage():
    vendor = refusing_all(Vendor(50, burst=50), 60.0, 70.0)
    run(vendor, 64, 110.0)
    assert share_of_limit(vendor, 74.0, 110.0) >= 0.9
    assert share_refused(vendor, 71.0) <= 0.025


def test_a_slow_limit_is_no_outage_for_long():
    vendor = Vendor(1 / 3, burst=1)
    run(vendor, 100, 600.0)
    assert share_refused(vendor, 300.0) <= 0.15
    assert share_of_limit(vendor, 300.0, 600.0) >= 0.6


def test_who_finds_everything_refused_from_the_start_looks_twice_a_second():
    vendor = refusing_all(Vendor(1e6, burst=1e6), 0.0, 5.0)
    run(vendor, 50, 5.0)
    assert sum(at > 1.5 for at in vendor.refused) <= 2 * 3.5
