"""The Flex Templates say what the pipelines say. Their image was not built by a test: that needs Docker."""

from __future__ import annotations

import re
from importlib.metadata import version
from types import ModuleType

import pytest
from helpers.places import ROOT

from pipelines.flex_template import PIPELINES, metadata, metadata_text
from pipelines.options import options_of, options_parser

FOLDER = ROOT / "flex_template"
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
SECRET = "anthropic=projects/shop/secrets/anthropic/versions/latest"


def name(pipeline: ModuleType) -> str:
    return str(metadata(pipeline)["name"])


@pytest.mark.parametrize("pipeline", PIPELINES, ids=name)
def test_the_files_say_what_the_pipelines_options_say(pipeline: ModuleType) -> None:
    written = (FOLDER / f"{name(pipeline)}.json").read_text(encoding="utf-8")
    assert written == metadata_text(pipeline), "python -m pipelines.flex_template writes them"


@pytest.mark.parametrize("pipeline", PIPELINES, ids=name)
def test_every_option_is_a_parameter_but_those_of_one_machine(pipeline: ModuleType) -> None:
    parameters = {parameter["name"]: parameter["isOptional"] for parameter in metadata(pipeline)["parameters"]}
    options = {option.dest: not option.required for option in options_of(options_parser(""))}
    del options["summary"], options["show"]
    assert parameters == {**options, "sdk_container_image": False, "max_num_workers": True}


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        (
            "input",
            ["gs://bucket/reviews-*.jsonl", "bigquery:p.d.t", "bigquery:SELECT a FROM b"],
            ["reviews.jsonl", "/tmp/reviews.jsonl", ""],
        ),
        ("output", ["gs://bucket/results"], ["results", "C"]),
        ("model", ["cloud", "anthropic:claude-haiku-4-5", "local:/models/a b.gguf"], ["simulated", "local", "cloudy"]),
        ("store", ["postgresql://me:$PASSWORD@db/answers", "rediss://h/0"], ["answers.sqlite", "gs://b/s.sqlite"]),
        ("deadline", ["2027-01-31T08:00", "2027-01-31T08:00:00+01:00"], ["tomorrow", "2027-01-31"]),
        ("fallback_model", ["openai:gpt-5-mini"], ["openai", "openai:", "openai: x"]),
        ("rerun", ["append", "replace"], ["Append", "delete"]),
        ("shards", ["0", "12"], ["-1", "two", "1.5"]),
        ("key_secrets", [SECRET, f"{SECRET},{SECRET}", f"{SECRET} {SECRET}"], ["anthropic=sk-ant-key", SECRET[:-7]]),
        ("max_num_workers", ["1", "20"], ["0", "many"]),
        ("sdk_container_image", ["europe-docker.pkg.dev/p/r/worker:1"], ["", "two words"]),
    ],
)
def test_a_template_refuses_what_cannot_be_right(parameter: str, good: list[str], bad: list[str]) -> None:
    [regex] = next(found["regexes"] for found in metadata(PIPELINES[0])["parameters"] if found["name"] == parameter)
    assert [value for value in good if not re.fullmatch(regex, value)] == []
    assert [value for value in bad if re.fullmatch(regex, value)] == []


def test_the_image_has_the_beam_that_is_tested_here() -> None:
    assert f"FROM apache/beam_python3.11_sdk:{version('apache-beam')}\n" in DOCKERFILE


def test_the_image_takes_files_that_there_are() -> None:
    copied = [
        source for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.MULTILINE) for source in line.split()[:-1]
    ]
    assert copied
    assert [source for source in copied if not (ROOT / source).exists()] == []


@pytest.mark.parametrize("pipeline", PIPELINES, ids=name)
def test_the_launcher_starts_a_pipeline_that_there_is(pipeline: ModuleType) -> None:
    assert "FLEX_TEMPLATE_PYTHON_PY_FILE=/template/pipelines/${PIPELINE}.py" in DOCKERFILE
    assert (ROOT / "pipelines" / f"{name(pipeline)}.py").is_file()
