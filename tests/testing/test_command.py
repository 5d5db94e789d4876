"""The simulator as a command, its pytest fixture, and what importing it costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.metadata import entry_points

import pytest

from beam_llmdag.testing.__main__ import main

pytestmark = pytest.mark.processes

COMMAND = [sys.executable, "-m", "beam_llmdag.testing"]


def start(*options: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """The running command, and the addresses that it printed."""
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline().strip().partition("=") for _ in range(3)]
    return process, {name: value for name, _, value in lines}


def ask(url: str, prompt: str) -> dict[str, object]:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": prompt}]}
    with urllib.request.urlopen(f"{url}/v1/messages", json.dumps(body).encode(), timeout=60) as answer:
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_urls_and_runs_until_it_is_stopped(number):
    process, urls = start("--port", "0")
    assert list(urls) == ["ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"]
    assert urls["OPENAI_BASE_URL"] == urls["ANTHROPIC_BASE_URL"] + "/v1"
    ask(urls["ANTHROPIC_BASE_URL"], "hi")
    process.send_signal(number)
    assert process.communicate(timeout=60)[0] == "1 requests, answers by status: {200: 1}\n"
    assert process.returncode == 0


def test_the_command_answers_from_a_gold_file_and_writes_a_log(tmp_path):
    gold, log = tmp_path / "gold.jsonl", tmp_path / "log.jsonl"
    gold.write_text('{"when": ["late"], "answer": {"label": "negative"}}\n')
    process, urls = start("--answers", str(gold), "--log", str(log), "--latency-ms", "5")
    answer = ask(urls["ANTHROPIC_BASE_URL"], "It arrived late.")
    assert answer["content"] == [{"type": "text", "text": '{"label": "negative"}'}]
    assert [json.loads(line)["prompt"] for line in log.read_text().splitlines()] == ["It arrived late."]
    process.kill()
    process.communicate()


def test_a_killed_command_leaves_whole_lines_in_its_log(tmp_path):
    log = tmp_path / "log.jsonl"
    process, urls = start("--log", str(log))
    for number in range(5):
        ask(urls["ANTHROPIC_BASE_URL"], f"p{number}")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [json.loads(line)["prompt"] for line in log.read_text().splitlines()] == ["p0", "p1", "p2", "p3", "p4"]


def test_the_command_takes_limits_latency_tails_and_faults():
    process, urls = start(
        "--latency-ms=1", "--p99-ms=9", "--tail=0.01:0.05", "--fault=server_error=1", "--requests-per-minute=1"
    )
    for status in (500, 429):
        with pytest.raises(urllib.error.HTTPError) as info:
            ask(urls["ANTHROPIC_BASE_URL"], "hi")
        assert info.value.code == status
        assert info.value.headers["anthropic-ratelimit-requests-limit"] == "1"
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fault", "gremlin=1"], "--fault is NAME=SHARE with a name of rate_limited,"),
        (["--fault", "reset=0.6", "--fault", "hang=0.6"], "more than 1"),
        (["--tail", "3"], "--tail is SHARE:SECONDS"),
        (["--answers", "/nowhere/gold.jsonl"], "No such file"),
        (["--requests-per-minute", "0"], "requests must be positive"),
    ],
)
def test_a_wrong_option_ends_the_command_with_a_message(options, message, capsys):
    with pytest.raises(SystemExit) as info:
        main(options)
    assert info.value.code == 2
    assert message in capsys.readouterr().err


def test_the_fixture_is_a_fresh_simulator_for_each_test(tmp_path):
    test = tmp_path / "test_it.py"
    test.write_text(
        "seen = []\n"
        "def test_one(simulator):\n"
        "    simulator.script(['hi'])\n"
        "    seen.append(simulator.url)\n"
        "def test_two(simulator):\n"
        "    assert simulator.requests == [] and simulator._service.scripts == []\n"
        "    seen.append(simulator.url)\n"
    )
    installed = any(entry.value == "beam_llmdag.testing.pytest_plugin" for entry in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "beam_llmdag.testing.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, str(test)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_importing_it_imports_neither_beam_nor_an_sdk():
    code = (
        "import sys, beam_llmdag.testing, beam_llmdag.testing.pytest_plugin\n"
        "print([m for m in ('apache_beam', 'anthropic', 'openai', 'google.genai', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
