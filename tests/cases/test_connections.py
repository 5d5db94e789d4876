"""The kinds `errors` and `security`: addresses, redirects, certificates and proxies."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from beam_llmdag import Dag, GraphError, Model, load_dag
from beam_llmdag.testing import FakeClock, Reply, Simulator

SECRET = "a-key-for-a-test-0123456789"
NAMES = {
    "anthropic": "anthropic:claude-haiku-4-5",
    "openai-chat": "openai-chat:gpt-5-mini",
    "openai-responses": "openai-responses:gpt-5-mini",
    "google": "google:gemini-2.5-flash",
}
PATHS = {
    "anthropic": "/v1/messages",
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "google": "/v1/models/gemini-2.5-flash:generateContent",
}
URLS = {"anthropic": "ANTHROPIC_BASE_URL", "google": "GOOGLE_GEMINI_BASE_URL"}
VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    others = ("GOOGLE_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL")
    for name in (*others, *VARIABLES, *map(str.lower, VARIABLES)):
        monkeypatch.delenv(name, raising=False)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, SECRET)


@pytest.fixture(params=NAMES)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(asked: Model | str, count: int = 1, **options: Any) -> Any:
    dag = Dag("case", model=asked)

    @dag.dimension
    def analyze(item):
        return f"Analyse: {item.content}"

    return dag.run([f"It arrived late, {n}." for n in range(count)], store=False, clock=FakeClock(), **options)


def usual(simulator: Simulator, provider: str, **options: Any) -> Model:
    return Model(NAMES[provider], base_url=simulator.base_url(provider), **{"timeout_seconds": 10.0, **options})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(simulator, provider, status):
    """security-51-redirects"""
    with Simulator(lambda _request: "stolen") as other:
        target = f"{other.url.replace('127.0.0.1', 'name:hunter2@localhost')}/elsewhere?token=t"
        simulator.script([Reply(status=status, headers={"location": target})])
        [failure] = run(usual(simulator, provider, attempts=2)).failures
        assert (len(simulator.requests), other.requests) == (1, [])
    assert failure.error_class == "bad_request"
    assert "redirect" in failure.message
    assert "localhost" in failure.message
    assert "/elsewhere" in failure.message
    assert not any(secret in failure.message for secret in ("hunter2", "name:", "token=t", SECRET))
    assert failure.attempts[0].cost_nano_usd == 0


@pytest.mark.parametrize("target", ["/v1/messages", "file:///etc/hostname", "http://[broken", ""])
def test_a_redirect_to_anything_is_one_request(simulator, provider, target):
    """security-51-redirects, b and c"""
    simulator.script([Reply(status=307, headers={"location": target} if target else {})])
    [failure] = run(usual(simulator, provider, attempts=2)).failures
    assert (failure.error_class, len(simulator.requests)) == ("bad_request", 1)
    assert "redirect" in failure.message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "/nonexistent/ca.pem"),
        ("SSL_CERT_FILE", __file__),
        ("SSL_CERT_DIR", "/nonexistent/certs"),
        ("REQUESTS_CA_BUNDLE", "/nonexistent/bundle.pem"),
        ("HTTPS_PROXY", "proxy.example:3128"),
        ("HTTPS_PROXY", "http://proxy.example:port"),
        ("http_proxy", "http://"),
        ("ALL_PROXY", "nonsense"),
    ],
)
def test_a_variable_that_no_connection_can_be_made_with_is_named_and_nothing_is_sent(
    simulator, provider, monkeypatch, variable, value
):
    """errors-43-certificates-that-are-not-there"""
    monkeypatch.setenv(variable, value)
    report = run(usual(simulator, provider), 3)
    assert {(f.error_class, len(f.attempts)) for f in report.failures} == {("bad_request", 1)}
    attempts = [failure.attempts[0] for failure in report.failures]
    assert [(attempt.sent, attempt.cost_nano_usd) for attempt in attempts] == [(False, 0)] * 3
    assert all(variable in failure.message and value in failure.message for failure in report.failures)
    assert simulator.requests == []


def test_the_password_of_a_proxy_is_not_shown(simulator, monkeypatch):
    """errors-43-certificates-that-are-not-there"""
    for value in ("http://ann:pa55w0rd@proxy.example:port", "ann:pa55w0rd@proxy.example"):
        monkeypatch.setenv("HTTPS_PROXY", value)
        [failure] = run(usual(simulator, "openai-chat")).failures
        assert "proxy.example" in failure.message
        assert "pa55w0rd" not in failure.message


def test_a_query_in_the_base_url_is_sent_behind_the_path(simulator, provider):
    """errors-41-query-in-the-base-url"""
    base = f"{simulator.base_url(provider)}?api-version=2025-04-01-preview"
    assert run(Model(NAMES[provider], base_url=base)).failures == []
    assert simulator.requests[0].path == f"{PATHS[provider]}?api-version=2025-04-01-preview"


@pytest.mark.parametrize("end", ["/v1", "/v1/"])
@pytest.mark.parametrize("provider", ["anthropic", "google", "openai-chat", "openai-responses"])
def test_a_version_that_the_sdk_adds_may_be_in_the_base_url(simulator, monkeypatch, provider, end):
    """errors-42-doubled-path"""
    assert run(Model(NAMES[provider], base_url=simulator.url + end)).failures == []
    monkeypatch.setenv(URLS.get(provider, "OPENAI_BASE_URL"), simulator.url + end)
    assert run(NAMES[provider]).failures == []
    assert {request.path for request in simulator.requests} == {PATHS[provider]}


def test_the_version_in_an_address_of_google_is_the_one_that_is_asked(simulator):
    """errors-42-doubled-path"""
    assert run(Model(NAMES["google"], base_url=f"{simulator.url}/v1beta")).failures == []
    assert simulator.requests[0].path == "/v1beta/models/gemini-2.5-flash:generateContent"


@pytest.mark.parametrize("provider", ["anthropic", "openai-chat", "openai-responses"])
def test_a_whole_address_may_be_the_base_url(simulator, provider):
    """errors-42-doubled-path"""
    assert run(Model(NAMES[provider], base_url=simulator.url + PATHS[provider])).failures == []


@pytest.mark.parametrize("variable", [False, True])
def test_an_address_that_is_not_there_is_shown_with_what_it_lacks(simulator, monkeypatch, variable):
    """errors-42-doubled-path, also"""
    base = simulator.url if not variable else None
    if variable:
        monkeypatch.setenv("OPENAI_BASE_URL", simulator.url)
    [failure] = run(Model("openai:x", base_url=base)).failures
    assert failure.error_class == "bad_request"
    assert f"{simulator.url}/chat/completions" in failure.message
    assert "/v1" in failure.message


PASSWORDS = ["https://ann:pa55w0rd@gateway.example/v1", "https://pa55w0rd@gateway.example", "http://ann:pa55w0rd#@host"]


@pytest.mark.parametrize("base_url", [*PASSWORDS, "https://gateway.example/v1?api_key=pa55w0rd"])
def test_a_password_in_a_base_url_is_refused_where_the_model_is_made(provider, base_url):
    """security-56-a-password-in-the-base-url"""
    with pytest.raises(GraphError, match=r"base_url .*(user|password|key).*api_key_env") as caught:
        Model(NAMES[provider], base_url=base_url)
    assert "pa55w0rd" not in str(caught.value)


def test_a_password_in_a_dag_file_is_refused(tmp_path):
    """security-56-a-password-in-the-base-url"""
    path = tmp_path / "dag.yaml"
    model = {"spec": "openai:x", "base_url": PASSWORDS[0]}
    path.write_text(json.dumps({"name": "x", "model": model, "dimensions": {"a": {"prompt": "{{ item.content }}"}}}))
    with pytest.raises(GraphError, match="base_url") as caught:
        load_dag(path)
    assert "pa55w0rd" not in str(caught.value)


def test_a_password_in_the_variable_of_the_address_is_refused_before_a_call(monkeypatch, provider, caplog):
    """security-56-a-password-in-the-base-url"""
    caplog.set_level("DEBUG")
    variable = URLS.get(provider, "OPENAI_BASE_URL")
    monkeypatch.setenv(variable, PASSWORDS[0])
    report = run(NAMES[provider])
    [failure] = report.failures
    assert failure.error_class == "bad_request"
    assert variable in failure.message
    assert "pa55w0rd" not in repr(report.failures) + repr(report.items) + caplog.text


def test_an_address_without_a_scheme_is_refused_before_a_call(provider):
    [failure] = run(Model(NAMES[provider], base_url="localhost:11434/v1")).failures
    assert "'http://'" in failure.message
    assert not any(attempt.sent for attempt in failure.attempts)


def test_headers_and_query_of_a_model_go_with_every_request(simulator, provider):
    asked = usual(simulator, provider, headers={"X-Team": "qa"}, query={"api-version": "7", "trace": "a b"})
    assert run(pickle.loads(pickle.dumps(asked)), 2).failures == []
    assert [request.headers["x-team"] for request in simulator.requests] == ["qa", "qa"]
    assert {request.path.partition("?")[2].replace("%20", "+") for request in simulator.requests} == {
        "api-version=7&trace=a+b"
    }


@pytest.mark.parametrize("changed", [{"headers": {"X-Team": "qb"}}, {"query": {"v": "2"}}])
def test_headers_and_query_can_change_an_answer_and_so_are_in_its_key(simulator, tmp_path, changed):
    source = [{"id": "a", "content": "It arrived late."}]
    for options in ({}, changed, {}, changed):
        dag = Dag("case", model=usual(simulator, "openai-chat", **options))
        dag.dimension(lambda item: item.content, name="said")
        dag.run(source, store=tmp_path / "answers.sqlite")
    assert len(simulator.requests) == 2


def test_a_dag_file_knows_headers_and_query(tmp_path, simulator):
    path = tmp_path / "dag.yaml"
    model = {"spec": "openai:x", "base_url": simulator.base_url("openai"), "headers": {"x-a": "1"}, "query": {"b": "2"}}
    path.write_text(json.dumps({"name": "x", "model": model, "dimensions": {"a": {"prompt": "{{ item.content }}"}}}))
    assert load_dag(path).run(["hello"], store=False).failures == []
    assert (simulator.requests[0].headers["x-a"], simulator.requests[0].path.partition("?")[2]) == ("1", "b=2")
