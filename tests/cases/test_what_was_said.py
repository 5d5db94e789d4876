"""What was said is kept: answers that were not good, and prompts on request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest
from helpers.dags import walked
from pydantic import BaseModel

from beam_llmdag.beam.io.results import WriteResults
from beam_llmdag.dag import Dag
from beam_llmdag.errors import CallError
from beam_llmdag.model import Image, Message, Model
from beam_llmdag.records.files_of_records import OutputFormat
from beam_llmdag.records.item import Item
from beam_llmdag.testing import FakeClock, Reply, ScriptedProvider, Simulator

KEYS = {
    "OPENAI_API_KEY": "sk-test-0123456789abcdefSECRET",
    "ANTHROPIC_API_KEY": "sk-ant-test-0123456789SECRET",
    "GEMINI_API_KEY": "AIzaTEST0123456789SECRET",
}
MODELS = {
    "anthropic": "anthropic:claude-haiku-4-5",
    "openai-responses": "openai-responses:gpt-5-mini",
    "openai-chat": "openai-chat:gpt-5-mini",
    "google": "google:gemini-2.5-flash",
}
GOOD = {"label": "a"}


class Answer(BaseModel):
    label: Literal["a", "b"]


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, simulator: Simulator) -> Model:
    """A model of each API, answered by the simulator."""
    name = str(request.param)
    return Model(MODELS[name], base_url=simulator.base_url(name.partition("-")[0]), timeout_seconds=60.0)


def make_dag(model: Model | str, **options: Any) -> Dag:
    dag = Dag("case", model=model, **options)

    @dag.dimension(output=Answer)
    def analyze(item):
        return f"Analyse: {item.content}"

    return dag


def scripted_dag(script: Any) -> Dag:
    provider = ScriptedProvider(script)
    return make_dag("scripted:a", providers={"scripted": lambda _: provider})


def write(run: Any, dag: Dag, folder: Path, file_format: OutputFormat = "parquet") -> None:
    """Runs a dag that keeps prompts over one item, and writes what comes out."""

    def written(results: Any) -> Any:
        results | WriteResults(dag, str(folder), file_format=file_format)
        return results.items

    run(dag, [{"id": "r1", "content": "late"}], clock=FakeClock(), keep_prompts=True, then=written)


def result_of(dag: Dag) -> Any:
    return walked(dag, Item("r1", "It arrived late."))["r1"]["analyze"]


@pytest.mark.parametrize(
    ("reply", "error_class", "said"),
    [
        (Reply(text="I would say: a."), "invalid_answer", "I would say: a."),
        (Reply(text='{"label": "c"}'), "invalid_answer", '{"label": "c"}'),
        (Reply(text='{"label": "a', stop="length"), "truncated", '{"label": "a'),
        (Reply(text="I cannot help with that.", stop="refusal"), "refused", "I cannot help with that."),
        (Reply(text=""), "invalid_answer", ""),
    ],
    ids=["prose", "wrong label", "cut", "refused", "empty"],
)
def test_an_answer_that_was_not_good_is_kept_as_it_came(
    simulator: Simulator, model: Model, reply: Reply, error_class: str, said: str
) -> None:
    simulator.script([reply, GOOD])
    result = result_of(make_dag(model))
    first = result.attempts[0]
    assert (first.error_class, first.raw_answer) == (error_class, said)
    assert [attempt.raw_answer for attempt in result.attempts[1:]] == [None] * (len(result.attempts) - 1)


def test_a_call_that_brought_no_answer_has_none(simulator: Simulator, model: Model) -> None:
    simulator.script([Reply(status=400, message="no")])
    assert [attempt.raw_answer for attempt in result_of(make_dag(model)).attempts] == [None]


@pytest.mark.parametrize("padding", [0, 3990], ids=["whole", "where it is cut"])
def test_the_key_is_not_in_what_is_kept(simulator: Simulator, model: Model, padding: int) -> None:
    [key] = [key for name, key in KEYS.items() if name.startswith(_vendor(model).upper())]
    simulator.script([Reply(text=f"{'x' * padding} Your key is {key}, {key}.{'x' * padding}")])
    said = result_of(make_dag(model)).attempts[0].raw_answer
    assert [key[n : n + 8] for n in range(len(key) - 8) if key[n : n + 8] in said] == []


def _vendor(model: Model) -> str:
    return "gemini" if model.provider == "google" else model.provider.partition("-")[0]


def test_a_long_bad_answer_is_kept_with_both_ends() -> None:
    [attempt, *_] = result_of(scripted_dag(["begin" + "x" * 100_000 + "end"] * 4)).attempts
    assert (attempt.raw_answer[:5], attempt.raw_answer[-3:]) == ("begin", "end")
    assert len(attempt.raw_answer) == 4000


def test_a_lone_surrogate_in_a_bad_answer_breaks_no_file(run, tmp_path) -> None:
    write(run, scripted_dag(["not \ud83c json"] * 4), tmp_path)
    [failure] = pq.read_table(tmp_path / "failures.parquet").to_pylist()
    assert {attempt["raw_answer"] for attempt in failure["attempts"]} == {"not \ufffd json"}


def asked_about(prompt: Any, *, system: str | None = None, keep_prompts: bool = True, script: Any = (GOOD,)) -> Any:
    """The result of a dimension whose prompt function returns `prompt`."""
    provider = ScriptedProvider(list(script))
    dag = Dag("case", model=Model("scripted:a", system=system), providers={"scripted": lambda _: provider})
    dag.dimension(lambda item: prompt, name="analyze", output=Answer)
    report = dag.run([{"id": "r1", "content": "x"}], keep_prompts=keep_prompts, store=False, clock=FakeClock())
    return report.items[0].results["analyze"]


def test_a_prompt_is_kept_on_request_as_a_person_reads_it() -> None:
    talk = [Message("system", "Be brief."), "What is this?", Image(b"\x89PNG"), Message("assistant", "Draft."), "And?"]
    [attempt] = asked_about(talk, system="You judge.").attempts
    assert attempt.prompt == (
        "[system]\nYou judge.\n\nBe brief.\n\n[user]\nWhat is this?\n[image/png, 4 bytes]\n\n"
        "[assistant]\nDraft.\n\n[user]\nAnd?"
    )


def test_no_prompt_is_kept_unless_somebody_asks_for_it() -> None:
    assert [attempt.prompt for attempt in asked_about("What?", keep_prompts=False).attempts] == [None]


def test_the_prompt_of_a_second_try_holds_the_complaint() -> None:
    first, second = asked_about("What?", script=["not json", GOOD]).attempts
    assert first.prompt == "[user]\nWhat?"
    assert second.prompt.startswith("[user]\nWhat?\n\n[assistant]\nnot json\n\n[user]\nYour answer does not fit")


def test_a_prompt_is_kept_where_nobody_answered() -> None:
    result = asked_about("What?", script=[CallError("refused", "no", http_status=400)])
    assert [attempt.prompt for attempt in result.attempts] == ["[user]\nWhat?"]


def test_a_long_prompt_is_kept_with_both_ends() -> None:
    [attempt] = asked_about("begin" + "x" * 100_000 + "end").attempts
    assert (attempt.prompt[:12], attempt.prompt[-3:], len(attempt.prompt)) == ("[user]\nbegin", "end", 20_000)


@pytest.mark.parametrize("file_format", ["parquet", "jsonl"])
def test_the_file_of_failures_shows_what_was_asked_and_said(run, tmp_path, file_format: Any) -> None:
    write(run, scripted_dag(["not json"] * 4), tmp_path, file_format)
    path = tmp_path / f"failures.{file_format}"
    read = pq.read_table(path).to_pylist() if file_format == "parquet" else [json.loads(path.read_text("utf-8"))]
    [failure] = read
    assert [attempt["raw_answer"] for attempt in failure["attempts"]] == ["not json"] * 4
    assert failure["attempts"][0]["prompt"] == "[user]\nAnalyse: late"


def test_what_was_said_is_no_part_of_the_bill(run, tmp_path) -> None:
    write(run, scripted_dag(["not json", GOOD]), tmp_path)
    assert not {"raw_answer", "prompt"} & set(pq.read_schema(tmp_path / "costs.parquet").names)


@pytest.mark.parametrize("plan", ["pipelined", "staged"])
@pytest.mark.parametrize("timings", [True, False])
def test_the_bill_says_how_long_calls_took_on_request_also_those_of_globals(
    run, tmp_path, plan: Any, timings: bool
) -> None:
    provider = ScriptedProvider(["fine"], latency_seconds=0.05)
    dag = Dag("timed", model=Model("scripted:a", max_in_flight=1), providers={"scripted": lambda _: provider})
    dag.dimension(lambda item: item.content, name="first")
    dag.dimension(lambda items, first: "all of them", name="overall", scope="global")

    def written(results: Any) -> Any:
        results | WriteResults(dag, str(tmp_path), timings=timings)
        return results.items

    run(dag, [{"id": name, "content": name} for name in "ab"], plan=plan, then=written)
    bill = pq.read_table(tmp_path / "costs.parquet").to_pylist()
    assert sorted(line["dimension"] for line in bill) == ["first", "first", "overall"]
    if timings:
        assert min(line["latency_seconds"] for line in bill) > 0.04
        assert max(line["waited_seconds"] for line in bill if line["dimension"] == "first") > 0.04
    else:
        assert not {"latency_seconds", "waited_seconds"} & bill[0].keys()
