"""`LLMDag` and `ReadItems` in Beam YAML, run by Beam's own command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.yaml.yaml_provider import InlineProvider
from apache_beam.yaml.yaml_transform import YamlTransform
from helpers.places import ROOT

from beam_llmdag.errors import GraphError
from beam_llmdag.testing import Simulator, load_rules
from beam_llmdag.testing.pinned import Pinned
from beam_llmdag.yaml.beam_yaml import LLMDagFile

EXAMPLES = ROOT / "examples"
PROVIDERS = """
providers:
  - type: python
    config: {}
    transforms:
      LLMDag: beam_llmdag.yaml.beam_yaml.LLMDagFile
      ReadItems: beam_llmdag.yaml.beam_yaml.ReadItemsFile
"""
ECHO = """
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider

def answer(request):
    said = request.messages[-1].content
    if said == "refuse":
        raise RuntimeError("the provider broke")
    return said.upper()

provider = ScriptedProvider(answer)
"""
DAG = """
name: little
model: echo:any
providers: {echo: echo_provider.provider}
dimensions:
  loud: {prompt: "{{ item.content }}"}
  all: {scope: global, prompt: "{{ items | map(attribute='id') | join(',') }}"}
  about: {over: groups, prompt: "{{ item.id }}"}
regroups:
  groups: {function: echo_groups.groups}
"""

Rows = list[dict[str, Any]]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a dag file, its provider, and space for results."""
    (tmp_path / "echo_provider.py").write_text(ECHO, encoding="utf-8")
    groups = "def groups(items, all):\n    return {'g': [item.id for item in items]}\n"
    (tmp_path / "echo_groups.py").write_text(groups, encoding="utf-8")
    (tmp_path / "little.dag.yaml").write_text(DAG, encoding="utf-8")
    return tmp_path


@pytest.fixture
def beam_yaml(folder: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a pipeline file with `python -m apache_beam.yaml.main`, models simulated."""
    for name, vendor in (("ANTHROPIC", "anthropic"), ("OPENAI", "openai")):
        monkeypatch.setenv(f"{name}_BASE_URL", simulator.base_url(vendor))
        monkeypatch.setenv(f"{name}_API_KEY", "any")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(pipeline: str | Path, cwd: Path = folder, **variables: str) -> subprocess.CompletedProcess[str]:
        path = pipeline
        if isinstance(pipeline, str):
            path = folder / "test.pipeline.yaml"
            path.write_text(pipeline + PROVIDERS, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "apache_beam.yaml.main",
            f"--yaml_pipeline_file={path}",
            "--runner=FnApiRunner",
        ]
        arguments = [*command, f"--jinja_variables={json.dumps(variables)}"]
        return subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def simulator() -> Any:
    with Simulator(answers=load_rules(EXAMPLES / "reviews_20.gold.jsonl")) as simulator:
        yield simulator


def written(folder: Path, name: str) -> Rows:
    """The rows of a file that Beam wrote in shards, which `*.parquet` finds."""
    paths = [path for path in sorted(folder.glob("*.parquet")) if path.name.startswith(name)]
    assert paths, f"no {name} in {folder}"
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    return sorted(rows, key=json.dumps)


def reviews(path: Path) -> Rows:
    """The example reviews, also as a Parquet file at `path`."""
    lines = (EXAMPLES / "reviews_20.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return rows


PARQUET = """
pipeline:
  transforms:
    - {type: ReadFromParquet, config: {path: "{{ input }}"}}
    - {type: LLMDag, name: Analyse, input: ReadFromParquet, config: {dag: examples/reviews.dag.yaml}}
    - {type: WriteToParquet, name: a, input: Analyse.good,
       config: {path: "{{ output }}/items", file_name_suffix: .parquet}}
    - {type: WriteToParquet, name: b, input: Analyse.failures,
       config: {path: "{{ output }}/failures", file_name_suffix: .parquet}}
    - {type: WriteToParquet, name: c, input: Analyse.costs,
       config: {path: "{{ output }}/costs", file_name_suffix: .parquet}}
"""


def test_a_pipeline_reads_parquet_runs_a_dag_file_and_writes_parquet(beam_yaml: Run, tmp_path: Path) -> None:
    given = reviews(tmp_path / "reviews.parquet")
    done = beam_yaml(PARQUET, cwd=ROOT, input=str(tmp_path / "reviews.parquet"), output=str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    items = {row["id"]: row for row in written(tmp_path / "out", "items")}
    assert {key: row["content"] for key, row in items.items()} == {row["id"]: row["content"] for row in given}
    assert [items[f"r{n:02}"]["sentiment"]["status"] for n in range(1, 21)] == ["ok", "skipped"] * 10
    assert set(items["r01"]["topics"]["data"]) == {"topics"}
    assert items["r01"]["sentiment"]["data"]["label"] == "positive"
    assert written(tmp_path / "out", "failures") == []
    assert len(written(tmp_path / "out", "costs")) == 50


def test_the_example_gives_what_the_review_pipeline_gives(beam_yaml: Run, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.review_analysis", "--model=simulated", f"--output={tmp_path}/python"]
    subprocess.run([*command, f"--input={EXAMPLES}/reviews_20.jsonl"], cwd=ROOT, check=True, capture_output=True)
    reviews = str(EXAMPLES / "reviews_20.jsonl")
    done = beam_yaml(EXAMPLES / "reviews.pipeline.yaml", cwd=ROOT, input=reviews, output=str(tmp_path / "yaml"))
    assert done.returncode == 0, done.stderr
    in_python, in_yaml = (written(tmp_path / name, "items") for name in ("python", "yaml"))
    for typed, text in zip(in_python, in_yaml, strict=True):  # Beam rows are written before all items are known
        assert {name: str(value) for name, value in typed.pop("metadata").items()} == dict(text.pop("metadata"))
    for row in (*in_python, *in_yaml):
        for result in row.values():
            for attempt in result["attempts"] if isinstance(result, dict) else ():
                del attempt["request_id"]
    assert in_yaml == in_python


SEVERAL = """
pipeline:
  transforms:
    - type: ReadItems
      config: {path: items.csv, id_field: key, content_field: text, error_handling: {output: unreadable}}
    - type: LLMDag
      name: Analyse
      input: ReadItems.good
      config: {dag: little.dag.yaml, plan: staged, store: false, error_handling: {output: broken}}
    - {type: WriteToParquet, name: a, input: Analyse.good, config: {path: out/good, file_name_suffix: .parquet}}
    - {type: WriteToParquet, name: b, input: Analyse.broken, config: {path: out/broken, file_name_suffix: .parquet}}
    - {type: WriteToParquet, name: c, input: Analyse.costs, config: {path: out/costs, file_name_suffix: .parquet}}
    - {type: WriteToParquet, name: d, input: Analyse.all, config: {path: out/all, file_name_suffix: .parquet}}
    - {type: WriteToParquet, name: e, input: Analyse.groups, config: {path: out/groups, file_name_suffix: .parquet}}
    - {type: WriteToParquet, name: f, input: Analyse.groups_report,
       config: {path: out/report, file_name_suffix: .parquet}}
    - {type: WriteToParquet, name: g, input: ReadItems.unreadable,
       config: {path: out/unreadable, file_name_suffix: .parquet}}
"""


def test_every_output_has_a_name_and_every_id_stays_as_it_is(beam_yaml: Run, folder: Path) -> None:
    (folder / "items.csv").write_text("key,text,when\n007,NA,2026-01-01\n008,refuse,x\n,no id,\n", encoding="utf-8")
    done = beam_yaml(SEVERAL)
    assert done.returncode == 0, done.stderr
    out = folder / "out"
    assert [(row["id"], row["content"], row["loud"]["data"]) for row in written(out, "good")] == [
        ("007", "NA", "NA"),
        ("008", "refuse", None),
    ]
    assert [row["item_id"] for row in written(out, "broken")] == ["008"]
    assert {row["dimension"] for row in written(out, "costs")} >= {"loud", "all", "about"}
    assert [row["data"] for row in written(out, "all")] == ["007,008"]
    assert [(row["id"], row["source_ids"], row["about"]["data"]) for row in written(out, "groups")] == [
        ("g", ["007", "008"], "G")
    ]
    assert [row["dimension"] for row in written(out, "report")] == ["groups"]
    assert [row["item_id"] for row in written(out, "unreadable")] == ["items.csv:line 4"]


def test_an_error_in_the_dag_file_names_its_line_and_that_of_the_pipeline(beam_yaml: Run, folder: Path) -> None:
    (folder / "little.dag.yaml").write_text(DAG.replace("item.content", "itm.content"), encoding="utf-8")
    (folder / "items.csv").write_text("key,text\n1,x\n", encoding="utf-8")
    done = beam_yaml(SEVERAL)
    assert done.returncode != 0
    assert (
        'Invalid transform specification at "Analyse" at line 5: little.dag.yaml:6: prompt of dimension '
        "'loud': 'itm' is no dimension of this file; did you mean 'item'?"
    ) in done.stderr


class Kept(Pinned):
    """The elements of a PCollection."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Any] = []

    def keep(self, row: Any) -> None:
        self.rows.append(row)


def rows_of(rows: list[beam.Row], **config: Any) -> dict[str, list[Any]]:
    """The outputs of `LLMDagFile` over rows, by name."""
    kept: dict[str, Kept] = {}
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        made = pipeline | beam.Create(rows, reshuffle=False) | LLMDagFile(store=False, **config)
        for name, output in made.items():
            kept[name] = Kept()
            output | f"Keep {name}" >> beam.Map(kept[name].keep)
    return {name: each.rows for name, each in kept.items()}


@pytest.fixture
def little(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(str(folder))
    return str(folder / "little.dag.yaml")


def test_other_fields_of_a_row_are_metadata_also_nested_ones(little: str) -> None:
    made = rows_of([beam.Row(id=1, content="x", shop=beam.Row(city="Ulm"), tags=["a"])], dag=little)
    assert made["good"][0].metadata == {"shop": '{"city":"Ulm"}', "tags": '["a"]'}


def test_a_row_that_is_no_item_is_a_failure(little: str) -> None:
    made = rows_of([beam.Row(id="1", content="x"), beam.Row(id=None, content="y")], dag=little)
    assert [row.id for row in made["good"]] == ["1"]
    assert [(row.dimension, row.error_class) for row in made["failures"]] == [("input", "bad_input")]


def test_strict_fails_the_pipeline_on_a_row_that_is_no_item(little: str) -> None:
    with pytest.raises(Exception, match="id is missing"):
        rows_of([beam.Row(id="1", content="x"), beam.Row(id=None, content="y")], dag=little, strict=True)


def test_rows_without_an_id_field_get_one(little: str) -> None:
    made = rows_of([beam.Row(content="x"), beam.Row(content="x")], dag=little)
    first, second = sorted(row.id for row in made["good"])
    assert second == f"{first}-2"


@pytest.mark.parametrize("name", ["costs", "all", "good"])
def test_two_outputs_of_one_name_are_an_error(little: str, name: str) -> None:
    with pytest.raises(GraphError, match=f"two outputs of the transform are called '{name}'; rename one"):
        LLMDagFile(dag=little, error_handling={"output": name})


def test_error_handling_says_where_failures_go_and_nothing_else(little: str) -> None:
    with pytest.raises(GraphError, match="error_handling has one key, 'output', not threshold"):
        LLMDagFile(dag=little, error_handling={"threshold": "1"})


def test_an_unknown_option_is_an_error_of_the_pipeline_file(little: str) -> None:
    providers = {"LLMDag": InlineProvider({"LLMDag": LLMDagFile})}
    spec = f"""
type: composite
transforms:
  - type: Create
    config: {{elements: [{{id: a, content: b}}]}}
  - type: LLMDag
    input: Create
    config: {{dag: {little}, budget: 3}}
"""
    with (
        pytest.raises(ValueError, match="unexpected argument 'budget'"),
        beam.Pipeline(runner=FnApiRunner()) as pipeline,
    ):
        pipeline | YamlTransform(spec, providers=providers)


def test_the_lane_of_a_run_is_an_option(little: str) -> None:
    with pytest.raises(GraphError, match="lane='batch' needs an answer store"):
        LLMDagFile(little, store=False, lane="batch")
