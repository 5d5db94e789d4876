"""Keys from Secret Manager: Google's client library, a server on this machine, real providers."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from helpers.secret_server import SecretServer

from beam_llmdag import Dag, Model
from beam_llmdag.errors import CallError
from beam_llmdag.providers.http.secret_manager import SECRETS, Secrets
from beam_llmdag.testing import Reply, Simulator

VERSION = "projects/shop/secrets/anthropic/versions/latest"
VALUE = "sk-ant-of-the-secret-manager"
NO_ROUTE = (grpc.StatusCode.UNAVAILABLE, "no route")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretServer]:
    """A server with one secret; this process' secrets come from there and are forgotten afterwards."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with SecretServer({VERSION: f"{VALUE}\n".encode()}) as server:
        monkeypatch.setattr(SECRETS, "_connect", server.connect)
        monkeypatch.setattr(SECRETS, "_values", {})
        yield server


def reviews(simulator: Simulator, **options: Any) -> Dag:
    """A dag of one dimension at the simulator, with the key in Secret Manager."""
    url = simulator.base_url("anthropic")
    model = Model("anthropic:claude-haiku-4-5", base_url=url, **{"api_key_env": VERSION, "attempts": 1, **options})
    dag = Dag("reviews", model=model)
    dag.dimension(lambda item: item.content, name="summary")
    return dag


def refusal(secrets: Any, version: str = VERSION) -> CallError:
    with SecretServer(secrets) as server, pytest.raises(CallError) as caught:
        Secrets(server.connect).read(version)
    return caught.value


def test_the_key_that_is_sent_is_the_secret_without_its_line_end(server: SecretServer, simulator: Simulator) -> None:
    report = reviews(simulator).run(["a kettle"], store=False)
    assert report.items[0].results["summary"].status == "ok"
    assert simulator.requests[0].headers["authorization"] == f"Bearer {VALUE}"


def test_a_hundred_calls_at_once_read_the_secret_once(server: SecretServer, simulator: Simulator) -> None:
    report = reviews(simulator).run([f"kettle {number}" for number in range(100)], store=False)
    assert {row.results["summary"].status for row in report.items} == {"ok"}
    assert server.asked == [VERSION]


def test_another_run_of_the_process_does_not_read_it_again(server: SecretServer, simulator: Simulator) -> None:
    for _ in range(2):
        reviews(simulator).run(["a kettle"], store=False)
    assert server.asked == [VERSION]


def test_a_secret_that_may_not_be_read_fails_as_auth_and_names_it(server: SecretServer, simulator: Simulator) -> None:
    words = "Permission 'secretmanager.versions.access' denied"
    server.secrets[VERSION] = (grpc.StatusCode.PERMISSION_DENIED, words)
    [failure] = reviews(simulator).run(["a kettle"], store=False).failures
    assert failure.error_class == "auth"
    assert failure.message.endswith(f"no key from Secret Manager, {VERSION}: PermissionDenied: 403 {words}")
    assert simulator.requests == []


def test_the_fallback_is_asked_when_there_is_no_such_secret(
    server: SecretServer, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    other = Model("openai:gpt-5-mini", base_url=simulator.base_url("openai"))
    missing = VERSION.replace("anthropic", "typo")
    report = reviews(simulator, api_key_env=missing, fallbacks=[other]).run(["a kettle"], store=False)
    assert report.items[0].results["summary"].model == "openai:gpt-5-mini"


def test_a_read_that_failed_for_the_moment_is_tried_again(server: SecretServer, simulator: Simulator) -> None:
    server.secrets[VERSION] = NO_ROUTE

    def recovering() -> Any:
        client = server.connect()
        if server.asked:
            server.secrets[VERSION] = VALUE.encode()
        return client

    SECRETS._connect = recovering  # undone by the fixture
    report = reviews(simulator, attempts=3).run(["a kettle"], store=False)
    assert report.items[0].results["summary"].status == "ok"
    assert server.asked == [VERSION] * 2


def test_a_vendor_that_echoes_the_secret_does_not_get_it_into_results_or_logs(
    server: SecretServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Simulator(lambda request: Reply(status=401, message=f"bad key {VALUE}")) as simulator:
        [failure] = reviews(simulator).run(["a kettle"], store=False).failures
    assert failure.message.endswith(f"bad key [key] (authentication_error); check the key in {VERSION}")
    assert VALUE not in repr(failure) + caplog.text


def test_google_s_client_does_not_log_what_it_reads(server: SecretServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert Secrets(server.connect).read(VERSION) == VALUE
    told = repr([vars(record) for record in caplog.records])  # its client logs whole responses beside the message
    assert base64.b64encode(f"{VALUE}\n".encode()).decode() not in told
    assert VALUE not in told


@pytest.mark.parametrize(
    ("payload", "error_class", "told"),
    [
        ((grpc.StatusCode.NOT_FOUND, "not found"), "auth", "NotFound: 404 not found"),
        (
            (grpc.StatusCode.FAILED_PRECONDITION, "is in DISABLED state"),
            "auth",
            "FailedPrecondition: 400 is in DIS",
        ),
        (NO_ROUTE, "connection", "ServiceUnavailable: 503 no route"),
        ((grpc.StatusCode.RESOURCE_EXHAUSTED, "quota"), "connection", "ResourceExhausted: 429 quota"),
        (b" \n", "auth", "it is empty"),
        ("schlüssel".encode(), "auth", "it is no ASCII text, as keys are"),
    ],
)
def test_a_secret_that_is_no_key_is_an_error_of_its_kind(payload: Any, error_class: str, told: str) -> None:
    error = refusal({VERSION: payload})
    assert (error.error_class, error.sent) == (error_class, False)
    assert error.message.startswith(f"no key from Secret Manager, {VERSION}: {told}")


def test_a_worker_without_credentials_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    def no_credentials(*_: Any, **__: Any) -> Any:
        raise DefaultCredentialsError("Your default credentials were not found.")

    monkeypatch.setattr(google.auth, "default", no_credentials)  # it would look for a metadata server in the network
    with pytest.raises(CallError, match="DefaultCredentialsError: Your default credentials were not found") as caught:
        Secrets().read(VERSION)
    assert caught.value.error_class == "auth"


def test_a_call_that_is_given_up_does_not_take_the_secret_from_the_others(
    server: SecretServer, simulator: Simulator
) -> None:
    from beam_llmdag.model import Message, Request
    from beam_llmdag.providers.anthropic import AnthropicProvider

    model = Model("anthropic:claude-haiku-4-5", base_url=simulator.base_url("anthropic"), api_key_env=VERSION)
    request = Request(model=model, messages=(Message("user", "?"),))

    async def asked() -> str:
        provider = AnthropicProvider(model)
        first, second = (asyncio.create_task(provider.answer(request)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        answer = await second
        await provider.aclose()
        return answer.stop

    assert asyncio.run(asked()) == "end"
    assert server.asked == [VERSION]
    assert SECRETS.known(VERSION) == VALUE
