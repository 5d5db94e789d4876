"""The provider without a network."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from beam_llmdag.errors import CallError
from beam_llmdag.model import Answer, Image, Message, Model, Request
from beam_llmdag.providers.base import Provider, find_provider
from beam_llmdag.testing import ScriptedProvider
from beam_llmdag.usage import Usage


def request(prompt: str = "hi", *, system: str | None = None) -> Request:
    return Request(model=Model("scripted:any"), messages=(Message("user", prompt),), system=system)


def ask(provider: ScriptedProvider, *prompts: str) -> list[Answer | BaseException]:
    async def all_of_them():
        calls = (provider.answer(request(prompt)) for prompt in prompts)
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(all_of_them())


def test_it_is_a_provider_and_its_own_factory():
    provider = ScriptedProvider(["hi"])
    assert isinstance(provider, Provider)
    assert find_provider("scripted", {"scripted": provider})(Model("scripted:any")) is provider
    assert provider.key() is None


def test_answers_come_in_order_and_the_last_one_repeats():
    provider = ScriptedProvider(["one", {"label": "ä"}])
    assert [answer.text for answer in ask(provider, "a", "b", "c")] == ["one", '{"label": "ä"}', '{"label": "ä"}']


def test_a_function_answers_by_the_request():
    provider = ScriptedProvider(lambda request: {"said": request.messages[-1].content})
    assert [answer.text for answer in ask(provider, "a", "b")] == ['{"said": "a"}', '{"said": "b"}']


def test_a_whole_answer_goes_out_as_it_is():
    answer = Answer(text="cut", stop="length", usage=None, request_id="r1")
    assert ask(ScriptedProvider([answer]), "a") == [answer]


def test_scripted_errors_are_raised():
    error = CallError("rate_limited", "slow down", retry_after_seconds=2)
    assert ask(ScriptedProvider([error, "good"]), "a", "b")[0] is error


def test_a_function_may_raise_a_call_error():
    def refuse(request):
        raise CallError("refused", "no")

    provider = ScriptedProvider(refuse)
    (error,) = ask(provider, "a")
    assert isinstance(error, CallError)
    assert (error.error_class, provider.in_flight) == ("refused", 0)


def test_usage_is_a_token_per_four_characters_of_texts():
    provider = ScriptedProvider(["12345"])
    message = Message("user", ["12345678", Image(b"png")])
    asked = Request(model=Model("scripted:m"), messages=(message,), system="123")
    answer = asyncio.run(provider.answer(asked))
    assert answer.usage == Usage(input_tokens=3, output_tokens=2)
    assert answer.model_name == "m"


def test_requests_are_kept_in_order():
    provider = ScriptedProvider(["x"])
    ask(provider, "a", "b")
    assert provider.requests == [request("a"), request("b")]


def test_the_peak_of_calls_in_flight_is_kept():
    provider = ScriptedProvider(["x"], latency_seconds=0.05)
    ask(provider, *"abcde")
    assert (provider.peak_in_flight, provider.in_flight) == (5, 0)


def test_a_cancelled_call_is_counted():
    async def give_up(provider: ScriptedProvider) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(provider.answer(request()), 0.05)

    provider = ScriptedProvider(["x"], latency_seconds=30)
    asyncio.run(give_up(provider))
    assert (provider.cancelled, provider.in_flight) == (1, 0)


def test_latency_may_depend_on_the_request():
    async def first_done(provider: ScriptedProvider) -> str:
        calls = [asyncio.ensure_future(provider.answer(request(prompt))) for prompt in ("slow", "fast")]
        done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for call in pending:
            call.cancel()
        return done.pop().result().text

    provider = ScriptedProvider(
        lambda request: request.messages[-1].content,
        latency_seconds=lambda request: 30 if request.messages[-1].content == "slow" else 0,
    )
    assert asyncio.run(first_done(provider)) == "fast"


def test_it_survives_pickling_as_itself():
    provider = ScriptedProvider(lambda request: "functions need not be picklable")
    assert pickle.loads(pickle.dumps({"scripted": provider}))["scripted"] is provider


def test_the_schema_is_sent_as_it_is():
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    wire = ScriptedProvider(["x"]).wire_schema(schema)
    assert (wire.schema, wire.native, wire.notes) == (schema, True, ())


def test_no_answers_at_all_is_an_error():
    with pytest.raises(ValueError, match="at least one answer"):
        ScriptedProvider([])
