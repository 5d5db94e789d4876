"""Every form in which a vendor says how long to wait."""

from __future__ import annotations

import pytest

from beam_llmdag.providers.http.retry_after import retry_after_seconds

NOW = 1774747800.25  # Sunday, 2026-03-29T01:30:00.250Z


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "5"}, 5.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "Sun, 29 Mar 2026 01:30:05 GMT"}, 4.75),
        ({"retry-after": "Sun, 29 Mar 2026 03:30:05 +0200"}, 4.75),
        ({"retry-after": "Sunday, 29-Mar-26 01:30:05 GMT"}, 4.75),
        ({"retry-after": "Sun Mar 29 01:30:05 2026"}, 4.75),
        ({"retry-after": "Sun, 29 Mar 2026 01:29:00 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "9" * 400}, 1e9),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "1"}, 1.0),
        ({}, None),
    ],
)
def test_retry_after_headers(headers, seconds):
    """Case errors-02, in all forms."""
    assert retry_after_seconds(headers, None, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30"}, None),
        ({"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-reset-requests": "6m0s"}, None),
        (
            {
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2026-03-29T01:30:10Z",
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-03-29T01:30:05Z",
            },
            9.75,
        ),
        (
            {"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2026-03-29T01:29:00Z"},
            None,
        ),
    ],
)
def test_the_reset_of_a_limit_of_which_nothing_is_left(headers, seconds):
    assert retry_after_seconds(headers, None, NOW) == seconds


@pytest.mark.parametrize(("delay", "seconds"), [("3.5s", 3.5), ("0s", 0.0), ("17s", 17.0), ("17", None), (17, None)])
def test_retry_info_in_the_body(delay, seconds):
    body = {"error": {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]}}
    assert retry_after_seconds({}, body, NOW) == seconds


@pytest.mark.parametrize("body", [None, "text", [], {}, {"error": "text"}, {"error": {"details": None}}])
def test_bodies_without_retry_info(body):
    assert retry_after_seconds({}, body, NOW) is None


def test_the_header_comes_before_the_body():
    body = {"error": {"details": [{"retryDelay": "9s"}]}}
    assert retry_after_seconds({"retry-after": "2"}, body, NOW) == 2.0
