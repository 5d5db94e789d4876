"""What the vendors' SDKs read out of the simulator's answers."""

from __future__ import annotations

import json

import anthropic
import openai
import pytest
from google import genai
from google.genai import types
from pydantic import BaseModel

from beam_llmdag.testing import Reply, Simulator
from beam_llmdag.usage import Usage

USAGE = Usage(
    input_tokens=1000,
    output_tokens=120,
    cache_read_tokens=300,
    cache_write_tokens=200,
    cache_write_1h_tokens=50,
    reasoning_tokens=80,
)


class Out(BaseModel):
    label: str
    score: float


def test_anthropic_reads_text_stop_reason_and_ids(sdk):
    with Simulator(lambda request: "hi") as sim:
        message = sdk.ask(sim.base_url("anthropic"), "anthropic")
        assert (message.content[0].text, message.stop_reason, message.model) == ("hi", "end_turn", "claude-haiku-4-5")
        assert message._request_id == sim.requests[0].request_id


def test_openai_responses_reads_text_status_and_ids(sdk):
    with Simulator(lambda request: "hi") as sim:
        response = sdk.ask(sim.base_url("openai"), "openai-responses")
        assert (response.output_text, response.status, response.model) == ("hi", "completed", "gpt-5-mini")
        assert response._request_id == sim.requests[0].request_id


def test_openai_chat_reads_text_finish_reason_and_ids(sdk):
    with Simulator(lambda request: "hi") as sim:
        completion = sdk.ask(sim.base_url("openai"), "openai-chat")
        choice = completion.choices[0]
        assert (choice.message.content, choice.finish_reason, completion.model) == ("hi", "stop", "gpt-5-mini")
        assert completion._request_id == sim.requests[0].request_id


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_google_reads_text_and_finish_reason_in_both_api_versions(sdk, version):
    with Simulator(lambda request: "hi") as sim:
        response = sdk.ask(sim.base_url("google"), "google", api_version=version)
        assert (response.text, response.candidates[0].finish_reason) == ("hi", types.FinishReason.STOP)
        assert response.model_version == "gemini-2.5-flash"
        assert sim.requests[0].path == f"/{version}/models/gemini-2.5-flash:generateContent"


def test_anthropic_parse_gets_an_object_of_the_schema():
    with Simulator() as sim, anthropic.Anthropic(base_url=sim.base_url("anthropic"), api_key="k") as client:
        message = client.messages.parse(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "?"}], output_format=Out
        )
        assert isinstance(message.parsed_output, Out)


def test_openai_responses_parse_gets_an_object_of_the_schema():
    with Simulator() as sim, openai.OpenAI(base_url=sim.base_url("openai"), api_key="k") as client:
        assert isinstance(client.responses.parse(model="m", input="?", text_format=Out).output_parsed, Out)


def test_openai_chat_parse_gets_an_object_of_the_schema():
    with Simulator() as sim, openai.OpenAI(base_url=sim.base_url("openai"), api_key="k") as client:
        completion = client.chat.completions.parse(
            model="m", messages=[{"role": "user", "content": "?"}], response_format=Out
        )
        assert isinstance(completion.choices[0].message.parsed, Out)


def test_google_parses_its_own_schema_dialect():
    with Simulator() as sim:
        client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=sim.base_url("google")))
        config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Out)
        assert isinstance(client.models.generate_content(model="m", contents="?", config=config).parsed, Out)
        assert sim.requests[0].schema["type"] == "OBJECT"


def test_a_json_schema_sent_by_each_sdk_is_seen_and_answered(sdk, protocol, label_schema, raw):
    with Simulator() as sim:
        sdk.ask(sim.base_url(protocol), protocol, schema=label_schema)
        seen = sim.requests[0]
        assert (seen.schema, seen.system, seen.messages) == (label_schema, "be brief", (("user", "hello"),))
        assert json.loads(raw.ask(sim, protocol, schema=label_schema).text)["label"] in ("a", "b")


def test_anthropic_gets_usage_without_the_cached_tokens_in_the_input(sdk):
    with Simulator(lambda request: Reply("hi", usage=USAGE)) as sim:
        usage = sdk.ask(sim.base_url("anthropic"), "anthropic").usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (500, 300, 200)
    assert usage.cache_creation.ephemeral_5m_input_tokens == 150
    assert usage.cache_creation.ephemeral_1h_input_tokens == 50
    assert (usage.output_tokens, usage.output_tokens_details.thinking_tokens) == (120, 80)


def test_openai_responses_gets_usage_with_the_cached_tokens_in_the_input(sdk):
    with Simulator(lambda request: Reply("hi", usage=USAGE)) as sim:
        usage = sdk.ask(sim.base_url("openai"), "openai-responses").usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (1000, 120, 1120)
    assert (usage.input_tokens_details.cached_tokens, usage.input_tokens_details.cache_write_tokens) == (300, 200)
    assert usage.output_tokens_details.reasoning_tokens == 80


def test_openai_chat_gets_usage_with_the_cached_tokens_in_the_input(sdk):
    with Simulator(lambda request: Reply("hi", usage=USAGE)) as sim:
        usage = sdk.ask(sim.base_url("openai"), "openai-chat").usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1000, 120, 1120)
    assert (usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens_details.cache_write_tokens) == (300, 200)
    assert usage.completion_tokens_details.reasoning_tokens == 80


def test_google_gets_usage_with_thoughts_apart_from_the_candidates(sdk):
    with Simulator(lambda request: Reply("hi", usage=USAGE)) as sim:
        usage = sdk.ask(sim.base_url("google"), "google").usage_metadata
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (1000, 300)
    assert (usage.candidates_token_count, usage.thoughts_token_count, usage.total_token_count) == (40, 80, 1120)


def test_estimated_usage_is_a_token_per_four_characters(sdk):
    with Simulator(lambda request: "x" * 41) as sim:
        usage = sdk.ask(sim.base_url("openai"), "openai-chat", "y" * 91).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (25, 11)  # "be brief", a line break and 91 characters


def test_usage_can_be_missing(sdk):
    with Simulator(lambda request: Reply("hi", usage="missing")) as sim:
        assert sdk.ask(sim.base_url("openai"), "openai-chat").usage is None
        assert sim.requests[0].usage is None


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        (
            "anthropic",
            {
                "input_tokens": 4,
                "cache_creation_input_tokens": 8000,
                "cache_read_input_tokens": 0,
                "output_tokens": 500,
            },
        ),
        (
            "google",
            {"promptTokenCount": 1500, "candidatesTokenCount": 120, "thoughtsTokenCount": 880, "totalTokenCount": 2500},
        ),
    ],
)
def test_a_usage_mapping_goes_out_as_it_is(raw, name, wire):
    """cost-01-anthropic-cache-write, cost-02-gemini-thoughts: usage exactly as the vendor sends it."""
    with Simulator(lambda request: Reply("hi", usage=wire)) as sim:
        body = raw.ask(sim, name).json
        assert (body.get("usage") or body.get("usageMetadata")) == wire
        assert sim.requests[0].usage == wire


def test_a_cut_answer_carries_each_vendors_stop_reason(sdk):
    """parsing-03-cut-list-is-not-repaired: the stop reason tells a cut answer from a whole one."""
    with Simulator(lambda request: Reply('{"topics": ["billing"', stop="length")) as sim:
        assert sdk.ask(sim.base_url("anthropic"), "anthropic").stop_reason == "max_tokens"
        response = sdk.ask(sim.base_url("openai"), "openai-responses")
        assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
        assert response.output_text == '{"topics": ["billing"'
        assert sdk.ask(sim.base_url("openai"), "openai-chat").choices[0].finish_reason == "length"
        candidate = sdk.ask(sim.base_url("google"), "google").candidates[0]
        assert candidate.finish_reason == types.FinishReason.MAX_TOKENS


def test_a_refusal_carries_its_words_where_each_vendor_puts_them(sdk):
    """parsing-06-refusal-with-empty-text: a refusal is no answer."""
    with Simulator(lambda request: Reply(stop="refusal", refusal="I cannot help.")) as sim:
        message = sdk.ask(sim.base_url("anthropic"), "anthropic")
        assert (message.stop_reason, message.content) == ("refusal", [])
        assert message.stop_details.explanation == "I cannot help."
        part = sdk.ask(sim.base_url("openai"), "openai-responses").output[0].content[0]
        assert (part.type, part.refusal) == ("refusal", "I cannot help.")
        choice = sdk.ask(sim.base_url("openai"), "openai-chat").choices[0]
        assert (choice.message.content, choice.message.refusal) == (None, "I cannot help.")
        assert choice.finish_reason == "stop"
        candidate = sdk.ask(sim.base_url("google"), "google").candidates[0]
        assert (candidate.finish_reason, candidate.content) == (types.FinishReason.SAFETY, None)


def test_any_other_stop_reason_is_sent_in_the_vendors_words(sdk):
    with Simulator(lambda request: Reply("hi", stop="content_filter")) as sim:
        assert sdk.ask(sim.base_url("openai"), "openai-chat").choices[0].finish_reason == "content_filter"
        response = sdk.ask(sim.base_url("openai"), "openai-responses")
        assert (response.status, response.incomplete_details.reason) == ("incomplete", "content_filter")


def test_a_stop_reason_can_be_missing(raw):
    with Simulator(lambda request: Reply("hi", stop=None)) as sim:
        assert "stop_reason" not in raw.ask(sim, "anthropic").json
        assert "status" not in raw.ask(sim, "openai-responses").json
        assert "finish_reason" not in raw.ask(sim, "openai-chat").json["choices"][0]
        assert "finishReason" not in raw.ask(sim, "google").json["candidates"][0]


def test_thinking_comes_apart_from_the_answer(sdk):
    """parsing-05-json-inside-the-thinking: the draft is no part of the answer."""
    with Simulator(lambda request: Reply({"label": "b"}, thinking='{"label": "a"}?')) as sim:
        message = sdk.ask(sim.base_url("anthropic"), "anthropic")
        assert [(block.type, getattr(block, "thinking", None)) for block in message.content] == [
            ("thinking", '{"label": "a"}?'),
            ("text", None),
        ]
        response = sdk.ask(sim.base_url("openai"), "openai-responses")
        assert [item.type for item in response.output] == ["reasoning", "message"]
        assert response.output_text == '{"label": "b"}'
        parts = sdk.ask(sim.base_url("google"), "google").candidates[0].content.parts
        assert [(part.text, part.thought) for part in parts] == [('{"label": "a"}?', True), ('{"label": "b"}', None)]


def test_a_lone_surrogate_in_an_answer_arrives(raw, protocol):
    with Simulator(lambda request: "half \ud83d") as sim:
        assert raw.ask(sim, protocol).text == "half \ud83d"
