"""The simulator as a server: its life, its log, scripts, latency."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time

import pytest

from beam_llmdag.testing import FakeClock, Reply, Simulator, constant, lognormal, with_tail


def until(condition, seconds: float = 5.0) -> bool:
    """Waits for what the server's thread is about to do."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(condition())


def test_it_listens_on_the_loopback_interface_only():
    with Simulator() as sim:
        assert sim.url.startswith("http://127.0.0.1:")
        addresses = [sock.getsockname()[0] for sock in sim._server.sockets]
    assert addresses == ["127.0.0.1"]


def test_the_base_urls_are_what_the_sdks_want():
    with Simulator() as sim:
        assert sim.base_url("anthropic") == sim.base_url("google") == sim.url
        assert sim.base_url("openai") == sim.base_url("openai-chat") == sim.url + "/v1"
        with pytest.raises(ValueError, match="no provider 'acme': there are anthropic, openai"):
            sim.base_url("acme")


def test_its_url_is_known_while_it_runs_only():
    with pytest.raises(RuntimeError, match="does not run"):
        _ = Simulator().url


def test_a_port_in_use_is_an_error_and_leaves_nothing_behind():
    with Simulator() as sim:
        port = int(sim.url.rpartition(":")[2])
        other = Simulator(port=port)
        with pytest.raises(OSError, match="in use"):
            other.start()
        with pytest.raises(RuntimeError, match="does not run"):
            _ = other.url


def test_it_can_be_started_again_and_keeps_its_port(raw):
    sim = Simulator(lambda request: "hi")
    with sim:
        url = sim.url
    with sim:
        assert sim.url == url
        assert raw.ask(sim).text == "hi"


def test_stopping_hangs_up_on_those_who_wait(raw):
    sim = Simulator(lambda request: Reply(hang=True))
    sim.start()

    async def wait_and_stop():
        call = asyncio.create_task(raw.ask_async(sim, "anthropic"))
        await asyncio.to_thread(until, lambda: sim.in_flight == 1)
        await asyncio.to_thread(sim.stop)
        return await asyncio.gather(call, return_exceptions=True)

    (error,) = asyncio.run(wait_and_stop())
    assert isinstance(error, OSError)
    (seen,) = sim.requests
    assert (seen.status, seen.closed_by_client_at, sim.in_flight) == (None, None, 0)
    assert seen.finished_at is not None


def test_an_unknown_path_is_not_found(raw):
    with Simulator() as sim:
        got = asyncio.run(raw.post(sim, "/v1/embeddings", {}))
        assert got.status == 404
        assert "/v1/embeddings" in got.json["error"]["message"]
        assert sim.requests == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "model"),
        (b'{"model": "m", "messages": 7}', "not valid"),
        (b'{"model": "m", "stream": true}', "does not stream"),
    ],
)
def test_a_body_that_no_api_would_take_is_a_bad_request(raw, body, message):
    with Simulator() as sim:
        got = asyncio.run(raw.post(sim, "/v1/messages", body))
    assert (got.status, got.json["error"]["type"]) == (400, "invalid_request_error")
    assert message in got.json["error"]["message"]


def test_a_request_says_what_was_asked(raw, protocol, label_schema):
    with Simulator() as sim:
        raw.ask(sim, protocol, "who?", model="m-7", system="be kind", schema=label_schema)
        (seen,) = sim.requests
    assert (seen.protocol, seen.model, seen.system, seen.prompt) == (protocol, "m-7", "be kind", "who?")
    assert seen.text == "be kind\nwho?"
    assert seen.schema == label_schema
    assert json.loads(seen.raw) == seen.body
    assert seen.headers["content-type"].startswith("text/plain")
    assert seen.status == 200
    assert seen.received_at <= seen.finished_at


def test_text_parts_are_read_and_images_left_out(raw):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    content = [{"type": "text", "text": "one"}, image, {"type": "text", "text": "two"}]
    body = {"model": "m", "messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "{"}]}
    with Simulator() as sim:
        asyncio.run(raw.post(sim, "/v1/messages", body))
        assert sim.requests[0].messages == (("user", "one\ntwo"), ("assistant", "{"))
        assert sim.requests[0].prompt == "one\ntwo"


def test_equal_requests_are_counted_and_their_ids_are_the_same_in_every_run(raw):
    def ids() -> list[str]:
        with Simulator() as sim:
            for prompt in ("a", "b", "a"):
                raw.ask(sim, prompt=prompt)
            assert [seen.repeat for seen in sim.requests] == [0, 0, 1]
            return [seen.request_id for seen in sim.requests]

    first = ids()
    assert len(set(first)) == 3
    assert ids() == first


def test_an_answer_function_may_depend_on_how_often_it_was_asked(raw):
    with Simulator(lambda request: "good" if request.repeat else Reply(status=529)) as sim:
        assert raw.ask(sim).status == 529
        assert raw.ask(sim).text == "good"


def test_an_answer_function_that_raises_is_a_bad_request_that_says_so(raw):
    def broken(request):
        raise KeyError("lost")

    with Simulator(broken) as sim:
        got = raw.ask(sim)
    assert got.status == 400
    assert "raised KeyError: 'lost'" in got.json["error"]["message"]


def test_an_answer_of_no_known_kind_is_a_bad_request_that_says_so(raw):
    with Simulator(lambda request: 7) as sim:
        assert "not int: 7" in raw.ask(sim).json["error"]["message"]


def test_an_answer_that_is_no_json_is_a_bad_request_that_says_so(raw, protocol):
    with Simulator(lambda request: {"when": {1, 2}}) as sim:
        got = raw.ask(sim, protocol)
        assert (got.status, sim.in_flight) == (400, 0)
    assert "set is not JSON serializable" in got.json["error"]["message"]


def test_equal_prompts_to_two_models_are_two_requests(raw, protocol):
    with Simulator() as sim:
        raw.ask(sim, protocol, model="m-1")
        raw.ask(sim, protocol, model="m-2")
        assert [seen.repeat for seen in sim.requests] == [0, 0]


def test_a_request_in_flight_stays_counted_over_a_reset(raw):
    with Simulator(lambda request: Reply(hang=True)) as sim:
        thread = threading.Thread(target=raw.ask_many, args=(sim, ["a"]), kwargs={"timeout_seconds": 1})
        thread.start()
        assert until(lambda: sim.in_flight == 1)
        sim.reset()
        assert (sim.in_flight, sim.peak_in_flight, sim.requests) == (1, 1, [])
        thread.join()
        assert until(lambda: sim.in_flight == 0)


def test_a_script_runs_in_order_and_repeats_its_last_reply(raw):
    with Simulator() as sim:
        sim.script([Reply(status=529), "first", {"label": "last"}])
        assert raw.ask(sim).status == 529
        assert [raw.ask(sim).text for _ in range(3)] == ["first", '{"label": "last"}', '{"label": "last"}']


def test_a_script_can_be_for_some_requests_only(raw):
    with Simulator(lambda request: "default") as sim:
        sim.script(["for b"], when=lambda request: "b" in request.prompt)
        sim.script(["for m-2"], model="m-2")
        sim.script(["for google"], protocol="google")
        assert raw.ask(sim, prompt="a").text == "default"
        assert raw.ask(sim, prompt="b").text == "for b"
        assert raw.ask(sim, prompt="a", model="m-2").text == "for m-2"
        assert raw.ask(sim, "google", "a").text == "for google"


def test_an_empty_script_is_an_error():
    with pytest.raises(ValueError, match="at least one reply"):
        Simulator().script([])


def test_json_and_body_are_sent_as_they_are(raw):
    page = Reply(body="<html>", headers={"Content-Type": "text/html", "X-Own": "1"}, status=502)
    with Simulator() as sim:
        sim.script([Reply(json={"id": "m1", "content": []}), page])
        assert raw.ask(sim).json == {"id": "m1", "content": []}
        got = raw.ask(sim)
    assert (got.status, got.body) == (502, b"<html>")
    assert (got.headers["content-type"], got.headers["x-own"]) == ("text/html", "1")


def test_reset_forgets_requests_scripts_and_repeats(raw):
    with Simulator(lambda request: "default") as sim:
        sim.script(["scripted"])
        raw.ask(sim)
        sim.reset()
        assert (sim.requests, sim.request_count, sim.peak_in_flight, sim.statuses) == ([], 0, 0, {})
        assert raw.ask(sim).text == "default"
        assert sim.requests[0].repeat == 0


def test_answers_are_counted_by_status(raw):
    with Simulator() as sim:
        sim.script([Reply(status=429), Reply(drop=True), Reply(status=429), "good"])
        raw.ask_many(sim, ["a"])
        raw.ask_many(sim, ["b"])
        raw.ask_many(sim, ["c"])
        raw.ask_many(sim, ["d"])
        assert sim.statuses == {429: 2, 200: 1}
        assert sim.request_count == 4


def test_requests_in_flight_are_counted_and_their_peak_is_kept(raw):
    with Simulator(latency=0.2) as sim:
        raw.ask_many(sim, [f"p{number}" for number in range(20)])
        assert sim.peak_in_flight == 20
        assert sim.in_flight == 0


def test_requests_need_not_be_kept(raw):
    with Simulator(keep_requests=False) as sim:
        raw.ask(sim)
        assert (sim.requests, sim.request_count) == ([], 1)


def test_a_client_that_gives_up_is_noted_and_its_answer_is_not(raw):
    with Simulator(latency=30) as sim:
        (error,) = raw.ask_many(sim, ["slow"], timeout_seconds=0.2)
        assert isinstance(error, TimeoutError)
        assert until(lambda: sim.in_flight == 0)
        (seen,) = sim.requests
    assert (seen.status, seen.finished_at, seen.usage) == (None, None, None)
    assert 0.15 < seen.closed_by_client_at - seen.received_at < 2


def test_the_log_file_has_a_line_per_request_that_ended(raw, tmp_path):
    path = tmp_path / "requests.jsonl"
    with Simulator(log_path=path) as sim:
        sim.script([Reply("hi", usage={"input_tokens": 1, "output_tokens": 2}), Reply(hang=True)])
        raw.ask(sim, prompt="one", model="m-1")
        raw.ask_many(sim, ["two"], timeout_seconds=0.2)
        assert until(lambda: sim.in_flight == 0)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [seen.request_id for seen in sim.requests] == [line["request_id"] for line in lines]
    assert [(line["prompt"], line["status"], line["usage"]) for line in lines] == [
        ("one", 200, {"input_tokens": 1, "output_tokens": 2}),
        ("two", None, None),
    ]
    assert [line["closed_by_client_at"] is not None for line in lines] == [False, True]
    assert (lines[0]["protocol"], lines[0]["model"]) == ("anthropic", "m-1")


def test_the_log_file_is_appended_to(raw, tmp_path):
    path = tmp_path / "requests.jsonl"
    for _ in range(2):
        with Simulator(log_path=path) as sim:
            raw.ask(sim)
    assert len(path.read_text().splitlines()) == 2


def test_latency_delays_answers(raw):
    with Simulator(latency=0.15) as sim:
        raw.ask(sim)
        (seen,) = sim.requests
    assert 0.14 < seen.finished_at - seen.received_at < 1


def test_a_reply_may_have_its_own_delay(raw):
    with Simulator(latency=30) as sim:
        sim.script([Reply("hi", delay_seconds=0)])
        assert raw.ask(sim, timeout_seconds=5).text == "hi"


def test_the_clock_of_the_log_can_be_injected(raw):
    with Simulator(clock=FakeClock(start=1000.0)) as sim:
        raw.ask(sim)
        assert (sim.requests[0].received_at, sim.requests[0].finished_at) == (1000.0, 1000.0)


def test_a_lognormal_latency_has_its_median_and_its_tail():
    latency = lognormal(0.2, 2.0)
    assert latency(0.5) == pytest.approx(0.2)
    assert latency(0.99) == pytest.approx(2.0)


def test_a_tail_is_taken_from_the_slow_end():
    latency = with_tail(constant(0.2), 0.02, 3.0)
    assert [latency(share) for share in (0.01, 0.97, 0.981, 0.999)] == [0.2, 0.2, 3.0, 3.0]


def test_a_tail_leaves_the_shape_of_the_rest():
    latency = with_tail(lognormal(0.2, 2.0), 0.1, 9.0)
    assert latency(0.45) == pytest.approx(0.2)


@pytest.mark.parametrize("numbers", [(0, 1), (2, 1)])
def test_a_lognormal_latency_that_makes_no_sense_is_an_error(numbers):
    with pytest.raises(ValueError, match="0 < median_seconds <= p99_seconds"):
        lognormal(*numbers)


def test_a_share_of_slow_answers_is_about_right_and_the_same_in_every_run(raw):
    def slow() -> list[str]:
        with Simulator(latency=with_tail(constant(0), 0.2, 0.25), seed=3) as sim:
            raw.ask_many(sim, [f"p{number}" for number in range(100)])
            return sorted(seen.prompt for seen in sim.requests if seen.finished_at - seen.received_at > 0.2)

    first = slow()
    assert 10 <= len(first) <= 30
    assert slow() == first


def test_http_keeps_a_connection_and_takes_chunks_and_pieces():
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
    chunked = b"POST /v1/messages HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
        len(body),
        body,
    )
    plain = b"POST /v1/messages HTTP/1.1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
    with Simulator() as sim:
        with socket.create_connection(("127.0.0.1", int(sim.url.rpartition(":")[2]))) as connection:
            for piece in (chunked[:20], chunked[20:90], chunked[90:] + plain[:30], plain[30:]):
                connection.sendall(piece)
                time.sleep(0.02)  # so that the pieces arrive as pieces
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        assert [seen.prompt for seen in sim.requests] == ["hi", "hi"]
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2


def test_what_is_no_http_is_answered_and_closed():
    with Simulator() as sim, socket.create_connection(("127.0.0.1", int(sim.url.rpartition(":")[2]))) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert b"".join(iter(lambda: connection.recv(65536), b"")).startswith(b"HTTP/1.1 400 Bad Request")
