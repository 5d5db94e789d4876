"""Classes and functions of the main script or a notebook on their way to the steps, and what cannot go there."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from helpers.places import ROOT

from beam_llmdag import Dag, GraphError, LLMDag
from beam_llmdag.testing import ScriptedProvider, SimulatedRequest, Simulator

WORKERS = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]

CLASSES = """
import dataclasses
import enum
import json
import os
import sys
from typing import Generic, NamedTuple, Optional, TypeVar

import typing_extensions
from pydantic import BaseModel, Field, RootModel
from pydantic.dataclasses import dataclass


class Author(BaseModel):
    name: str
    books: list["Book"] = []


class Book(BaseModel):
    title: str
    by: Optional[Author] = None


class Shop(BaseModel):
    orders: list["Order"] = []


class Order(BaseModel):
    customer: "Optional[Customer]" = None


class Customer(BaseModel):
    shop: Optional[Shop] = None


@dataclasses.dataclass
class Point:
    a: int
    b: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    a: int
    b: int = 3


@dataclass
class Checked:
    a: int
    b: list[str] = Field(default_factory=list)


class Movie(typing_extensions.TypedDict):
    title: str
    cast: list["Movie"]


class Pair(NamedTuple):
    a: int
    b: str = "x"


class Colour(enum.Enum):
    RED = "red"


Value = TypeVar("Value")


class Box(BaseModel, Generic[Value]):
    value: Value
    inner: Optional["Box[Value]"] = None


class Painted(Book):
    colour: Colour
    at: Point


class Shelf(RootModel[dict[str, Book]]):
    pass


Author(name="n"), Shop()  # pydantic builds a class with all that it refers to when it is used
FIELDS = [field.default for field in dataclasses.fields(Point)]
"""

ANSWERS: dict[str, Any] = {
    "Author": {"name": "A", "books": [{"title": "One", "by": {"name": "A", "books": []}}]},
    "Book": {"title": "One", "by": {"name": "A", "books": []}},
    "Shop": {"orders": [{"customer": {"shop": {"orders": []}}}]},
    "Customer": {"shop": {"orders": [{"customer": None}]}},
    "Point": {"a": 1, "b": []},
    "Slotted": {"a": 1, "b": 3},
    "Checked": {"a": 1, "b": []},
    "Movie": {"title": "M", "cast": [{"title": "N", "cast": []}]},
    "Pair": [1, "y"],
    "Box[int]": {"value": 1, "inner": {"value": 2, "inner": None}},
    "Box[Point]": {"value": {"a": 1, "b": ["z"]}, "inner": None},
    "Painted": {"title": "P", "by": None, "colour": "red", "at": {"a": 2, "b": []}},
    "Shelf": {"s": {"title": "One", "by": None}},
    "list[Point]": [{"a": 1, "b": []}],
}

JOB = """
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from beam_llmdag import Dag, LLMDag, Model
from beam_llmdag.beam.io.results import WriteResults

dag = Dag("job", model=Model("anthropic:claude-haiku-4-5", base_url=os.environ["SIMULATOR"]))


def declare(number, output):
    dag.dimension(lambda item: output, name=f"d{number}", output=eval(output))
    needs = f"lambda item, d{number}: repr(d{number})"
    dag.dimension(eval(needs), name=f"seen{number}")


outputs = json.loads(os.environ["OUTPUTS"])
for number, output in enumerate(outputs):
    declare(number, output)


def main(*options):
    if not options:
        [row] = dag.run(["x"], store=False).to_rows()
    else:
        with beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(options)) as pipeline:
            results = pipeline | beam.Create(["x"]) | LLMDag(dag, store=False)
            results | WriteResults(dag, os.environ["OUT"], file_format="jsonl")
        with open(os.environ["OUT"] + "/items.jsonl", encoding="utf-8") as lines:
            [row] = map(json.loads, lines)
    same = [field.default for field in dataclasses.fields(Point)] == FIELDS
    rows = {output: [row[f"d{n}"]["data"], row[f"seen{n}"]["data"]] for n, output in enumerate(outputs)}
    print(json.dumps({"rows": rows, "same": same}))
"""

AS_SCRIPT = f"{CLASSES}\n{JOB}\n\nif __name__ == '__main__':\n    main(*sys.argv[1:])\n"
AS_CELLS = f"""
import sys
import types

notebook = sys.modules["__main__"] = types.ModuleType("__main__")
for cell in ({CLASSES!r}, {JOB!r}, "main(*sys.argv[1:])"):
    exec(compile(cell, "<cell>", "exec"), notebook.__dict__)
"""


@pytest.mark.parametrize(
    ("text", "options"),
    [(AS_SCRIPT, []), (AS_CELLS, []), (AS_SCRIPT, ["--direct_num_workers=1"]), (AS_SCRIPT, WORKERS)],
    ids=["script", "cells", "pipeline", "processes"],
)
def test_every_kind_of_class_of_the_script_is_an_output_and_stays_as_it_was(
    tmp_path: Path, text: str, options: list[str]
) -> None:
    """Cases beam-41 and schema-52."""
    (tmp_path / "job.py").write_text(text, encoding="utf-8")
    with Simulator(_answer) as simulator:
        environment = {
            "PYTHONPATH": str(ROOT),
            "ANTHROPIC_API_KEY": "any",
            "SIMULATOR": simulator.base_url("anthropic"),
            "OUTPUTS": json.dumps(list(ANSWERS)),
            "OUT": str(tmp_path / "out"),
        }
        done = subprocess.run(
            [sys.executable, "job.py", *options],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=200,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(done.stdout.strip().split("\n")[-1])
    assert {output: _unfolded(data) for output, (data, _) in printed["rows"].items()} == ANSWERS
    seen = {output: said for output, (_, said) in printed["rows"].items()}
    assert seen["Author"].startswith("Author(name='A', books=[Book(title='One', by=Author(")
    assert seen["Point"] == "Point(a=1, b=[])"
    assert seen["Pair"] == "Pair(a=1, b='y')"
    assert printed["same"], "a class of the script is another one after the run"


def _unfolded(data: Any) -> Any:
    """`data` of a table, which holds what refers to itself as text."""
    if isinstance(data, str) and data[:1] in ("{", "["):
        data = json.loads(data)
    if isinstance(data, dict):
        return {key: _unfolded(value) for key, value in data.items()}
    return [_unfolded(value) for value in data] if isinstance(data, list) else data


def _answer(request: SimulatedRequest) -> str:
    """The answer of the class whose name was asked, and the prompt itself of anything else."""
    said = ANSWERS.get(request.prompt)
    if said is None:
        return request.prompt
    return json.dumps({"value": said} if isinstance(said, list) or request.prompt == "Shelf" else said)


def _scripted() -> Dag:
    return Dag("stuck", model="scripted:any", providers={"scripted": ScriptedProvider(["fine"] * 20)})


def _uses_connection(log: Path) -> Dag:
    conn = sqlite3.connect(":memory:", check_same_thread=False)
    dag = _scripted()
    dag.dimension(lambda item: f"{conn.execute('select 1').fetchone()}", name="analyze")
    return dag


def _uses_file(log_file: Path) -> Dag:
    log = log_file.open("w")
    dag = _scripted()
    dag.dimension(lambda item: "x", name="analyze", on_failure=lambda item: str(log.write("failed")))
    return dag


def _uses_generator(log: Path) -> Dag:
    rows = (number for number in range(3))
    dag = _scripted()
    dag.dimension(lambda item: "x", name="analyze", skip_if=lambda item: next(rows) > 5)
    return dag


def _uses_a_helper(log: Path) -> Dag:
    rows = (number for number in range(3))

    def helper() -> int:
        return next(rows)

    dag = _scripted()
    dag.dimension(lambda item: str(helper()), name="analyze")
    return dag


def _uses_a_partial(log: Path) -> Dag:
    dag = _scripted()
    prompt = functools.partial(lambda item, source: str(next(source)), source=(number for number in range(3)))
    dag.dimension(prompt, name="analyze")
    return dag


def _uses_an_object(log: Path) -> Dag:
    class Prompt:
        def __init__(self) -> None:
            self.rows = (number for number in range(3))

        def __call__(self, item: Any) -> str:
            return str(next(self.rows))

    dag = _scripted()
    dag.dimension(Prompt(), name="analyze")
    return dag


STUCK = [
    (_uses_connection, ["prompt of dimension 'analyze'", "'conn', a Connection"]),
    (_uses_file, ["on_failure of dimension 'analyze'", "'log', a TextIOWrapper"]),
    (_uses_generator, ["skip_if of dimension 'analyze'", "'rows', a generator"]),
    (_uses_a_helper, ["prompt of dimension 'analyze'", "'helper.rows', a generator"]),
    (_uses_a_partial, ["prompt of dimension 'analyze'", "'source', a generator"]),
    (_uses_an_object, ["prompt of dimension 'analyze'", "'rows', a generator"]),
]


@pytest.mark.parametrize(("make", "named"), STUCK)
def test_what_cannot_be_sent_to_a_worker_is_named_when_the_pipeline_is_built(
    make: Any, named: list[str], tmp_path: Path
) -> None:
    """Case beam-54."""
    dag = make(tmp_path / "log.txt")
    items = beam.Pipeline(runner=FnApiRunner()) | beam.Create(["x"])
    with pytest.raises(GraphError) as raised:
        items | LLMDag(dag, store=False)
    for text in (*named, "Make it inside the function, or in a module"):
        assert text in str(raised.value)


@pytest.mark.parametrize("make", [make for make, _ in STUCK])
def test_nothing_travels_in_a_run_of_this_process(make: Any, tmp_path: Path) -> None:
    """Case beam-54."""
    report = make(tmp_path / "log.txt").run(["x"], store=False)
    assert report.failures == []
    assert len(report.answers("analyze")) == 1
