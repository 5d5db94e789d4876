import pickle
from typing import Any

import pytest

from beam_llmdag.errors import GraphError
from beam_llmdag.model import Image, Message, Model, as_model


def test_a_spec_has_a_provider_and_a_name() -> None:
    model = Model("anthropic:us.anthropic.claude-haiku-4-5-20251001-v1:0")
    assert (model.provider, model.name) == ("anthropic", "us.anthropic.claude-haiku-4-5-20251001-v1:0")


def test_a_name_may_be_a_path_with_blanks() -> None:
    assert Model("local:/my models/small.gguf").name == "/my models/small.gguf"


@pytest.mark.parametrize(
    "spec", ["", "claude-haiku-4-5", ":x", "anthropic:", "anthropic: x", "anthropic :x", " a:b", "a:b ", None, 3]
)
def test_an_ill_formed_spec_is_an_error_that_shows_the_form(spec: Any) -> None:
    with pytest.raises(GraphError, match=r"write it as 'provider:name', for example 'anthropic:claude-haiku-4-5'"):
        Model(spec)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attempts": 0}, "model 'a:b': attempts must be at least 1, not 0"),
        ({"max_tokens": 0}, "model 'a:b': max_tokens must be at least 1, not 0"),
        ({"max_in_flight": -1}, "model 'a:b': max_in_flight must be at least 1, not -1"),
        ({"timeout_seconds": 0}, "model 'a:b': timeout_seconds must be positive, not 0"),
        ({"effort": "huge"}, "model 'a:b': effort is one of minimal, low, medium, high, not 'huge'"),
        ({"fallbacks": "c:d"}, "model 'a:b': fallbacks is a list of models, not the text 'c:d'"),
        ({"fallbacks": [3]}, "a model is a Model or a text like 'anthropic:claude-haiku-4-5', not int: 3"),
    ],
)
def test_a_wrong_setting_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError) as info:
        Model("a:b", **settings)
    assert str(info.value) == message


@pytest.mark.parametrize("name", [None, "TEAM_KEY", "_KEY2"])
def test_a_key_may_be_in_a_variable_of_the_environment(name: str | None) -> None:
    assert Model("a:b", api_key_env=name).api_key_secret is None


@pytest.mark.parametrize("version", ["projects/shop/secrets/key/versions/latest", "projects/1/secrets/k_1/versions/7"])
def test_a_key_may_be_in_a_version_of_a_secret(version: str) -> None:
    assert Model("a:b", api_key_env=version).api_key_secret == version


@pytest.mark.parametrize("given", ["sk-ant-api03-abc", "projects/shop/secrets/key", "", "KEY=1", "two words"])
def test_a_key_in_place_of_its_name_is_an_error_that_does_not_show_it(given: str) -> None:
    with pytest.raises(GraphError) as info:
        Model("a:b", api_key_env=given)
    assert str(info.value) == (
        "model 'a:b': api_key_env is the name of an environment variable or of a secret's version, "
        "'projects/<project>/secrets/<name>/versions/latest'. What is there is neither; it is not shown, because it "
        "may be a key"
    )


def test_a_chain_is_the_model_and_its_fallbacks_in_order() -> None:
    model = Model("a:1", fallbacks=[Model("a:2", fallbacks=["a:3", "a:1"]), "a:4", "a:2"])
    assert [m.spec for m in model.chain()] == ["a:1", "a:2", "a:3", "a:4"]


def test_a_fallback_to_the_same_model_with_other_settings_is_asked() -> None:
    model = Model("a:1", max_tokens=100, fallbacks=[Model("a:1", max_tokens=1000)])
    assert [m.max_tokens for m in model.chain()] == [100, 1000]


def test_models_are_values() -> None:
    model = Model("a:1", fallbacks=["a:2"], extra_body={"top_k": 3})
    assert model == Model("a:1", fallbacks=[Model("a:2")], extra_body={"top_k": 3})
    assert len({model, pickle.loads(pickle.dumps(model))}) == 1


def test_a_model_keeps_its_own_copy_of_extra_fields() -> None:
    extra = {"top_k": 3}
    model = Model("a:1", extra_body=extra)
    extra["top_k"] = 4
    assert model.extra_body == {"top_k": 3}


def test_a_text_is_a_model() -> None:
    assert as_model("a:1") == Model("a:1")


def test_a_message_is_one_text_or_parts() -> None:
    image = Image(b"x")
    assert Message("user", "a").parts() == ("a",)
    assert Message("user", ["a", image]).parts() == ("a", image)


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("google/gemini-2.5-flash", "google:gemini-2.5-flash"),
        ("openai/gpt-5-mini", "openai:gpt-5-mini"),
        ("gemini/gemini-2.5-flash", "google:gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "google:gemini-2.5-flash"),
        ("gpt-5-mini", "openai:gpt-5-mini"),
        ("antropic:claude-haiku-4-5", "anthropic:claude-haiku-4-5"),
        ("gogle:gemini-2.5-flash", "google:gemini-2.5-flash"),
        ("opnai:gpt-5-mini", "openai:gpt-5-mini"),
        ("Antropic:claude-haiku-4-5", "anthropic:claude-haiku-4-5"),
    ],
)
def test_the_error_shows_what_was_meant(spec: str, meant: str) -> None:
    """Case graph-51, d and e."""
    with pytest.raises(GraphError, match=f"'{meant}'"):
        Model(spec)


@pytest.mark.parametrize("spec", ["openai2:x", "my-openai:x", "anthropic-eu:x", "echo:any", "locale:x", "opera:x"])
def test_a_provider_of_one_s_own_may_have_any_other_name(spec: str) -> None:
    assert Model(spec).spec == spec


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"headers": {"Authorization": "x"}}, "api_key_env"),
        ({"headers": {"X-API-Key": "x"}}, "api_key_env"),
        ({"headers": {"x-goog-api-key": "x"}}, "api_key_env"),
        ({"headers": {"Cookie": "x"}}, "api_key_env"),
        ({"headers": {"x-mine": "Bearer x"}}, "api_key_env"),
        ({"headers": {"x-a": "1\r\nx-b: 2"}}, "one line"),
        ({"headers": {"x-a": "1\n"}}, "one line"),
        ({"headers": {"x-a: 1\r\nx-b": "2"}}, "no name of a header"),
        ({"headers": {"x-a": "größe"}}, "ASCII"),
        ({"headers": {"x-a": 1}}, "one line"),
        ({"headers": {"Host": "elsewhere"}}, "cannot be given"),
        ({"headers": "x-a: 1"}, "mapping"),
        ({"query": {"api_key": "x"}}, "api_key_env"),
        ({"query": {"key": "x"}}, "api_key_env"),
        ({"query": {"a": 1}}, "texts"),
        ({"query": "a=1"}, "mapping"),
        ({"base_url": "http://[broken"}, "base_url"),
        ({"base_url": "http://host:port"}, "base_url"),
        ({"base_url": 7}, "base_url"),
    ],
)
def test_what_may_not_be_sent_is_refused_where_the_model_is_made(options: Any, word: str) -> None:
    with pytest.raises(GraphError, match=word) as caught:
        Model("openai:x", **options)
    assert "'x'" not in str(caught.value)


def test_models_with_other_headers_are_other_models() -> None:
    plain, other = Model("a:1"), Model("a:1", headers={"x-team": "qa"}, query={"v": "1"})
    assert plain != other
    assert pickle.loads(pickle.dumps(other)) == other
