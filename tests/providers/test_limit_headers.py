import pytest

from beam_llmdag.model import LimitState
from beam_llmdag.providers.http.limit_headers import limit_states

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z


def anthropic(kind: str, limit: str, remaining: str, reset: str) -> dict[str, str]:
    prefix = f"anthropic-ratelimit-{kind}"
    return {f"{prefix}-limit": limit, f"{prefix}-remaining": remaining, f"{prefix}-reset": reset}


def test_anthropics_moments_are_read():
    headers = anthropic("requests", "50", "3", "2027-01-15T08:00:40Z")
    headers |= anthropic("output-tokens", "8000", "100", "2027-01-15T08:00:50Z")
    assert limit_states(headers, NOW) == (
        LimitState(kind="requests", limit=50, remaining=3, reset_seconds=40.5),
        LimitState(kind="output_tokens", limit=8000, remaining=100, reset_seconds=50.5),
    )


def test_a_moment_so_near_that_whole_seconds_tell_no_rate_is_not_used():
    headers = anthropic("requests", "50", "3", "2027-01-15T08:00:01Z")
    assert limit_states(headers, NOW) == (LimitState(kind="requests", limit=50, remaining=3, reset_seconds=None),)


def test_openais_durations_are_read():
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m0s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6ms",
    }
    assert limit_states(headers, NOW) == (LimitState(kind="requests", limit=60, remaining=0, reset_seconds=60.0),)


@pytest.mark.parametrize("remaining", ["-1", "many", "", "50", "25"])
def test_what_says_nothing_or_leaves_half_is_left_out(remaining):
    assert limit_states(anthropic("requests", "50", remaining, "2027-01-15T08:00:40Z"), NOW) == ()


def test_responses_without_such_headers_say_nothing():
    assert limit_states({"content-type": "application/json"}, NOW) == ()
