"""What every provider does alike, seen through its real SDK."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import time
from importlib.util import find_spec

import pytest
from helpers import places

from beam_llmdag.errors import CallError
from beam_llmdag.model import Image, Message, Model, Request, WireSchema
from beam_llmdag.providers.base import Provider, asked_schema, find_provider
from beam_llmdag.testing import FakeClock, Reply, Simulator
from beam_llmdag.usage import Usage

GOLDEN = places.GOLDEN / "requests"
SCHEMA = {
    "type": "object",
    "properties": {"zebra_reasoning": {"type": "string"}, "answer": {"enum": ["a", "b"]}},
    "required": ["zebra_reasoning", "answer"],
}
PAGE = "<html><head><title>502 Bad Gateway</title></head><body>gw-7</body></html>"
TALK = (
    Message("user", ["What is this?", Image(b"\x89PNG", media_type="image/png")]),
    Message("assistant", "A draft."),
    Message("user", "Answer again."),
)


def hung_up(simulator: Simulator) -> bool:
    """Whether the client closes its one unanswered request."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if simulator.requests and simulator.requests[0].closed_by_client_at is not None:
            return True
        time.sleep(0.01)
    return False


def test_the_provider_of_a_name_is_found_and_fits_the_protocol(api):
    model = api.model()
    assert isinstance(find_provider(model.provider, {})(model), Provider)


def test_building_and_writing_schemas_needs_no_key(api, monkeypatch):
    monkeypatch.delenv(api.key_variable)
    provider = api.make(api.model())
    assert provider.wire_schema(SCHEMA).native
    assert provider.key() is None


def test_the_schema_that_a_dag_is_checked_with_is_the_one_that_is_sent(api):
    model = api.model()
    assert asked_schema(SCHEMA, model, {}) == api.make(model).wire_schema(SCHEMA)


def test_the_request_is_the_one_that_a_reviewer_read(api, simulator):
    """The body in full: system text, image, assistant turn, schema, settings and extra fields."""
    output = api.make(api.model()).wire_schema(SCHEMA)
    extra = {"metadata": {"team": "qa"}, "generationConfig": {"topK": 3}, "text": {"verbosity": "low"}}
    api.ask(
        simulator,
        *TALK,
        system="Be brief.",
        output=output,
        temperature=0.5,
        max_tokens=55,
        effort="low",
        extra_body=extra,
    )
    sent = json.dumps(json.loads(simulator.requests[0].raw), indent=2) + "\n"
    assert sent == (GOLDEN / f"{api.name}.json").read_text(encoding="utf-8")


def test_a_plain_request_says_nothing_that_nobody_asked_for(api, simulator):
    api.ask(simulator)
    keys = {
        "anthropic": {"model", "max_tokens", "messages"},
        "openai-responses": {"model", "input", "store"},
        "openai-chat": {"model", "messages"},
        "google": {"contents"},
    }
    body = {key: value for key, value in simulator.requests[0].body.items() if value != {}}
    assert set(body) == keys[api.name]


def test_the_fields_stand_in_the_order_of_the_schema_in_the_bytes_sent(api, simulator):
    """Case schema-06."""
    api.ask(simulator, output=api.make(api.model()).wire_schema(SCHEMA))
    raw = simulator.requests[0].raw
    assert 0 < raw.index(b'"zebra_reasoning"') < raw.index(b'"answer":')


def test_a_structured_answer_is_its_text(api, simulator):
    simulator.script([{"zebra_reasoning": "late", "answer": "b"}])
    answer = api.ask(simulator, output=api.make(api.model()).wire_schema(SCHEMA))
    assert (json.loads(answer.text), answer.stop) == ({"zebra_reasoning": "late", "answer": "b"}, "end")
    assert simulator.requests[0].schema is not None


def test_a_schema_that_is_not_native_is_not_sent(api, simulator):
    api.ask(simulator, output=WireSchema(schema=SCHEMA, native=False))
    assert simulator.requests[0].schema is None


def test_an_answer_names_its_model_and_its_request(api, simulator):
    answer = api.ask(simulator)
    assert answer.model_name == api.model_name
    assert answer.request_id
    assert simulator.requests[0].request_id.removeprefix("req_").removesuffix("_0") in answer.request_id


def test_thinking_is_not_part_of_the_text(api, simulator):
    simulator.script([Reply("yes", thinking='{"draft": true}')])
    assert api.ask(simulator).text == "yes"


def test_usage_counts_cached_and_reasoning_tokens_as_parts_of_the_totals(api, simulator):
    usage = Usage(input_tokens=100, output_tokens=20, cache_read_tokens=30, reasoning_tokens=7)
    simulator.script([Reply("yes", usage=usage)])
    assert api.ask(simulator).usage == usage


def test_usage_that_is_not_there_is_unknown(api, simulator):
    simulator.script([Reply("yes", usage="missing")])
    assert api.ask(simulator).usage is None


def test_a_token_limit_is_told_before_the_text(api, simulator):
    simulator.script([Reply('{"answer": "a"', stop="length")])
    answer = api.ask(simulator)
    assert (answer.stop, answer.text) == ("length", '{"answer": "a"')


def test_a_refusal_keeps_its_words_and_its_usage(api, simulator):
    """Case parsing-06, for all vendors."""
    usage = Usage(input_tokens=40, output_tokens=9)
    simulator.script([Reply("", stop="refusal", refusal="I cannot help with that request.", usage=usage)])
    answer = api.ask(simulator)
    assert (answer.stop, answer.refusal, answer.usage) == ("refusal", "I cannot help with that request.", usage)


def test_a_missing_stop_reason_with_a_text_is_an_end(api, simulator):
    simulator.script([Reply("yes", stop=None)])
    answer = api.ask(simulator)
    assert (answer.stop, answer.text) == ("end", "yes")


def test_an_empty_answer_is_an_answer_with_an_empty_text(api, simulator):
    simulator.script([Reply("")])
    answer = api.ask(simulator)
    assert (answer.stop, answer.text) == ("end", "")


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (400, "bad_request"),
        (401, "auth"),
        (402, "quota_exhausted"),
        (403, "auth"),
        (404, "bad_request"),
        (408, "timeout"),
        (413, "too_long"),
        (422, "bad_request"),
        (429, "rate_limited"),
        (500, "overloaded"),
        (502, "overloaded"),
        (503, "overloaded"),
        (504, "overloaded"),
        (529, "overloaded"),
    ],
)
def test_a_status_without_a_code_has_a_class(api, simulator, status, error_class):
    simulator.script([Reply(status=status, json={"error": {"message": "no luck"}})])
    error = api.failure(simulator)
    assert (error.error_class, error.http_status, error.sent) == (error_class, status, True)
    assert "no luck" in error.message
    assert len(simulator.requests) == 1


def test_the_vendor_s_own_overload_is_one_request_and_overloaded(api, simulator):
    """Case errors-06: the SDK does not retry."""
    simulator.script([Reply(status=529 if api.vendor == "anthropic" else 503)])
    assert api.failure(simulator).error_class == "overloaded"
    assert len(simulator.requests) == 1


def test_a_rate_limit_says_how_long_to_wait(api, simulator):
    simulator.script([Reply(status=429, retry_after=7)])
    error = api.failure(simulator)
    assert (error.error_class, error.retry_after_seconds) == ("rate_limited", 7.0)
    assert len(simulator.requests) == 1


def test_retry_after_as_a_date_counts_from_the_clock_of_the_provider(api, simulator):
    """Case errors-02."""
    simulator.script([Reply(status=429, headers={"retry-after": "Sun, 29 Mar 2026 01:30:05 GMT"}, json={"error": {}})])
    clock = FakeClock(1774747800.25)  # 2026-03-29T01:30:00.250Z
    assert api.failure(simulator, clock=clock).retry_after_seconds == 4.75


@pytest.mark.parametrize(
    ("code", "error_class"), [(502, "overloaded"), (429, "rate_limited"), (401, "auth"), ("502", "overloaded")]
)
def test_an_error_object_with_status_200_is_no_answer(api, simulator, code, error_class):
    """Case errors-03."""
    simulator.script([Reply(json={"error": {"message": "Provider returned error", "code": code}})])
    error = api.failure(simulator)
    assert error.error_class == error_class
    assert "Provider returned error" in error.message
    assert str(code) in error.message


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (Reply(body=PAGE, headers={"content-type": "text/html"}), "an HTML page (502 Bad Gateway)"),
        (Reply(body=PAGE), "an HTML page (502 Bad Gateway)"),
        (Reply(body="upstream gone", headers={"content-type": "text/plain"}), "upstream gone"),
        (Reply(body=""), "an empty body"),
        (Reply(json={}), "JSON without an answer: {}"),
        (Reply(json=[]), "JSON without an answer: []"),
        (Reply(json={"detail": "try later"}), "try later"),
        (Reply(body="null"), "JSON without an answer: null"),
        (Reply("yes", malformed=True), "yes"),
    ],
    ids=["html", "html-as-json", "text", "empty", "object", "list", "detail", "null", "malformed"],
)
def test_a_good_status_around_something_else_is_a_connection_error_that_says_what_came(api, simulator, reply, word):
    """Case errors-04."""
    simulator.script([reply])
    error = api.failure(simulator)
    assert error.error_class == "connection"
    assert word in error.message
    assert len(error.message) < 1000


def test_a_huge_page_makes_a_short_message(api, simulator):
    """Case errors-04: shorter than 1,000 characters."""
    simulator.script([Reply(status=502, body=PAGE + "x" * 100_000, headers={"content-type": "text/html"})])
    error = api.failure(simulator)
    assert error.error_class == "overloaded"
    assert "502 Bad Gateway" in error.message
    assert len(error.message) < 1000


@pytest.mark.parametrize("reply", [Reply(drop=True), Reply("yes", truncate=True)], ids=["reset", "truncated"])
def test_a_broken_connection_is_a_connection_error_of_a_sent_request(api, simulator, reply):
    simulator.script([reply])
    error = api.failure(simulator)
    assert (error.error_class, error.sent) == ("connection", True)
    assert len(simulator.requests) == 1


def test_a_server_that_is_not_there_was_sent_nothing(api):
    error = api.failure(base_url="http://127.0.0.1:1")
    assert (error.error_class, error.sent) == ("connection", False)


def test_a_body_that_is_no_json_was_not_sent(api, simulator):
    error = api.failure(simulator, extra_body={"x": object()})
    assert (error.error_class, error.sent) == ("bad_request", False)
    assert simulator.requests == []


def test_the_time_out_is_in_seconds_and_closes_the_connection(api, simulator):
    """Case errors-07."""
    simulator.script([Reply(hang=True)])
    started = time.monotonic()
    error = api.failure(simulator, timeout_seconds=1.0)
    assert time.monotonic() - started > 0.9
    assert (error.error_class, error.sent) == ("timeout", True)
    assert "1 second" in error.message
    assert hung_up(simulator)


def test_a_cancelled_call_closes_its_connection(api, simulator):
    simulator.script([Reply(hang=True)])
    model = api.model(simulator)

    async def cancelled() -> bool:
        provider = api.make(model)
        task = asyncio.create_task(provider.answer(Request(model=model, messages=(Message("user", "?"),))))
        while not simulator.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        closed = await asyncio.to_thread(hung_up, simulator)
        await provider.aclose()
        return closed

    assert asyncio.run(cancelled())


def test_more_calls_are_in_flight_than_the_pools_of_the_sdks_hold_by_default(api):
    with Simulator(latency=0.5) as simulator:
        model = api.model(simulator, timeout_seconds=30)

        async def asked() -> None:
            provider = api.make(model)
            request = Request(model=model, messages=(Message("user", "?"),))
            await asyncio.gather(*(provider.answer(request) for _ in range(130)))
            await provider.aclose()

        asyncio.run(asked())
        assert simulator.peak_in_flight > 100


def test_the_key_of_the_environment_is_sent(api, simulator):
    api.ask(simulator)
    headers = simulator.requests[0].headers
    assert "SECRET" in headers.get("authorization", "") + headers.get("x-goog-api-key", "")


def test_another_variable_may_hold_the_key(api, simulator, monkeypatch):
    monkeypatch.setenv("TEAM_KEY", "sk-of-the-team")
    api.ask(simulator, api_key_env="TEAM_KEY")
    headers = simulator.requests[0].headers
    assert "sk-of-the-team" in headers.get("authorization", "") + headers.get("x-goog-api-key", "")


def test_a_missing_key_names_the_variable_and_sends_nothing(api, monkeypatch):
    monkeypatch.delenv(api.key_variable)
    error = api.failure()
    assert (error.error_class, error.sent) == ("auth", False)
    assert api.key_variable in error.message


@pytest.mark.skipif(find_spec("google.cloud") is not None, reason="Google's client library is installed")
def test_a_key_in_secret_manager_needs_the_extra_gcp(api, simulator):
    secret = "projects/shop/secrets/key/versions/latest"
    error = api.failure(simulator, api_key_env=secret)
    assert (error.error_class, error.sent) == ("auth", False)
    assert error.message == f"no key from Secret Manager, {secret}: install 'beam-llmdag[gcp]' on the worker"
    assert simulator.requests == []


def test_a_server_of_one_s_own_may_need_no_key(api, simulator, monkeypatch):
    monkeypatch.delenv(api.key_variable)
    assert api.ask(simulator).stop == "end"


def test_the_address_may_come_from_the_environment(api, simulator, monkeypatch):
    monkeypatch.setenv(api.url_variable, simulator.base_url(api.vendor))
    assert api.make(api.model()).endpoint == simulator.base_url(api.vendor)
    assert api.ask().stop == "end"


def test_a_key_that_the_vendor_echoes_shows_nowhere(api, simulator, caplog):
    """Case errors-09."""
    caplog.set_level(logging.DEBUG)
    for name in ("anthropic", "openai", "httpx2", "httpcore2", "aiohttp", "google_genai", "asyncio"):
        logging.getLogger(name).setLevel(logging.DEBUG)

    def echo(request):
        got = request.headers.get("authorization") or request.headers.get("x-goog-api-key")
        headers = {"www-authenticate": f"Bearer key={got}", "x-request-id": "r1"}
        return Reply(status=401, message=f"{'.' * 290} wrong key: {got}", headers=headers)

    with Simulator(echo) as echoing:
        error = api.failure(echoing)
    assert error.error_class == "auth"
    assert api.key_variable in error.message
    assert "SECRET" not in "".join((str(error), repr(error), repr(error.args), repr(pickle.dumps(error))))
    assert error.__cause__ is None
    assert [r.getMessage() for r in caplog.records if "SECRET" in r.getMessage() + (r.exc_text or "")] == []
    assert "SECRET" not in caplog.text


def test_the_log_filter_is_gone_when_the_provider_is_closed(api, simulator):
    api.ask(simulator)
    assert logging.getLogger("anthropic._base_client").filters == []


def test_errors_survive_pickling(api, simulator):
    simulator.script([Reply(status=429, retry_after=3)])
    error = api.failure(simulator)
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, CallError)
    assert (copy.error_class, copy.retry_after_seconds, copy.http_status) == ("rate_limited", 3.0, 429)


def test_a_provider_that_was_closed_connects_again(api, simulator):
    model = api.model(simulator)
    request = Request(model=model, messages=(Message("user", "?"),))
    provider = api.make(model)

    async def once() -> str:
        answer = await provider.answer(request)
        await provider.aclose()
        return answer.stop

    assert [asyncio.run(once()), asyncio.run(once())] == ["end", "end"]


def test_openai_at_another_address_is_chat_completions(simulator):
    at_home = Model("openai:gpt-5-mini")
    elsewhere = Model("openai:gpt-5-mini", base_url=simulator.base_url("openai"))
    factory = find_provider("openai", {})
    assert [type(factory(model)).__name__ for model in (at_home, elsewhere)] == [
        "OpenAIResponsesProvider",
        "OpenAIChatProvider",
    ]
