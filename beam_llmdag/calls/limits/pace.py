"""Requests per second that a vendor takes, found from its 429s."""

from __future__ import annotations

from beam_llmdag.calls.limits.bucket import Bucket

__all__ = ["Pace"]

# No vendor says these: they are guesses that hold against the vendors of tests/calls/limits/test_pace.py, from
# 5 to 500 requests a second: 95 % of the limit are used, and 2.5 % of the requests refused at most.
_KEPT = 0.97  # of the rate that was seen to be accepted, after a 429
_CUT = 0.9  # of the rate at least, where it was seen before: what was accepted counts less after a pause
_HALVED = 0.5  # of the rate, where too little was accepted to see one
_AS_ASKED = 1.0  # of the requests that the pace lets out, which are then as many as the vendor takes
_IN_A_ROW = 4  # 429s without an answer in between, after which it is no chance
_ENOUGH = 10  # accepted requests that make a rate
_SHORTEST_SECONDS = 3.0  # over which a rate is seen
_FIRST = 5.0  # the least after the first 429: a few calls need no pace, they wait each for itself
_SLOWEST = 1 / 60  # a guess: once a minute, the span of vendors' limits
_SEARCHING, _HOLDING, _LEAVING = 0.2, 0.01, 0.05  # how much of the rate is added per second of sending
_HOLDING_SECONDS = 20.0
_OUTAGE_SECONDS = 0.5  # in which a vendor that has a rate takes some request; one that takes none refuses them all
_MISTAKEN = 10.0  # times as long, each time that such a vendor refused again as soon as it was asked at the old rate
_SOON_SECONDS = 5.0  # after the old rate was taken up again
_LOOK_SECONDS, _LOOK_SHARE = 0.5, 0.1  # then one request looks twice a second, later each tenth of the time so far
_CAUGHT_UP_SECONDS, _BURST_SECONDS = 0.8, 0.1  # of the rate may go at once after a pause


class Pace:
    """A rate that is cut by a 429 and added to while there is none. Without a 429 there is no limit.

    Additive increase and multiplicative decrease share a limit fairly among workers that do not know of each other
    (Chiu and Jain, 1989). All 429s of requests that went out before the last cut are one event.

    A 429 alone among answers may be chance: others use the quota, too. It does not count, nobody else waits for it, and
    the rate is cut only if less is accepted than asked. After some in a row, or before any answer, all wait.

    A vendor that refuses all requests for a while and then takes one is well again: what was cut meanwhile says nothing
    of its rate, which is what it was before.
    """

    def __init__(self) -> None:
        self.per_second: float | None = None
        self._bucket = Bucket(1.0, 1.0, 0.0)
        self._base = 0.0
        self._seen = False
        self._cut_at = -1.0
        self._answered = False
        self._in_a_row = 0
        self._since: float | None = None
        self._sent = 0
        self._accepted = 0
        self._latency_seconds = 0.0
        self._sent_at = -1.0
        self._refused_from = self._refused_to = -1.0  # when the 429s since the last answer were sent
        self._before: float | None = None  # the rate when they began
        self._outage_seconds = _OUTAGE_SECONDS
        self._restored_at: float | None = None

    def wait_seconds(self, now: float) -> float:
        """How long until the next request may go out."""
        if self.per_second is None:
            return 0.0
        seconds = self._bucket.wait_seconds(1.0, now)
        if self._refuses_all:
            seconds = min(seconds, max(0.0, self._sent_at + self._look_seconds - now))
        return seconds

    def send(self, now: float) -> None:
        """A request goes out."""
        self._sent += 1
        self._sent_at = now
        if self._since is None:
            self._since = now
        if self.per_second is not None:
            self._bucket.take(1.0)
            self._set(self.per_second + self._step(now) * self._base / self.per_second, now)

    def accept(self, sent_at: float, now: float) -> bool:
        """A request was answered, with whatever but a 429. Returns whether that is the end of refusing them all."""
        latency_seconds = now - sent_at
        is_end = self._refuses_all and sent_at >= self._refused_to
        if is_end:
            self._restore(now)
        if sent_at >= self._refused_from:
            self._refused_from = self._refused_to = -1.0
        self._accepted += 1
        self._answered = True
        self._in_a_row = 0
        self._latency_seconds += 0.1 * (latency_seconds - self._latency_seconds)
        return is_end

    def refuse(self, sent_at: float, now: float) -> bool:
        """A request that went out at `sent_at` was answered 429. Returns whether the others shall wait as well."""
        self._in_a_row += 1
        if self._refused_from < 0:
            self._refused_from, self._before = sent_at, self.per_second if self._seen else None
            if self._restored_at is not None and sent_at < self._restored_at + _SOON_SECONDS:
                self._outage_seconds *= _MISTAKEN
            self._restored_at = None
        self._refused_to = max(self._refused_to, sent_at)
        if self._answered and self._in_a_row < _IN_A_ROW and self.per_second is not None:
            self._refuse_one(self.per_second, now)
            return False
        is_slow = self._refuses_all and (self.per_second or _FIRST) * self._look_seconds <= 1
        if sent_at >= self._cut_at and self._since is not None and not is_slow:
            self._cut(self._cut_rate(now - self._since), now)
        return True

    @property
    def _refuses_all(self) -> bool:
        return self._refused_from >= 0 and self._refused_to - self._refused_from >= self._outage_seconds

    @property
    def _look_seconds(self) -> float:
        """Longest time between requests while all are refused."""
        return max(_LOOK_SECONDS, _LOOK_SHARE * (self._refused_to - self._refused_from))

    def _restore(self, now: float) -> None:
        """Back to the rate there was, if one was seen; else there is no limit until the next 429."""
        self._since, self._sent, self._accepted, self._restored_at = now, 0, 0, now
        if self._before is None:
            self.per_second, self._seen = None, False
        else:
            self._base = self._before
            self._set(self._before, now)

    def _refuse_one(self, rate: float, now: float) -> None:
        """A 429 alone among answers."""
        self._bucket.take(-1.0)
        elapsed = now - (self._since or now)
        if elapsed < max(_SHORTEST_SECONDS if self._seen else _SHORTEST_SECONDS / 2, 2 * self._latency_seconds):
            return
        accepted = self._accepted / elapsed
        if accepted >= (_AS_ASKED if self._seen else _CUT) * (self._base + rate) / 2:
            self._since, self._sent, self._accepted, self._base = now, 0, 0, rate
            return
        self._seen = True
        self._cut(_KEPT * accepted, now)

    def _cut(self, rate: float, now: float) -> None:
        self._base = max(rate, _SLOWEST)
        self._cut_at = self._since = now
        self._sent = self._accepted = 0
        self._set(self._base, now)
        self._bucket.set(0.0 if self._seen else 1.0, now)

    def _cut_rate(self, elapsed: float) -> float:
        """The rate after a 429 that came `elapsed` seconds after the last cut."""
        rate, known = self.per_second, self._seen
        if self._accepted >= _ENOUGH and elapsed >= max(_SHORTEST_SECONDS, 2 * self._latency_seconds):
            self._seen = True
            accepted = _KEPT * self._accepted / elapsed
            return max(accepted, _CUT * rate) if known and rate is not None else accepted
        if rate is None:
            return max(_HALVED * self._sent / max(elapsed, 1.0), _FIRST)
        soon = self._sent < _HALVED * rate
        return rate * (_HALVED if soon or not known else _CUT)

    def _step(self, now: float) -> float:
        if not self._seen:
            return _SEARCHING
        return _HOLDING if now - self._cut_at < _HOLDING_SECONDS else _LEAVING

    def _set(self, rate: float, now: float) -> None:
        self._bucket.wait_seconds(1.0, now)  # fills it at the old rate up to now
        self.per_second = self._bucket.per_second = rate
        # what a pause has left over may follow at once, where the rate is known; else that would be the next storm
        self._bucket.capacity = max(1.0, rate * (_CAUGHT_UP_SECONDS if self._seen else _BURST_SECONDS))
