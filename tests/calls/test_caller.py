import asyncio
import json
import time

import pytest
from helpers.calls import GOOD, LABEL, TEXT, ask, classes, eventually, failed, make_caller, question
from pydantic import BaseModel, field_validator

from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.clock import SystemClock
from beam_llmdag.errors import ERROR_CLASSES, CallError
from beam_llmdag.model import Answer, Message, Model, WireSchema
from beam_llmdag.outputs.output import Output
from beam_llmdag.testing import FakeClock, ScriptedProvider
from beam_llmdag.usage import Usage

WAITED_FOR = ("rate_limited", "overloaded", "timeout", "connection")
ASKED_AGAIN = ("invalid_answer", "truncated")
FINAL = tuple(name for name in ERROR_CLASSES[:11] if name not in WAITED_FOR + ASKED_AGAIN)


def one_reply(answers, **kwargs):
    """The reply to one question, and the provider that was asked."""
    provider = answers if isinstance(answers, ScriptedProvider) else ScriptedProvider(answers)
    caller_options = {name: kwargs.pop(name) for name in ("clock", "retry", "store") if name in kwargs}
    [reply] = ask(make_caller({"scripted": provider}, **caller_options), question(**kwargs))
    return reply, provider


class Raising:
    """A provider that breaks its contract."""

    default_in_flight = 10
    calls = 0

    def __init__(self, error):
        self.error = error

    def __call__(self, model):
        return self

    def wire_schema(self, schema):
        return WireSchema(schema=schema)

    def key(self):
        return "sk-0123456789"

    async def answer(self, request):
        self.calls += 1
        raise self.error

    async def aclose(self):
        raise self.error


def test_a_good_answer_is_data_with_its_model_and_its_attempt():
    reply, _ = one_reply(
        [Answer(text='{"label": "a"}', usage=Usage(input_tokens=200, output_tokens=50), request_id="r1")]
    )
    assert (reply.data, reply.model, reply.error, reply.store_hit) == ({"label": "a"}, "scripted:a", None, False)
    [attempt] = reply.attempts
    assert (attempt.model, attempt.error_class, attempt.request_id) == ("scripted:a", None, "r1")
    assert attempt.cost_nano_usd == 200 * 1000 + 50 * 2000


@pytest.mark.parametrize("error_class", WAITED_FOR)
def test_an_error_that_passes_is_tried_again(error_class):
    reply, provider = one_reply([failed(error_class), failed(error_class), GOOD])
    assert reply.data == GOOD
    assert classes(reply) == [error_class, error_class, None]
    assert provider.requests[0] == provider.requests[1] == provider.requests[2]


@pytest.mark.parametrize("error_class", FINAL)
def test_an_error_that_does_not_pass_is_not_tried_again(error_class):
    clock = FakeClock()
    reply, provider = one_reply([failed(error_class), GOOD], clock=clock)
    assert reply.error.error_class == error_class
    assert len(provider.requests) == 1
    assert clock.sleeps == []


@pytest.mark.parametrize("error_class", WAITED_FOR)
def test_a_model_is_not_asked_more_often_than_its_attempts_say(error_class):
    reply, provider = one_reply([failed(error_class)], model=Model("scripted:a", attempts=3))
    assert reply.error.error_class == error_class
    assert len(provider.requests) == len(reply.attempts) == 3


def test_nobody_waits_after_the_last_try():
    clock = FakeClock()
    one_reply([failed("overloaded")], model=Model("scripted:a", attempts=1), clock=clock)
    assert clock.sleeps == []


def test_retry_after_is_obeyed_and_capped_with_jitter_on_top():
    clock = FakeClock()
    answers = [failed("rate_limited", retry_after_seconds=7), failed("rate_limited", retry_after_seconds=10_000), GOOD]
    policy = RetryPolicy(first_seconds=0.5, longest_retry_after_seconds=300)
    reply, _ = one_reply(answers, clock=clock, retry=policy)
    first, second = clock.sleeps
    assert 7 < first <= 7.5
    assert 300 < second <= 301
    assert reply.data == GOOD


def test_callers_with_one_seed_wait_alike_and_others_do_not():
    def sleeps(seed):
        clock = FakeClock()
        provider = ScriptedProvider([failed("overloaded"), GOOD])
        ask(make_caller({"scripted": provider}, clock=clock, seed=seed), question())
        return clock.sleeps

    assert sleeps(1) == sleeps(1) != sleeps(2)


def test_a_schema_violation_is_asked_again_with_the_answer_and_the_complaint():
    clock = FakeClock()
    reply, provider = one_reply(['{"label": "c"}', GOOD], clock=clock)
    assert reply.data == GOOD
    assert classes(reply) == ["invalid_answer", None]
    asked, said, complaint = provider.requests[1].messages
    assert asked == Message("user", "What?")
    assert said == Message("assistant", '{"label": "c"}')
    assert complaint.role == "user"
    assert "label: Input should be 'a' or 'b'" in complaint.content
    assert clock.sleeps == []


def test_a_second_complaint_replaces_the_first():
    _, provider = one_reply(['{"label": "c"}', "not json", GOOD])
    assert [message.content for message in provider.requests[2].messages[:2]] == ["What?", "not json"]
    assert len(provider.requests[2].messages) == 3


def test_a_complaint_stays_when_the_server_is_overloaded_in_between():
    _, provider = one_reply(["not json", failed("overloaded"), GOOD])
    assert provider.requests[2] == provider.requests[1]
    assert len(provider.requests[2].messages) == 3


def test_an_empty_answer_is_asked_again_without_an_empty_turn():
    _, provider = one_reply(["  ", GOOD])
    assert [message.role for message in provider.requests[1].messages] == ["user", "user"]


def test_a_truncated_answer_is_no_answer_and_is_asked_again():
    reply, provider = one_reply([Answer(text='{"label": "a"}', stop="length"), GOOD])
    assert classes(reply) == ["truncated", None]
    assert "shorter" in provider.requests[1].messages[-1].content


def test_a_refusal_is_final_and_quoted_even_where_it_looks_like_an_answer():
    reply, provider = one_reply([Answer(text='{"label": "a"}', stop="refusal", refusal="I will not."), GOOD])
    assert classes(reply) == ["refused"]
    assert len(provider.requests) == 1
    assert "I will not." in reply.error.message


def test_a_validator_that_breaks_is_the_users_and_is_not_asked_again():
    class Odd(BaseModel):
        label: str

        @field_validator("label")
        @classmethod
        def check(cls, value):
            return {}[value]

    reply, provider = one_reply([GOOD], output=Output(Odd))
    assert classes(reply) == ["user_function"]
    assert "KeyError: 'a'" in reply.error.message
    assert len(provider.requests) == 1
    assert reply.attempts[0].usage is not None  # it was paid all the same


def test_an_answer_nested_beyond_reading_is_invalid():
    reply, _ = one_reply(["[" * 200_000], model=Model("scripted:a", attempts=1))
    assert classes(reply) == ["invalid_answer"]


def test_fallbacks_are_asked_in_order_and_all_attempts_are_kept_with_usage_and_cost():
    def answer(request):
        if request.model.name == "a":
            raise failed("overloaded", http_status=529)
        return Answer(text='{"label": "b"}', usage=Usage(input_tokens=10, output_tokens=1))

    model = Model("scripted:a", attempts=2, fallbacks=["scripted:b", "scripted:c"])
    reply, provider = one_reply(answer, model=model)
    assert [request.model.name for request in provider.requests] == ["a", "a", "b"]
    assert (reply.data, reply.model) == ({"label": "b"}, "scripted:b")
    assert [(a.model, a.error_class, a.cost_nano_usd) for a in reply.attempts] == [
        ("scripted:a", "overloaded", 0),
        ("scripted:a", "overloaded", 0),
        ("scripted:b", None, 120_000),
    ]


@pytest.mark.parametrize("error_class", [*FINAL, *ASKED_AGAIN])
def test_every_error_may_fall_back(error_class):
    def answer(request):
        if request.model.name == "a":
            raise failed(error_class)
        return GOOD

    reply, _ = one_reply(answer, model=Model("scripted:a", attempts=1, fallbacks=["scripted:b"]))
    assert (reply.model, reply.data) == ("scripted:b", GOOD)


def test_a_fallback_is_asked_without_the_complaint_about_another_model():
    def answer(request):
        return "not json" if request.model.name == "a" else GOOD

    _, provider = one_reply(answer, model=Model("scripted:a", attempts=2, fallbacks=["scripted:b"]))
    assert [len(request.messages) for request in provider.requests] == [1, 3, 1]


def test_the_error_of_several_models_tells_of_each_and_stays_short():
    def answer(request):
        raise failed("bad_request", f"bad field in {request.model.name} " + "x" * 5000)

    model = Model("scripted:first", fallbacks=["scripted:second", "scripted:third"])
    reply, _ = one_reply(answer, model=model)
    for name in ("first", "second", "third"):
        assert f"scripted:{name}: bad_request: bad field in {name}" in reply.error.message
    assert len(reply.error.message) < 1000


def test_a_call_that_hangs_is_cancelled_after_its_time_out_and_its_cost_is_unknown():
    provider = ScriptedProvider([GOOD], latency_seconds=60)
    model = Model("scripted:a", timeout_seconds=0.02, attempts=2)
    reply, _ = one_reply(provider, model=model, clock=FakeClock())
    assert classes(reply) == ["timeout", "timeout"]
    assert "0.02 seconds" in reply.error.message
    assert (provider.cancelled, provider.in_flight) == (2, 0)
    assert [(a.usage, a.cost_nano_usd, a.sent) for a in reply.attempts] == [(None, None, True)] * 2


def test_a_deadline_cancels_the_call_and_keeps_its_attempt():
    provider = ScriptedProvider([GOOD], latency_seconds=60)
    model = Model("scripted:a", fallbacks=["scripted:b"])
    reply, _ = one_reply(provider, model=model, deadline_seconds=0.05, clock=SystemClock())
    assert reply.error.error_class == "timeout"
    assert "deadline of 0.05 seconds" in reply.error.message
    assert [(a.model, a.error_class, a.usage, a.cost_nano_usd) for a in reply.attempts] == [
        ("scripted:a", "timeout", None, None)
    ]
    assert (provider.cancelled, len(provider.requests)) == (1, 1)


def test_a_deadline_holds_for_all_tries_together():
    clock = FakeClock()

    def answer(request):
        clock.advance(4)
        raise failed("overloaded", "busy")

    policy = RetryPolicy(first_seconds=0, longest_seconds=0)
    reply, provider = one_reply(
        answer, model=Model("scripted:a", attempts=9), deadline_seconds=10, clock=clock, retry=policy
    )
    assert len(provider.requests) == 3
    assert reply.error.error_class == "timeout"
    assert "busy" in reply.error.message  # the cause is not hidden


def test_a_wait_that_outlasts_the_deadline_is_not_waited_and_the_next_model_is_asked():
    clock = FakeClock()

    def answer(request):
        if request.model.name == "a":
            raise failed("rate_limited", "slow down", retry_after_seconds=200)
        return GOOD

    model = Model("scripted:a", fallbacks=["scripted:b"])
    reply, _ = one_reply(answer, model=model, deadline_seconds=60, clock=clock)
    assert (reply.model, clock.sleeps) == ("scripted:b", [])
    alone, _ = one_reply(answer, model="scripted:a", deadline_seconds=60)
    assert alone.error.error_class == "rate_limited"
    assert "would outlast the deadline" in alone.error.message


@pytest.mark.parametrize(("error_class", "calls"), [("quota_exhausted", 1), ("auth", 3)])
def test_a_hopeless_model_is_found_out_once_for_all_and_its_fallback_serves(error_class, calls):
    def answer(request):
        if request.model.name == "a":
            raise failed(error_class, "no more", http_status=429)
        return GOOD

    provider = ScriptedProvider(answer)
    model = Model("scripted:a", max_in_flight=1, fallbacks=["scripted:b"])
    replies = ask(make_caller({"scripted": provider}), *(question(str(n), model=model) for n in range(50)))
    assert [reply.model for reply in replies] == ["scripted:b"] * 50
    assert [request.model.name for request in provider.requests].count("a") == calls
    told = [(r.attempts[0].error_class, r.attempts[0].message, r.attempts[0].sent) for r in replies]
    assert told == [(error_class, "no more", True)] * calls + [(error_class, "no more", False)] * (50 - calls)
    assert {reply.attempts[0].cost_nano_usd for reply in replies} == {0}


def test_a_hopeless_model_is_looked_at_again_after_a_while_by_one_call():
    async def run():
        clock = FakeClock()
        answers = [failed("quota_exhausted"), failed("quota_exhausted"), GOOD]
        provider = ScriptedProvider(answers)
        caller = make_caller({"scripted": provider}, clock=clock)
        calls = []
        for seconds in (0, 1, 300, 1, 300, 1):
            clock.advance(seconds)
            await caller.ask(question(str(seconds)))
            calls.append(len(provider.requests))
        return calls

    assert asyncio.run(run()) == [1, 1, 2, 2, 3, 4]


def test_a_key_without_quota_does_not_stop_another_key():
    provider = ScriptedProvider([failed("quota_exhausted"), GOOD])
    caller = make_caller({"scripted": provider})
    first = question("1", model=Model("scripted:a", api_key_env="KEY_1", max_in_flight=1))
    second = question("2", model=Model("scripted:a", api_key_env="KEY_2", max_in_flight=1))
    replies = ask(caller, first, second)
    assert [reply.error is None for reply in replies] == [False, True]


@pytest.mark.parametrize(
    "error",
    [ValueError("sk-0123456789 is odd"), MemoryError(), SystemExit(3), KeyboardInterrupt(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_in_a_provider_costs_one_call_and_is_not_tried_again(error):
    provider = Raising(error)
    [reply] = ask(make_caller({"odd": provider}), question(model=Model("odd:x", attempts=2)))
    assert classes(reply) == ["user_function"]
    assert type(error).__name__ in reply.error.message
    assert 'File "test_caller.py"' in reply.error.traceback
    assert "sk-0123456789" not in repr(reply) + reply.error.traceback
    assert provider.calls == 1


def test_a_provider_that_returns_no_answer_has_given_none():
    class Confused(Raising):
        async def answer(self, request):
            return {"text": "fine"}

        def key(self):
            raise SystemExit(3)

    [reply] = ask(make_caller({"odd": Confused(ValueError())}), question(model=Model("odd:x", attempts=2)))
    assert classes(reply) == ["user_function"]
    assert "answer() returned dict in place of an Answer" in reply.error.message


@pytest.mark.parametrize("error", [ConnectionResetError("sk-0123456789"), asyncio.CancelledError("sk-0123456789")])
def test_a_provider_that_lost_its_connection_is_asked_again(error):
    provider = Raising(error)
    [reply] = ask(make_caller({"odd": provider}), question(model=Model("odd:x", attempts=2)))
    assert classes(reply) == ["connection", "connection"]
    assert type(error).__name__ in reply.error.message
    assert "sk-0123456789" not in repr(reply)
    assert provider.calls == 2


def test_a_time_out_of_the_providers_own_is_a_time_out():
    [reply] = ask(make_caller({"odd": Raising(TimeoutError("pool"))}), question(model=Model("odd:x", attempts=1)))
    assert classes(reply) == ["timeout"]
    assert "pool" in reply.error.message


def test_a_key_in_an_error_is_hidden_before_the_text_is_cut():
    error = failed("bad_request", "x" * 795 + "sk-0123456789")
    [reply] = ask(make_caller({"odd": Raising(error)}), question(model="odd:x"))
    assert "sk-0" not in reply.error.message
    assert len(reply.error.message) < 1000


@pytest.mark.parametrize("output", [LABEL, TEXT])
def test_a_model_of_an_unknown_provider_fails_before_a_call(output):
    [reply] = ask(make_caller({}), question(model="nobody:x", output=output))
    assert reply.error.error_class == "bad_request"
    assert "nobody" in reply.error.message
    assert not reply.error.sent


def test_a_provider_that_cannot_be_made_fails_its_calls_only():
    def broken(model):
        raise ImportError("no module named 'vendor'")

    provider = ScriptedProvider([GOOD])
    caller = make_caller({"broken": broken, "scripted": provider})
    first, second = ask(caller, question(model="broken:x", output=TEXT), question())
    assert "no module named 'vendor'" in first.error.message
    assert second.data == GOOD


@pytest.mark.parametrize(
    ("error", "usage"),
    [
        (failed("bad_request", http_status=400), Usage()),
        (failed("overloaded", http_status=503), Usage()),
        (failed("overloaded", http_status=504), None),
        (failed("timeout", http_status=408), None),
        (failed("connection"), None),
        (failed("connection", sent=False), Usage()),
        (failed("overloaded", http_status=200, usage=Usage(input_tokens=3)), Usage(input_tokens=3)),
    ],
)
def test_what_is_known_of_the_usage_of_a_failed_call(error, usage):
    reply, _ = one_reply([error], model=Model("scripted:a", attempts=1))
    assert reply.attempts[0].usage == usage


def test_an_output_that_the_api_cannot_express_is_shown_to_the_model():
    class Plain(ScriptedProvider):
        def wire_schema(self, schema):
            return WireSchema(schema=schema, native=False)

    provider = Plain([GOOD])
    reply, _ = one_reply(provider, system="Be brief.", model=Model("scripted:a", system="You are kind."))
    assert reply.data == GOOD
    system = provider.requests[0].system
    assert system.startswith("You are kind.\n\nBe brief.\n\n")
    assert json.dumps(LABEL.schema) in system


def test_an_output_whose_address_is_used_again_does_not_bring_its_schema_back():
    async def run():
        provider = ScriptedProvider(lambda request: next(iter(request.output.schema["properties"])))
        caller = make_caller({"scripted": provider})
        for n in range(50):
            output = Output({"type": "object", "properties": {f"field_{n}": {}}})
            await caller.ask(question(str(n), output=output, model=Model("scripted:a", attempts=1)))
        return [list(request.output.schema["properties"]) for request in provider.requests]

    assert asyncio.run(run()) == [[f"field_{n}"] for n in range(50)]


def test_a_cancelled_question_cancels_its_call():
    async def run():
        provider = ScriptedProvider([GOOD], latency_seconds=60)
        caller = make_caller({"scripted": provider})
        task = asyncio.create_task(caller.ask(question()))
        await eventually(lambda: provider.in_flight == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return provider.cancelled, provider.in_flight

    assert asyncio.run(run()) == (1, 0)


def test_a_client_that_cannot_be_closed_does_not_keep_the_run_from_ending(caplog):
    [reply] = ask(make_caller({"odd": Raising(CallError("auth", "sk-0123456789"))}), question(model="odd:x"))
    assert reply.error.error_class == "auth"
    assert "a client was not closed: CallError" in caplog.text
    assert "sk-0123456789" not in caplog.text


def test_calls_that_rest_are_tried_again_as_soon_as_the_model_takes_calls_again():
    """Without that they would rest for minutes."""
    began = time.monotonic()

    def answers(_):
        return GOOD if time.monotonic() > began + 1.5 else CallError("rate_limited", "no", http_status=429)

    caller = make_caller(
        {"scripted": ScriptedProvider(answers)}, clock=SystemClock(), retry=RetryPolicy(first_seconds=3600)
    )
    model = Model("scripted:a", max_in_flight=2, attempts=9)
    replies = ask(caller, *(question(str(n), model=model, output=LABEL) for n in range(12)))
    assert [reply.error for reply in replies] == [None] * 12
    assert any(len(reply.attempts) > 1 for reply in replies)


def test_that_a_model_is_left_alone_is_told_once_however_often_it_is_looked_at():
    answers = [CallError("overloaded", "down", http_status=503)] * 14 + ["fine"]
    caller = make_caller({"scripted": ScriptedProvider(answers)}, clock=FakeClock())
    model = Model("scripted:a", max_in_flight=1, attempts=2)
    replies = ask(caller, *(question(str(n), model=model) for n in range(20)))
    unsent = [[attempt.sent for attempt in reply.attempts].count(False) for reply in replies]
    assert max(unsent) <= 2
