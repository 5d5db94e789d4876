"""The kind `store`: the answer store, its ledger, and what a second start finds there."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from pydantic import BaseModel

from beam_llmdag import Dag, LLMDag, Model, Price, StrictModeError, Usage
from beam_llmdag.beam.io.results import WriteResults
from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.calls.store.ledger import read_totals, why_asked
from beam_llmdag.cli import main
from beam_llmdag.model import Answer
from beam_llmdag.testing import Reply, ScriptedProvider, Simulator

GOOD = {"label": "a"}
BAD = Reply(text="not json", usage=Usage(input_tokens=30, output_tokens=10))
CUT = Reply(text='{"label": "a', stop="length", usage=Usage(input_tokens=30, output_tokens=10))
ANSWER = Reply(text=GOOD, usage=Usage(input_tokens=40, output_tokens=5))
OVERLOADED = Reply(status=529)
NAMES = {
    "anthropic": "anthropic:claude-haiku-4-5",
    "openai-responses": "openai-responses:gpt-5-mini",
    "openai-chat": "openai-chat:gpt-5-mini",
    "google": "google:gemini-2.5-flash",
}


class Label(BaseModel):
    label: Literal["a", "b"]


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "sk-test-0123456789")


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest, simulator: Simulator) -> Model:
    """A model of each API, answered by the simulator."""
    name = str(request.param)
    return Model(NAMES[name], base_url=simulator.base_url(name.partition("-")[0]), timeout_seconds=60.0)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store" / "answers.sqlite"


def make_dag(model: Model | str, prompt: str = "Analyse", **options: Any) -> Dag:
    """A dag of one dimension; a million tokens cost 1 dollar in, 4 out."""
    chain = model.chain() if isinstance(model, Model) else ()
    prices = {each.spec: Price(input=1, output=4) for each in chain}
    dag = Dag("case", model=model, prices=prices, **options)
    dag.dimension(lambda item: f"{prompt}: {item.content}", name="analyze", output=Label)
    return dag


def scripted_dag(script: Any, **known: Any) -> tuple[Dag, ScriptedProvider]:
    provider = ScriptedProvider(script, **known)
    return make_dag(Model("scripted:a", attempts=1), providers={"scripted": lambda _: provider}), provider


def start(dag: Dag, folder: Path, store: Path, run_id: str, count: int = 1) -> dict[str, Any]:
    """Starts a run: its results by item, and the lines of its bill."""
    items = [{"id": f"k{number}", "content": f"It arrived late, {number}."} for number in range(1, count + 1)]
    with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as pipeline:
        results = (
            pipeline
            | beam.Create(items)
            | LLMDag(dag, store=store, run_id=run_id, retry=RetryPolicy(first_seconds=0.0))
        )
        results | WriteResults(dag, str(folder))
    rows = {row["id"]: row["analyze"] for row in pq.read_table(folder / "items.parquet").to_pylist()}
    return {"rows": rows, "bill": pq.read_table(folder / "costs.parquet").to_pylist()}


def nano_usd(bill: list[dict[str, Any]]) -> int:
    return sum(line["cost_nano_usd"] for line in bill)


@pytest.mark.parametrize("first", [BAD, CUT], ids=["bad", "cut"])
def test_a_second_start_has_the_same_bill_with_its_bad_attempts(
    tmp_path: Path, store: Path, simulator: Simulator, model: Model, first: Reply
) -> None:
    """store-51-the-bill-of-a-second-start, and b"""
    simulator.script([first, ANSWER])
    dag = make_dag(model)
    runs = [start(dag, tmp_path / name, store, run_id) for name, run_id in (("1", "r7"), ("2", "r7"), ("3", "r8"))]
    assert simulator.request_count == 2
    assert [len(run["bill"]) for run in runs] == [2, 2, 0]
    assert [nano_usd(run["bill"]) for run in runs] == [130_000, 130_000, 0]
    assert [run["rows"]["k1"]["store_hit"] for run in runs] == [False, True, True]
    assert (tmp_path / "1" / "costs.parquet").read_bytes() == (tmp_path / "2" / "costs.parquet").read_bytes()
    assert runs[0]["rows"]["k1"]["attempts"] == runs[1]["rows"]["k1"]["attempts"]
    [total] = read_totals(store)
    assert (total.calls, total.cost_nano_usd) == (2, 130_000)


def test_the_attempts_of_a_model_that_was_fallen_back_from_are_on_the_second_bill(
    tmp_path: Path, store: Path, simulator: Simulator
) -> None:
    """store-51-the-bill-of-a-second-start: another model answered"""
    models = [
        Model(NAMES[name], base_url=simulator.base_url(name.partition("-")[0])) for name in ("google", "anthropic")
    ]
    simulator.script([BAD], model="gemini-2.5-flash")
    simulator.script([ANSWER], model="claude-haiku-4-5")
    dag = make_dag(Model(models[0].spec, base_url=models[0].base_url, attempts=2, fallbacks=[models[1]]))
    first, second = (start(dag, tmp_path / name, store, "r7")["bill"] for name in ("1", "2"))
    assert [line["model"] for line in first] == [NAMES["google"]] * 2 + [NAMES["anthropic"]]
    assert second == first
    assert simulator.request_count == 3


def test_what_a_failed_start_paid_is_on_the_bill_of_the_next(
    tmp_path: Path, store: Path, simulator: Simulator, model: Model
) -> None:
    """store-51-the-bill-of-a-second-start: no attempt of the first start was good"""
    simulator.script([BAD, BAD, ANSWER])
    dag = make_dag(Model(model.spec, base_url=model.base_url, attempts=2))
    first, second = (start(dag, tmp_path / name, store, "r7") for name in ("1", "2"))
    assert (first["rows"]["k1"]["status"], second["rows"]["k1"]["status"]) == ("failed", "ok")
    assert [line["error_class"] for line in second["bill"]] == ["invalid_answer"] * 2 + [None]
    assert nano_usd(second["bill"]) == sum(total.cost_nano_usd for total in read_totals(store))


KILLED = """
import os
import sys

from beam_llmdag import Dag, Model

dag = Dag("killed", model=Model(sys.argv[2], base_url=os.environ["SIMULATOR"], max_in_flight=5))
dag.dimension(lambda item: f"Analyse: {item.id}", name="analyze", output={"enum": ["a"]})
dag.run([{"id": f"k{number}", "content": "x"} for number in range(1, 6)], store=sys.argv[1])
"""


def test_a_killed_process_leaves_its_calls_in_flight_in_the_ledger(
    tmp_path: Path, store: Path, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """store-52-calls-in-flight-at-a-kill"""
    model = Model(NAMES["openai-chat"], base_url=simulator.base_url("openai"))
    hang = Reply(hang=True)
    simulator.script([BAD, hang], when=lambda request: "k1" in str(request.body))
    simulator.script([hang])
    script = tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    environment = {**os.environ, "SIMULATOR": str(model.base_url), "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, str(script), str(store), model.spec], env=environment)
    try:
        _wait_for(lambda: simulator.request_count == 6 and _in_flight(store) == 5)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    [total] = read_totals(store)
    assert (total.calls, total.in_flight) == (1, 5)
    assert total.usage == Usage(input_tokens=30, output_tokens=10)
    main(["store", "stats", str(store)])
    assert "lower bound: that of 5 calls is unknown" in capsys.readouterr().out


def _wait_for(condition: Any) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def _in_flight(store: Path) -> int:
    return sum(total.in_flight for total in read_totals(store)) if store.exists() else 0


def test_a_run_that_is_started_again_after_a_kill_pays_for_what_was_in_flight_and_bills_what_was_paid(
    tmp_path: Path, store: Path, simulator: Simulator
) -> None:
    """store-52-calls-in-flight-at-a-kill, started again: its bill has the attempt that was paid before the kill"""
    model = Model(NAMES["openai-chat"], base_url=simulator.base_url("openai"))
    dag = make_dag(model)
    simulator.script([BAD, ANSWER])
    start(dag, tmp_path / "1", store, "r7")
    with sqlite3.connect(store) as connection:  # as if the process had been killed in its second try
        connection.execute("DELETE FROM calls WHERE answer IS NOT NULL")
    again = start(dag, tmp_path / "2", store, "r7")
    assert [line["error_class"] for line in again["bill"]] == ["invalid_answer", None]
    assert again["rows"]["k1"]["status"] == "ok"


def test_calls_that_have_ended_or_were_cancelled_are_not_in_flight(store: Path) -> None:
    """store-52-calls-in-flight-at-a-kill: a run that ends leaves none, whatever came of its calls"""
    dag, _ = scripted_dag(["not json", GOOD])
    with pytest.raises(StrictModeError):
        dag.run(["one", "two"], store=store, strict=True)
    assert [total.in_flight for total in read_totals(store)] == [0]


DAMAGES = {
    "text for a number": "cost_nano_usd = 'x'",
    "a number below zero": "input_tokens = -5",
    "a broken number": "output_tokens = 1.5",
    "bytes for an answer": "answer = x'ff80'",
    "no UTF-8 in an answer": "answer = CAST(x'ff80' AS TEXT)",
    "no UTF-8 in a model": "model = CAST(x'ff80' AS TEXT)",
    "a model that is none": "model = 7",
    "no UTF-8 in a name": "run_id = CAST(x'ff80' AS TEXT)",
    "an owner of bytes": "owner = x'ff80'",
    "an error that there is not": "error_class = 'odd'",
    "an answer that does not fit": "answer = '{'",
    "an answer of another class": "answer = '[1]'",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_row_that_cannot_be_read_is_asked_again_and_replaced(
    store: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """store-53-a-row-that-cannot-be-read"""
    dag, provider = scripted_dag([GOOD])
    items = [{"id": f"k{number}", "content": f"text {number}"} for number in range(10)]
    dag.run(items, store=store)
    with sqlite3.connect(store) as connection:
        connection.execute(f"UPDATE calls SET {DAMAGES[damage]} WHERE subject = 'k4'")
    with caplog.at_level(logging.WARNING, "beam_llmdag"):
        reports = [dag.run(items, store=store) for _ in range(2)]
    assert len(provider.requests) == 11
    assert [row.results["analyze"].status for report in reports for row in report.items] == ["ok"] * 20
    assert [report.summary.total.store_hits for report in reports] == [9, 10]
    warned = [record.getMessage() for record in caplog.records if "cannot be read" in record.getMessage()]
    assert len(warned) == (0 if damage.startswith("an answer") else 1)
    assert all(str(store) in message for message in warned)
    assert read_totals(store)


def test_identical_requests_of_a_process_share_a_bad_reply_and_it_is_not_kept(store: Path) -> None:
    """store-54-identical-calls, b"""
    dag, provider = scripted_dag(["not json", GOOD], latency_seconds=0.3)
    items = [{"id": f"k{number}", "content": "the same"} for number in range(12)]
    first, second = (dag.run(items, store=store) for _ in range(2))
    assert (first.summary.total.failed, len(first.costs)) == (12, 1)
    assert (second.summary.total.failed, len(provider.requests)) == (0, 2)


@pytest.fixture(params=[0o022, 0o000, 0o077], ids=oct)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("_umask")
def test_what_the_library_makes_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """security-55-who-may-read-the-store"""
    path = tmp_path / "new" / "deep" / "a.sqlite"
    monkeypatch.setenv("LLMDAG_STORE", str(path))
    modes = {}

    def answer(request: Any) -> Any:
        modes.update({file.name: mode(file) for file in path.parent.iterdir()})
        return GOOD

    dag, _ = scripted_dag(answer)
    dag.run(["x", "y"])
    assert modes == {"a.sqlite": 0o600, "a.sqlite-wal": 0o600, "a.sqlite-shm": 0o600}
    assert [mode(folder) for folder in (path.parent, path.parent.parent)] == [0o700, 0o700]
    assert mode(path) == 0o600


@pytest.mark.parametrize("made", [b"", None], ids=["empty", "a store"])
def test_a_file_that_was_there_keeps_its_mode(tmp_path: Path, made: bytes | None) -> None:
    """security-55-who-may-read-the-store, b"""
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o755)
    path = folder / "a.sqlite"
    dag, _ = scripted_dag([GOOD])
    if made is None:
        dag.run(["x"], store=path)
    else:
        path.write_bytes(made)
    path.chmod(0o640)
    dag.run(["y"], store=path)
    assert (mode(path), mode(folder)) == (0o640, 0o755)


@pytest.mark.parametrize("link", ["folder/answers.sqlite", "folder"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, link: str) -> None:
    """security-55-who-may-read-the-store, c"""
    target = tmp_path / "elsewhere"
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(target)
    dag, provider = scripted_dag([GOOD])
    with pytest.raises(Exception, match=f"{link} is a link to {target}, which is not there"):
        dag.run(["x"], store=tmp_path / "folder" / "answers.sqlite")
    assert not target.exists()
    assert provider.requests == []


def test_a_link_to_a_store_is_followed(tmp_path: Path) -> None:
    """security-55-who-may-read-the-store: only a link that leads nowhere is refused"""
    dag, provider = scripted_dag([GOOD])
    dag.run(["x"], store=tmp_path / "real.sqlite")
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "real.sqlite")
    dag.run(["x"], store=tmp_path / "link.sqlite")
    assert len(provider.requests) == 1


def test_a_file_of_a_newer_version_is_left_alone(store: Path) -> None:
    dag, _ = scripted_dag([GOOD])
    dag.run(["x"], store=store)
    with sqlite3.connect(store) as connection:
        connection.execute("PRAGMA user_version = 99")
    for use in (lambda: dag.run(["x"], store=store), lambda: read_totals(store)):
        with pytest.raises(Exception, match="layout 99, made by a newer version"):
            use()


CHANGED = {
    "the prompt": ({"prompt": "Analyze"}, "messages"),
    "the system text": ({"system": "Be kind."}, "system text"),
    "the temperature": ({"temperature": 0.5}, "parameters"),
    "the model": ({"spec": "scripted:b"}, "model (scripted:a, then scripted:b)"),
    "the server": ({"base_url": "http://127.0.0.1:9"}, "server"),
}


@pytest.mark.parametrize("changed", CHANGED)
def test_the_store_says_why_something_was_asked_again(
    store: Path, capsys: pytest.CaptureFixture[str], changed: str
) -> None:
    options, told = CHANGED[changed]
    provider = ScriptedProvider([GOOD])
    for change in ({}, options):
        known = {"spec": "scripted:a", "prompt": "Analyse", **change}
        prompt, spec = known.pop("prompt"), known.pop("spec")
        dag = make_dag(Model(spec, **known), prompt, providers={"scripted": lambda _: provider})
        dag.run([{"id": "r1", "content": "late"}], store=store)
    assert len(provider.requests) == 2
    assert main(["store", "why", "analyze", "r1", str(store)]) == 0
    assert capsys.readouterr().out.endswith(f"what differs: {told}\n")


def test_the_nearest_answer_is_the_one_that_differs_least(store: Path) -> None:
    provider = ScriptedProvider([GOOD])
    for spec, prompt in (("scripted:a", "One"), ("scripted:b", "Two"), ("scripted:a", "Three")):
        dag = make_dag(Model(spec), prompt, providers={"scripted": lambda _: provider})
        dag.run([{"id": "r1", "content": "late"}], store=store)
    assert why_asked(store, "analyze", "r1").endswith("what differs: messages")


def test_the_store_says_so_where_there_is_nothing_to_compare(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dag, _ = scripted_dag([GOOD])
    dag.run([{"id": "r1", "content": "late"}], store=store)
    assert why_asked(store, "analyze", "r1").endswith("no other answer is kept")
    assert main(["store", "why", "analyze", "r2", str(store)]) == 1
    assert "item 'r2'" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["beam_llmdag", "beam_llmdag.cli"])
def test_the_command_says_the_same_as_a_module(store: Path, capsys: pytest.CaptureFixture[str], module: str) -> None:
    """store-52-calls-in-flight-at-a-kill, also: never nothing and exit 0"""
    known = Usage(input_tokens=9000, output_tokens=20, cache_write_tokens=800, cache_write_1h_tokens=700)
    dag, _ = scripted_dag([Answer(text='{"label": "a"}', usage=known)])
    dag.run(["x"], store=store)
    main(["store", "stats", str(store)])
    printed = capsys.readouterr().out
    head, line, *_ = printed.splitlines()
    told = dict(zip(head.replace("cost $", "cost").split(), line.split(), strict=True))
    assert (told["input"], told["cache_write_1h"], told["calls"], told["in_flight"]) == ("9,000", "700", "1", "0")
    command = [sys.executable, "-m", module, "store", "stats", str(store)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == printed
