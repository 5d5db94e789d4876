"""Cases of the kind beam that need a whole program: its own process, a kill, files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from helpers.places import ROOT
from pydantic import BaseModel

from beam_llmdag import Dag, Item, LLMDag, Model, Price
from beam_llmdag.beam.io.results import WriteResults
from beam_llmdag.calls.store.ledger import read_totals
from beam_llmdag.testing import Reply, SimulatedRequest, Simulator

PATIENCE_SECONDS = 120


def start(script: Path, *args: str, **environment: str) -> subprocess.Popen[str]:
    """Starts a script as a user would, with this package on its path."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "ANTHROPIC_API_KEY": "any", **environment}
    return subprocess.Popen(
        [sys.executable, str(script), *args],
        env=env,
        cwd=script.parent,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def output_of(script: Path, *args: str, **environment: str) -> Any:
    """Runs a script and reads the JSON in the last line that it prints."""
    process = start(script, *args, **environment)
    printed, complained = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, complained[-3000:]
    return json.loads(printed.strip().split("\n")[-1])


@pytest.fixture
def model(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model at the simulator."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    return Model("anthropic:claude-haiku-4-5", base_url=simulator.base_url("anthropic"))


FIRST_SCRIPT = """
import json
import os
import sys
from typing import Literal

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from pydantic import BaseModel

from beam_llmdag import Dag, LLMDag, Model
from beam_llmdag.beam.io.results import WriteResults

WORDS = {"even": "an even one", "odd": "an odd one"}


class Kind(BaseModel):
    label: Literal["even", "odd"]


class Topics(BaseModel):
    topics: list[str]


dag = Dag("first", model=Model("anthropic:claude-haiku-4-5", base_url=os.environ["SIMULATOR"]))


@dag.dimension(output=Kind)
def kind(item):
    return f"kind of {item.id}"


@dag.dimension(output=Topics, skip_if=lambda item: item.id == "7")
def topics(item):
    return f"topics of {item.id}"


@dag.dimension
def joined(item, kind: Kind, topics: Topics):
    return f"{item.id} is {WORDS[kind.label]}, {topics.topics[0]}"


if __name__ == "__main__":
    plan, folder, *options = sys.argv[1:]
    runner = None if "--runner=PrismRunner" in options else FnApiRunner()
    with beam.Pipeline(runner=runner, options=PipelineOptions(options)) as pipeline:
        items = pipeline | beam.Create([{"id": str(number), "content": "x"} for number in range(20)])
        items | LLMDag(dag, plan=plan, store=False) | WriteResults(dag, folder, file_format="jsonl")
    with open(f"{folder}/items.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    names = ("kind", "topics", "joined")
    print(json.dumps({row["id"]: [(row[name]["status"], row[name]["data"]) for name in names] for row in rows}))
"""


def first_answers(request: SimulatedRequest) -> Any:
    words = request.prompt.split()
    if words[0] == "kind":
        return {"label": "odd" if int(words[-1]) % 2 else "even"}
    if words[0] == "topics":
        return {"topics": [f"topic {words[-1]}"]}
    return f"<{request.prompt}>"


def expected_rows() -> dict[str, Any]:
    rows = {}
    for number in range(20):
        label, words = ("odd", "an odd one") if number % 2 else ("even", "an even one")
        kind = ["ok", {"label": label}]
        if number == 7:
            rows["7"] = [kind, ["skipped", None], ["skipped", None]]
        else:
            topic = f"topic {number}"
            joined = ["ok", f"<{number} is {words}, {topic}>"]
            rows[str(number)] = [kind, ["ok", {"topics": [topic]}], joined]
    return rows


@pytest.mark.parametrize(
    "options",
    [(), ("--direct_num_workers=2", "--direct_running_mode=multi_processing")],
    ids=["in process", "two processes"],
)
def test_classes_functions_and_globals_of_the_script_itself_work_in_every_process(
    tmp_path: Path, plan: str, options: tuple[str, ...]
) -> None:
    """Case beam-01."""
    script = tmp_path / "job.py"
    script.write_text(FIRST_SCRIPT, encoding="utf-8")
    with Simulator(first_answers) as simulator:
        rows = output_of(script, plan, str(tmp_path / "out"), *options, SIMULATOR=simulator.base_url("anthropic"))
        assert rows == expected_rows()
        assert simulator.request_count == 20 + 19 + 19


def test_prism_gives_the_same_rows(tmp_path: Path, plan: str, prism: str) -> None:
    script = tmp_path / "job.py"
    script.write_text(FIRST_SCRIPT, encoding="utf-8")
    options = ("--runner=PrismRunner", f"--prism_location={prism}")
    with Simulator(first_answers) as simulator:
        rows = output_of(script, plan, str(tmp_path / "out"), *options, SIMULATOR=simulator.base_url("anthropic"))
    assert rows == expected_rows()


class Rated(BaseModel):
    label: str
    confidence: float
    tags: list[str]


def test_a_file_in_which_every_answer_failed_has_the_schema_of_one_in_which_all_went_well(
    tmp_path: Path, plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case beam-04."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    good = {"label": "a", "confidence": 0.5, "tags": ["x"]}
    replies = {"failed": Reply(status=400), "went well": Reply(good)}
    for name, reply in replies.items():
        with Simulator(lambda request, reply=reply: reply) as simulator:
            url = simulator.base_url("anthropic")
            dag = Dag("rate", model=Model("anthropic:claude-haiku-4-5", base_url=url))

            @dag.dimension(output=Rated)
            def analyze(item: Item) -> str:
                return f"rate {item.id}"

            with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as pipeline:
                items = pipeline | beam.Create([{"id": f"{name} {number}", "content": "x"} for number in range(3)])
                items | LLMDag(dag, plan=plan) | WriteResults(dag, str(tmp_path / name))
    failed, well = (pq.read_table(tmp_path / name / "items.parquet") for name in replies)
    assert failed.schema == well.schema
    data = failed.schema.field("analyze").type.field("data").type
    assert [str(data.field(name).type) for name in ("label", "confidence")] == ["string", "double"]
    assert str(data.field("tags").type.value_type) == "string"
    both = ds.dataset([str(tmp_path / name / "items.parquet") for name in replies]).to_table().to_pylist()
    assert [row["analyze"]["data"] for row in both] == [None] * 3 + [good] * 3


def test_answers_that_were_paid_before_a_pipeline_failed_are_not_asked_again(
    tmp_path: Path, plan: Any, simulator: Simulator, model: Model
) -> None:
    """Case beam-05. The runner repeats no bundle, so the same run is started again, under its name.

    What was paid before the failure is on the bill of the rows that come out at last, once.
    """
    store, marker = tmp_path / "answers.sqlite", tmp_path / "failed once"
    dag = Dag("paid", model=model, prices={model.spec: Price(input=1, output=5)})

    @dag.dimension
    def classify(item: Item) -> str:
        return f"classify {item.id}"

    def fails_once(row: Any) -> Any:
        if row.item.id == "15" and not marker.exists():
            marker.touch()
            raise ValueError("the first time")
        return row

    def run_it(name: str, run_id: str) -> None:
        with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions([])) as pipeline:
            items = pipeline | beam.Create([{"id": str(number), "content": "x"} for number in range(20)])
            results = items | LLMDag(dag, plan=plan, store=store, run_id=run_id)
            checked = results.items | "Fails once" >> beam.Map(fails_once)
            results._replace(items=checked) | WriteResults(dag, str(tmp_path / name))

    with pytest.raises(ValueError, match="the first time"):
        run_it("first", "nightly")
    assert simulator.request_count == 20
    run_it("second", "nightly")
    run_it("another run", "weekly")
    assert simulator.request_count == 20
    assert pq.read_table(tmp_path / "another run" / "costs.parquet").to_pylist() == []
    rows = pq.read_table(tmp_path / "second" / "items.parquet").to_pylist()
    assert [row["classify"]["status"] for row in rows] == ["ok"] * 20
    [paid] = read_totals(store)
    used = [request.usage for request in simulator.requests if request.usage is not None]
    tokens = [(usage["input_tokens"], usage["output_tokens"]) for usage in used]
    cost_nano_usd = sum(1000 * read + 5000 * written for read, written in tokens)
    assert (paid.calls, paid.answers, paid.cost_nano_usd) == (20, 20, cost_nano_usd)
    bill = pq.read_table(tmp_path / "second" / "costs.parquet").to_pylist()
    assert (len(bill), sum(line["cost_nano_usd"] for line in bill)) == (20, cost_nano_usd)
    assert sum(row["classify"]["cost_nano_usd"] for row in rows) == cost_nano_usd


KILLED_SCRIPT = """
import json
import os
import sys

from beam_llmdag import Dag, Model

model = Model("anthropic:claude-haiku-4-5", base_url=os.environ["SIMULATOR"], max_in_flight=20)
dag = Dag("killed", model=model)


@dag.dimension
def first(item):
    return f"first {item.id}"


@dag.dimension
def second(item, first):
    return f"second {item.id} {first}"


if __name__ == "__main__":
    items = [{"id": str(number), "content": "x"} for number in range(200)]
    report = dag.run(items, plan=sys.argv[1], store=sys.argv[2])
    total = report.summary.total
    statuses = {row.results["second"].status for row in report.items}
    print(json.dumps([len(report.items), sorted(statuses), total.calls, total.store_hits, total.cost_nano_usd]))
"""


def wait_for_requests(simulator: Simulator, number: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while simulator.request_count < number:
        assert time.monotonic() < deadline, f"only {simulator.request_count} requests came"
        time.sleep(0.005)


def test_after_kill_9_only_calls_in_flight_are_asked_again_and_then_nothing(tmp_path: Path, plan: str) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED_SCRIPT, encoding="utf-8")
    with Simulator(lambda request: f"<{request.prompt}>", latency=0.05) as simulator:
        environment = {"SIMULATOR": simulator.base_url("anthropic")}
        process = start(script, plan, str(tmp_path / "answers.sqlite"), **environment)
        wait_for_requests(simulator, 120)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == -signal.SIGKILL
        asked_before = simulator.request_count
        assert asked_before < 400
        items, statuses, calls, hits, _ = output_of(script, plan, str(tmp_path / "answers.sqlite"), **environment)
        assert (items, statuses, calls + hits) == (200, ["ok"], 400)
        assert simulator.request_count == asked_before + calls
        assert 400 <= simulator.request_count <= 400 + 20
        again = output_of(script, plan, str(tmp_path / "answers.sqlite"), **environment)
        assert again == [200, ["ok"], 0, 400, 0]
        assert simulator.request_count == asked_before + calls


def rating(item: Item) -> Any:
    return "Rate: " + item.metadata["stars"]


RATED = [
    {"id": "a", "content": "x", "metadata": {"stars": "5"}},
    {"id": "b", "content": "x", "metadata": {}},
    {"id": "c", "content": "x", "metadata": {"stars": 4}},
]


def test_a_prompt_function_that_raises_costs_its_own_row_and_no_call(
    run: Any, plan: str, simulator: Simulator, model: Model
) -> None:
    """Case beam-06."""
    dag = Dag("rate", model=model)
    dag.dimension(rating, name="analyze")
    outcome = run(dag, RATED, plan=plan)
    assert outcome.statuses("analyze") == {"a": "ok", "b": "failed", "c": "failed"}
    b, c = (failure.message for failure in outcome.failures)
    assert all(word in b for word in ("analyze", "'b'", "stars", "KeyError"))
    assert all(word in c for word in ("analyze", "'c'", "TypeError"))
    assert simulator.request_count == 1


def raising(item: Item) -> Any:
    raise LookupError("not today")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"skip_if": raising}, ["analyze", "skip_if", "LookupError", "not today"]),
        ({"model": lambda item: "nobody:knows"}, ["analyze", "nobody"]),
        ({"model": lambda item: 42}, ["analyze", "model", "42"]),
        ({"function": lambda item: None}, ["analyze", "prompt", "NoneType"]),
        ({"function": lambda item: 42}, ["analyze", "prompt", "42"]),
    ],
    ids=["skip_if raises", "unknown model", "no model", "prompt is None", "prompt is 42"],
)
def test_a_function_that_returns_nonsense_fails_the_row_and_is_named(
    run: Any, simulator: Simulator, model: Model, options: dict[str, Any], words: list[str]
) -> None:
    """Case beam-06: also."""
    dag = Dag("rate", model=model)
    function = options.pop("function", None) or (lambda item: "x")
    dag.dimension(function, name="analyze", **options)
    outcome = run.everywhere(dag, [{"id": "a", "content": "x"}])
    [failure] = outcome.failures
    assert (failure.dimension, failure.item_id, failure.attempts) == ("analyze", "a", ())
    assert [word for word in words if word not in failure.message] == []
    assert simulator.request_count == 0
