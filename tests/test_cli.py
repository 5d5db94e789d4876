"""The `llmdag` command."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from helpers.places import EXAMPLES

from beam_llmdag import Dag
from beam_llmdag.cli import main
from beam_llmdag.testing import BatchBehaviour, Reply, ScriptedProvider, SimulatedRequest, Simulator
from beam_llmdag.usage import TOKEN_KINDS

DAG = """
from beam_llmdag import Dag
from beam_llmdag.testing import BatchBehaviour, Reply, ScriptedProvider, SimulatedRequest, Simulator
from beam_llmdag.usage import TOKEN_KINDS

dag = Dag("little", model="scripted:any", providers={"scripted": ScriptedProvider(["fine"])})

@dag.dimension
def mood(item):
    return item.content

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "little_dag.py").write_text(DAG, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "little_dag"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that holds one answer."""
    path = tmp_path / "answers.sqlite"
    dag = Dag("asked", model="scripted:any", providers={"scripted": ScriptedProvider(["fine"])})

    @dag.dimension
    def mood(item):
        return item.content

    dag.run(["hello"], store=path)
    return path


def test_show_explains_a_dag(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", f"{module}:dag"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "dag 'little', pipelined plan",
        "1. per item: mood — over the items",
    ]


def test_show_draws_a_dag(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", f"{module}:dag", "--as", "json"]) == 0
    assert [step["name"] for step in json.loads(capsys.readouterr().out)["steps"]] == ["mood"]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("little_dag", "module:name"),
        ("little_dag:nothing", "nothing"),
        ("little_dag:number", "is no Dag, but int"),
        ("no_such_module:dag", "no_such_module"),
    ],
)
def test_what_cannot_be_shown_is_an_error_that_names_it(
    place: str, told: str, module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", place]) == 1
    assert told in capsys.readouterr().err


def test_store_tells_what_was_paid(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "stats", str(store)]) == 0
    head, line, note = capsys.readouterr().out.splitlines()
    kinds = [kind.removesuffix("_tokens") for kind in TOKEN_KINDS]
    assert head.split() == ["model", "answers", "calls", "in_flight", "unpriced", *kinds, "cost", "$"]
    assert line.split()[:5] == ["scripted:any", "1", "1", "0", "1"]
    assert note.startswith("the cost is a lower bound: that of 1 calls is unknown")


def test_a_cleared_store_keeps_its_ledger(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "clear", str(store)]) == 0
    assert capsys.readouterr().out == "1 answers forgotten\n"
    main(["store", "stats", str(store)])
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["scripted:any", "0", "1"]


def test_a_store_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "stats", str(tmp_path / "none.sqlite")]) == 1
    assert "none.sqlite" in capsys.readouterr().err


def test_show_explains_a_dag_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(EXAMPLES / "reviews.dag.yaml")]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        "dag 'reviews', pipelined plan",
        "1. per item: filter_spam, sentiment, topics, summary — over the items",
    ]


def test_show_of_a_wrong_dag_file_names_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.yaml").write_text("name: x\ndimensons: {}", encoding="utf-8")
    assert main(["show", str(tmp_path / "x.yaml")]) == 1
    assert f"{tmp_path}/x.yaml:2: unknown key 'dimensons'; did you mean 'dimensions'?" in capsys.readouterr().err


def test_schema_prints_what_the_package_ships(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    shipped = files("beam_llmdag.yaml").joinpath("dag.schema.json").read_text(encoding="utf-8")
    assert capsys.readouterr().out == shipped


def test_run_analyses_files_and_writes_what_came_of_them(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "a", "content": "hello"}\n{"id": "b"}\n')
    output = tmp_path / "out"
    files_of = ["--input", str(tmp_path / "in.jsonl"), "--output", str(output), "--format", "jsonl", "--store", "off"]
    assert main(["run", f"{module}:dag", *files_of]) == 0
    written = sorted(path.name for path in output.iterdir())
    assert written == ["costs.jsonl", "failures.jsonl", "items.jsonl", "manifest.json"]
    [row] = [json.loads(line) for line in (output / "items.jsonl").read_text().splitlines()]
    assert (row["id"], row["mood"]["data"]) == ("a", "fine")
    [failure] = [json.loads(line) for line in (output / "failures.jsonl").read_text().splitlines()]
    assert failure["error_class"] == "bad_input"
    told = capsys.readouterr().out
    assert "total" in told
    assert str(output / "items.jsonl") in told


def test_run_says_that_there_is_nothing_to_read(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none.jsonl")
    assert main(["run", f"{module}:dag", "--input", missing, "--output", str(tmp_path / "out")]) == 1
    assert missing in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_paid_for_is_written_again_for_nothing(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "a", "content": "hello"}\n')
    files_of = ["--input", str(tmp_path / "in.jsonl"), "--store", str(tmp_path / "answers.sqlite"), "--format", "jsonl"]
    for name in ("first", "second"):
        assert main(["run", f"{module}:dag", *files_of, "--output", str(tmp_path / name)]) == 0
    rows = [json.loads((tmp_path / name / "items.jsonl").read_text()) for name in ("first", "second")]
    assert [row["mood"]["store_hit"] for row in rows] == [False, True]
    assert [row["mood"]["data"] for row in rows] == ["fine", "fine"]


def test_estimate_says_what_a_run_over_files_will_cost(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text("".join(f'{{"id": "{n}", "content": "text {n}"}}\n' for n in range(30)))
    files_of = ["--input", str(tmp_path / "in.jsonl"), "--store", str(tmp_path / "answers.sqlite")]
    assert main(["estimate", f"{module}:dag", *files_of, "--sample", "10"]) == 0
    told = capsys.readouterr().out
    assert "10 of 30 items were analysed for it" in told
    assert "total" in told
    assert main(["estimate", f"{module}:dag", *files_of, "--sample", "0"]) == 0
    assert "nothing was asked" in capsys.readouterr().out


def test_plan_says_what_is_in_the_store_and_what_would_be_asked(
    module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "a", "content": "hello"}\n{"id": "b", "content": "new"}\n')
    files_of = ["--input", str(tmp_path / "in.jsonl"), "--store", str(tmp_path / "answers.sqlite")]
    capsys.readouterr()
    assert main(["plan", f"{module}:dag", *files_of]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:5] == ["mood", "0", "2", "0", "0"]


YAML_DAG = """\
name: little
model: {{spec: "anthropic:m", base_url: "{url}", api_key_env: PATH}}
prices:
  anthropic:m: {{input: 1, output: 5}}
dimensions:
  mood:
    prompt: "Mood of {{{{ item.content }}}}"
"""


def test_redrive_asks_again_what_failed_where_the_manifest_says_dag_and_items_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text("".join(f'{{"id": "{n}", "content": "text {n}"}}\n' for n in range(4)))
    answers = {"is_down": True}

    def says(request: SimulatedRequest) -> Reply | str:
        return Reply(status=400) if answers["is_down"] and "text 2" in request.prompt else "fine"

    with Simulator(says) as simulator:
        (tmp_path / "little.yaml").write_text(YAML_DAG.format(url=simulator.base_url("anthropic")))
        files_of = ["--input", str(tmp_path / "in.jsonl"), "--store", str(tmp_path / "answers.sqlite")]
        output = str(tmp_path / "out")
        assert main(["run", str(tmp_path / "little.yaml"), *files_of, "--output", output]) == 0
        answers["is_down"] = False
        capsys.readouterr()
        assert main(["redrive", output]) == 0
        assert "failed: 1 before, 0 now" in capsys.readouterr().out
        assert simulator.request_count == 5


def test_a_run_in_batches_ends_with_75_while_something_waits_and_batches_shows_and_collects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text("".join(f'{{"id": "{n}", "content": "text {n}"}}\n' for n in range(4)))
    store = str(tmp_path / "answers.sqlite")
    with Simulator(lambda _: "fine", batches=BatchBehaviour(delay_seconds=3600)) as simulator:
        (tmp_path / "little.yaml").write_text(YAML_DAG.format(url=simulator.base_url("anthropic")))
        files_of = ["--input", str(tmp_path / "in.jsonl"), "--store", store, "--output", str(tmp_path / "out")]
        command = ["run", str(tmp_path / "little.yaml"), *files_of, "--lane", "batch", "--no-wait"]
        assert main(command) == 75
        assert "the same command goes on" in capsys.readouterr().err
        assert main(["batches", "list", store]) == 0
        [_, line, waiting] = capsys.readouterr().out.splitlines()
        assert line.split()[:4] == [simulator.batches[0].id, "anthropic:m", "in_progress", "0/4"]
        assert waiting == "0 calls wait to be handed in"
        simulator.end_batches()
        assert main(["batches", "collect", store]) == 0
        assert capsys.readouterr().out == "1 batches have ended, 0 have not\n"
        assert main(["batches", "submit", store]) == 0
        assert main(["batches", "cancel", "unknown", store]) == 1
        assert "no open batch 'unknown'" in capsys.readouterr().err
        assert main(command) == 0
        assert (len(simulator.batches), simulator.request_count) == (1, 4)


def test_a_deadline_says_what_goes_in_a_batch(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": "1", "content": "x"}\n')
    soon, far = (datetime.now(UTC) + timedelta(days=days) for days in (0.5, 30))
    lanes = {}
    for moment in (soon, far):
        with Simulator(lambda _: "fine") as simulator:
            (tmp_path / "little.yaml").write_text(YAML_DAG.format(url=simulator.base_url("anthropic")))
            command = ["run", str(tmp_path / "little.yaml"), "--input", str(tmp_path / "in.jsonl"), "--deadline"]
            store = str(tmp_path / f"{moment:%d}.sqlite")
            assert main([*command, moment.isoformat(), "--store", store, "--output", str(tmp_path / "out")]) == 0
            lanes[moment] = {request.lane for request in simulator.requests}
    assert lanes == {soon: {"direct"}, far: {"batch"}}
