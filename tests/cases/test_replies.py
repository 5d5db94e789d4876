"""What is read from a reply: bodies without end, odd bytes, keys that come back, and side fields that are nonsense."""

from __future__ import annotations

import gzip
import json
import logging
import socketserver
import threading
import tracemalloc
import zlib
from typing import Any, Literal

import pytest
from helpers.calls import LABEL, ask, make_caller, question
from helpers.replies import KEY, SPECS, body, model
from pydantic import BaseModel

from beam_llmdag.dag import Dag
from beam_llmdag.model import Model
from beam_llmdag.outputs.output import Output
from beam_llmdag.providers.http.body import LONGEST_BODY
from beam_llmdag.testing import Reply, Simulator

GOOD = {"label": "a"}
TEXT = Output(str)


class Answer(BaseModel):
    label: Literal["a", "b"]


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, KEY)


@pytest.fixture(params=SPECS)
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def asked(simulator: Simulator, api: str, output: Output = LABEL, **options: Any) -> Any:
    """The reply to one question."""
    [found] = ask(make_caller({}), question("It arrived late.", model=model(simulator, api, **options), output=output))
    return found


def packed(data: bytes, encoding: str = "gzip") -> Reply:
    return Reply(body=data, headers={"content-encoding": encoding})


BOMB = gzip.compress(b" " * 200_000_000, compresslevel=1)
ENDLESS_BODIES = {
    "packed": packed(BOMB),
    "packed with zlib": packed(zlib.compress(b" " * 200_000_000, 1), "deflate"),
    "plain": Reply(body=b" " * 60_000_000),
    "packed twice": packed(gzip.compress(BOMB), "gzip, gzip"),
    "an error": Reply(status=400, body=BOMB, headers={"content-encoding": "gzip"}),
}


@pytest.mark.parametrize("endless", ENDLESS_BODIES)
def test_a_body_is_given_up_where_it_is_longer_than_any_answer(simulator, api, endless):
    """security-54-bodies-without-end, a, b and d"""
    simulator.script([ENDLESS_BODIES[endless]], when=lambda request: "late" in request.prompt)
    beside = question("The other item.", model=model(simulator, api, attempts=1))
    simulator.script([Reply(GOOD, delay_seconds=0.3)])
    bad, good = ask(make_caller({}), question("late", model=model(simulator, api, attempts=1)), beside)
    assert bad.error.error_class == "connection"
    assert "limit" in bad.error.message
    assert good.data == GOOD


def test_no_more_than_the_limit_is_unpacked(simulator, api):
    """security-54-bodies-without-end: memory"""
    simulator.script([packed(BOMB)])
    tracemalloc.start()
    try:
        found = asked(simulator, api, attempts=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.error.error_class == "connection"
    assert peak < 100_000_000


class _Endless(socketserver.BaseRequestHandler):
    """Sends pieces of 1 MB until the client has had enough."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        try:
            while True:
                self.request.sendall(piece)
                self.server.sent += 1  # type: ignore[attr-defined]
        except OSError:
            self.server.left.set()  # type: ignore[attr-defined]


def test_a_body_that_never_ends_is_left_at_the_limit(api):
    """security-54-bodies-without-end, c"""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Endless) as server:
        server.daemon_threads = True
        server.sent, server.left = 0, threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked_of = Model(SPECS[api], base_url=f"http://127.0.0.1:{server.server_address[1]}", attempts=1)
        [found] = ask(make_caller({}), question("late", model=asked_of))
        assert (found.error.error_class, "limit of 16 MB" in found.error.message) == ("connection", True)
        assert server.left.wait(10)  # type: ignore[attr-defined]
        assert server.sent * 2**20 < 4 * LONGEST_BODY  # type: ignore[attr-defined]
        server.shutdown()


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
def test_an_ordinary_answer_of_four_megabytes_is_read(simulator, api, encoding):
    """security-54-bodies-without-end, e"""
    data = json.dumps(body(api, text="x" * 4_000_000)).encode()
    data = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)(data)
    simulator.script([packed(data, encoding)])
    assert len(asked(simulator, api, TEXT, attempts=1).data) == 4_000_000


@pytest.mark.parametrize(("encoding", "data"), [("gzip", b"no gzip"), ("gzip", BOMB[:200]), ("br", b"???")])
def test_a_body_that_cannot_be_unpacked_says_so(simulator, api, encoding, data):
    """security-54-bodies-without-end: damaged ones"""
    simulator.script([packed(data, encoding)])
    error = asked(simulator, api, attempts=1).error
    assert (error.error_class, "packed" in error.message) == ("connection", True)


def test_bytes_that_are_no_utf_8_cost_no_answer(simulator, api):
    """errors-52-errors-without-words, b"""
    simulator.script([Reply(body=json.dumps(body(api, text="caf_")).encode().replace(b"caf_", b"caf\xe9"))])
    found = asked(simulator, api, TEXT, attempts=4)
    assert (found.data, len(simulator.requests)) == ("caf\ufffd", 1)


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "cp037", "no-such-charset", '"'])
def test_a_charset_that_is_not_true_costs_no_answer(simulator, api, charset):
    """errors-60-good-answers-with-odd-side-fields, g"""
    data = json.dumps(body(api, text="café"), ensure_ascii=False)
    simulator.script([Reply(body=data, headers={"content-type": f"application/json; charset={charset}"})])
    found = asked(simulator, api, TEXT, attempts=4)
    assert (found.data, len(simulator.requests)) == ("café", 1)


@pytest.mark.parametrize("code", ["9" * 4_400, '"' + "9" * 4_400 + '"', "1e999", "NaN"])
@pytest.mark.parametrize("status", [400, 200])
def test_a_number_without_end_in_an_error_is_no_fault_of_ours(simulator, api, code, status):
    """errors-60-good-answers-with-odd-side-fields, h"""
    simulator.script([Reply(status=status, body=f'{{"error": {{"code": {code}, "message": "no"}}}}')])
    error = asked(simulator, api, attempts=1).error
    assert error.error_class == ("bad_request" if status == 400 else "overloaded")
    assert "no" in error.message
    assert "9" * 200 not in error.message


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


DISGUISES = {
    "as it is": KEY,
    "every character escaped": escaped(KEY),
    "the slash escaped": KEY.replace("/", "\\/"),
    "escaped as JSON in JSON": escaped(KEY).replace("\\", "\\\\"),
    "an escape of an escape": escaped(KEY).replace("\\", "\\u005c"),
    "in URL-encoding": KEY.replace("/", "%2F"),
    "in upper case": KEY.upper(),
}


def echoing(api: str, disguise: str, **odd: str) -> Reply:
    """A reply in which `<key>` stands as `disguise`."""
    data = json.dumps(body(api, **odd))
    return Reply(body=data.replace("<key>", disguise), headers={"request-id": "", "x-request-id": ""})


@pytest.mark.parametrize(
    ("disguise", "is_text"), [("every character escaped", False), ("an escape of an escape", True)]
)
def test_a_key_that_is_echoed_in_disguise_is_in_no_answer(simulator, api, disguise, is_text, caplog, tmp_path):
    """security-53-a-key-that-is-echoed-in-disguise, a and b"""
    caplog.set_level(logging.DEBUG)

    class Said(BaseModel):
        said: str

    text = "It is <key>." if is_text else '{"said": "It is <key>."}'
    simulator.script([echoing(api, DISGUISES[disguise], text=text, id="id-<key>", model="model-<key>")])
    dag = Dag("case", model=model(simulator, api, attempts=1))
    dag.dimension(lambda item: "?", output=str if is_text else Said, name="analyze")
    store = tmp_path / "answers.sqlite"
    for _ in range(2):  # the second time from the store
        report = dag.run([{"id": "r1", "content": "x"}], store=store, progress=False)
        [row] = report.items
        result = row.results["analyze"]
        assert result.status == "ok", result.message
        seen = repr((row, report.costs, report)) + caplog.text
        assert KEY.lower() not in seen.lower()
    assert KEY.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("api", ["openai-chat"])
def test_a_key_that_is_echoed_in_disguise_is_in_no_error(simulator, api, disguise):
    """security-53-a-key-that-is-echoed-in-disguise, c"""
    error = json.dumps({"error": {"message": "no <key>", "type": "<key>", "code": "<key>"}, "request_id": "<key>"})
    simulator.script(
        [Reply(status=400, body=error.replace("<key>", DISGUISES[disguise]), headers={"x-request-id": KEY})]
    )
    found = asked(simulator, api, attempts=1)
    assert found.error.error_class == "bad_request"
    assert KEY.lower() not in repr((found, found.error.message, found.error.request_id)).lower()


def choice(**of: Any) -> dict[str, Any]:
    return {**body("openai-chat"), "choices": [{"index": 0, **of}]}


def said_in(content: Any) -> dict[str, Any]:
    return choice(message={"role": "assistant", "content": content}, finish_reason="stop")


def response(**odd: Any) -> dict[str, Any]:
    return {**body("openai-responses"), **odd}


def incomplete(reason: str) -> dict[str, Any]:
    return response(status="incomplete", incomplete_details={"reason": reason}, output=None)


def said_by(content: Any, **of: Any) -> dict[str, Any]:
    return response(output=[{"type": "message", "role": "assistant", "content": content, **of}])


BLOCKED = {"promptFeedback": {"blockReason": "BLOCKLIST"}, "candidates": [{"index": 0}]}
ODD_SHAPES = {
    "a choice that was filtered, no message": ("openai-chat", choice(finish_reason="content_filter"), "refused"),
    "a choice that was filtered, null": (
        "openai-chat",
        choice(finish_reason="content_filter", message=None),
        "refused",
    ),
    "a part that refuses": ("openai-chat", said_in([{"type": "refusal", "refusal": "Never."}]), "refused"),
    "a choice that was cut, no message": ("openai-chat", choice(finish_reason="length"), "truncated"),
    "a choice that broke off": (
        "openai-chat",
        choice(message={"role": "assistant", "content": ""}, finish_reason="error"),
        "overloaded",
    ),
    "a filtered response without output": ("openai-responses", incomplete("content_filter"), "refused"),
    "a cut response without output": ("openai-responses", incomplete("max_output_tokens"), "truncated"),
    "a message that is incomplete": (
        "openai-responses",
        said_by([{"type": "output_text", "text": '{"label": "a"'}], status="incomplete"),
        "invalid_answer",
    ),
    "a blocked prompt with an empty candidate": ("google", {**body("google"), **BLOCKED}, "refused"),
    "texts in a list": ("openai-chat", said_in(['{"label": ', '"a"}']), None),
    "parts of the other API": ("openai-chat", said_in([{"type": "output_text", "text": '{"label": "a"}'}]), None),
    "a message's content as text": ("openai-responses", said_by('{"label": "a"}'), None),
    "parts of the first API": ("openai-responses", said_by([{"type": "text", "text": '{"label": "a"}'}]), None),
    "an error of nothing": ("openai-chat", {**body("openai-chat"), "error": {"code": None, "message": None}}, None),
}


@pytest.mark.parametrize(("api", "shape", "error_class"), ODD_SHAPES.values(), ids=ODD_SHAPES)
def test_what_is_meant_counts_whatever_its_shape(simulator, api, shape, error_class):
    """errors-57-filters-in-other-shapes, errors-60-good-answers-with-odd-side-fields"""
    simulator.script([Reply(json=shape)])
    found = asked(simulator, api, attempts=1)
    assert (found.error and found.error.error_class, found.data) == (error_class, None if error_class else GOOD)


def test_half_a_text_in_an_incomplete_message_is_no_answer(simulator):
    """errors-53-finish-reasons-nobody-knows: a status of its own for each message"""
    half = said_by([{"type": "output_text", "text": "The first half of"}], status="incomplete")
    simulator.script([Reply(json=half)])
    error = asked(simulator, "openai-responses", TEXT, attempts=1).error
    assert (error.error_class, "incomplete" in error.message) == ("invalid_answer", True)


class _ForeignHeader(socketserver.BaseRequestHandler):
    """A good answer under a header that is no ASCII."""

    def handle(self) -> None:
        self.request.recv(65536)
        data = json.dumps(body(self.server.api)).encode()  # type: ignore[attr-defined]
        head = f"HTTP/1.1 200 OK\r\nx-trace: é☃\r\ncontent-length: {len(data)}\r\nconnection: close\r\n\r\n"
        self.request.sendall(head.encode() + data)


def test_a_header_that_is_no_ascii_costs_no_answer(api):
    """errors-60-good-answers-with-odd-side-fields: in a header"""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _ForeignHeader) as server:
        server.daemon_threads = True
        server.api = api  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked_of = Model(SPECS[api], base_url=f"http://127.0.0.1:{server.server_address[1]}", attempts=1)
        [found] = ask(make_caller({}), question("late", model=asked_of))
        assert found.data == GOOD
        server.shutdown()
