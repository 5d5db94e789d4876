"""The `llmdag` command."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from helpers.places import EXAMPLES

from beam_llmdag import Dag
from beam_llmdag.cli import main
from beam_llmdag.testing import ScriptedProvider
from beam_llmdag.usage import TOKEN_KINDS

DAG = """
from beam_llmdag import Dag
from beam_llmdag.testing import ScriptedProvider
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
    assert main(["store", str(store)]) == 0
    head, line, note = capsys.readouterr().out.splitlines()
    kinds = [kind.removesuffix("_tokens") for kind in TOKEN_KINDS]
    assert head.split() == ["model", "answers", "calls", "in_flight", "unpriced", *kinds, "cost", "$"]
    assert line.split()[:5] == ["scripted:any", "1", "1", "0", "1"]
    assert note.startswith("the cost is a lower bound: that of 1 calls is unknown")


def test_a_cleared_store_keeps_its_ledger(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", str(store), "--clear"]) == 0
    assert capsys.readouterr().out == "1 answers forgotten\n"
    main(["store", str(store)])
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["scripted:any", "0", "1"]


def test_a_store_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", str(tmp_path / "none.sqlite")]) == 1
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
