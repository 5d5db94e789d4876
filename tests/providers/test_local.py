"""The real model in this process. Skipped where xllamacpp or the model cannot be had."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from beam_llmdag.errors import CallError, FetchError
from beam_llmdag.model import Answer, Image, Message, Model, Request
from beam_llmdag.providers.base import Provider
from beam_llmdag.providers.gguf import fetch_default_model
from beam_llmdag.providers.local import LocalProvider

pytestmark = pytest.mark.processes

Ask = Callable[..., Answer]


class Sentiment(BaseModel):
    label: Literal["positive", "negative"]
    stars: int = Field(ge=1, le=5)
    tags: list[str]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def provider(loop: asyncio.AbstractEventLoop) -> Iterator[LocalProvider]:
    """The provider of the default model, fetched when it is not there yet."""
    pytest.importorskip("xllamacpp", reason="the engine of local models is not installed")
    try:
        fetch_default_model(lambda line: None)
    except FetchError as error:
        pytest.skip(f"the default model cannot be fetched: {error}")
    provider = LocalProvider(Model("local:smollm2"))
    yield provider
    loop.run_until_complete(provider.aclose())


@pytest.fixture
def ask(provider: LocalProvider, loop: asyncio.AbstractEventLoop) -> Callable[..., Any]:
    """Asks, or runs something asynchronous on the provider's loop."""

    def asked(prompt: str | Awaitable[Any], output: type[BaseModel] | None = None, **options: Any) -> Any:
        if not isinstance(prompt, str):
            return loop.run_until_complete(prompt)
        return loop.run_until_complete(provider.answer(request(provider, prompt, output, **options)))

    return asked


def request(provider: LocalProvider, prompt: str, output: type[BaseModel] | None = None, **options: Any) -> Request:
    schema = provider.wire_schema(output.model_json_schema()) if output else None
    model = Model("local:smollm2", timeout_seconds=120, **options)
    return Request(model=model, messages=(Message("user", prompt),), output=schema)


def test_it_fits_the_protocol(provider):
    assert isinstance(provider, Provider)


def test_a_structured_answer_fits_the_schema(ask):
    answer = ask("Sentiment of: 'It arrived late and broken.'", Sentiment, temperature=0.0, extra_body={"seed": 1})
    assert answer.stop == "end"
    Sentiment.model_validate_json(answer.text)


def test_plain_text_has_usage_and_an_end(ask):
    answer = ask("Say hello.", temperature=0.0, max_tokens=200)
    assert answer.text
    assert answer.usage.input_tokens > 0
    assert 0 < answer.usage.output_tokens <= 200


def test_the_token_limit_is_told(ask):
    answer = ask("Count from 1 to 100.", max_tokens=4, temperature=0.0)
    assert (answer.stop, answer.usage.output_tokens) == ("length", 4)


def test_many_may_ask_at_once_and_get_the_answers_that_one_after_the_other_would_get(ask, provider):
    asked = [request(provider, f"Sentiment of: '{word}.'", Sentiment) for word in ("Great", "Bad", "Late", "Fine")]

    async def together() -> list[str]:
        return [answer.text for answer in await asyncio.gather(*map(provider.answer, asked))]

    async def backwards() -> list[str]:
        return [(await provider.answer(one)).text for one in reversed(asked)]

    assert ask(together()) == ask(backwards())[::-1]


def test_a_cancelled_call_stops_the_generation(ask, provider):
    """The model is taken by long answers that nobody wants any more; the next call still gets it at once."""

    async def cancelled_then_asked() -> float:
        long = request(provider, "Count from 1 to 1000.", max_tokens=1500, extra_body={"ignore_eos": True})
        tasks = [asyncio.create_task(provider.answer(long)) for _ in range(4)]
        await asyncio.wait(tasks, timeout=1)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return await seconds_of(short)

    async def seconds_of(asked: Request) -> float:
        started = time.monotonic()
        await provider.answer(asked)
        return time.monotonic() - started

    short = request(provider, "Hi", max_tokens=2)
    alone = ask(seconds_of(short))
    assert ask(cancelled_then_asked()) < 100 * alone  # four answers of 1,500 tokens are 3,000 times as long


def test_a_prompt_beyond_the_context_is_too_long(ask):
    with pytest.raises(CallError) as caught:
        ask("word " * 3000)
    assert caught.value.error_class == "too_long"


def test_the_same_question_has_the_same_answer(ask):
    first, second = (ask("Invent a name for a cat and tell its story.", max_tokens=40) for _ in range(2))
    assert first.text == second.text


def test_samples_have_seeds_of_their_own_and_each_the_same_answer_again(ask, provider):
    asked = request(provider, "Invent a name for a cat and tell its story.", max_tokens=40, temperature=1.5)
    texts = [ask(provider.answer(replace(asked, sample=sample))).text for sample in (0, 1, 0)]
    assert texts[0] == texts[2] != texts[1]


def test_images_are_refused_before_anything_is_sent(ask, provider):
    asked = Request(model=Model("local:smollm2"), messages=(Message("user", [Image(b"x")]),))
    with pytest.raises(CallError, match="local models see no images") as caught:
        ask(provider.answer(asked))
    assert caught.value.sent is False


def failure(name: str) -> CallError:
    model = Model(f"local:{name}")
    with pytest.raises(CallError) as caught:
        asyncio.run(LocalProvider(model).answer(Request(model=model, messages=(Message("user", "?"),))))
    return caught.value


def test_a_missing_default_model_names_the_command_that_fetches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMDAG_CACHE", str(tmp_path))
    error = failure("smollm2")
    assert (error.error_class, error.sent) == ("bad_request", False)
    assert "llmdag fetch-model" in error.message


def test_a_missing_file_is_named(tmp_path):
    assert str(tmp_path / "mine.gguf") in failure(str(tmp_path / "mine.gguf")).message


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "mine.gguf").write_bytes(b"not a model")
    error = failure(str(tmp_path / "mine.gguf"))
    assert error.error_class == "bad_request"
    assert "mine.gguf is no model that can be loaded" in error.message
