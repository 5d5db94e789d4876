"""What the example pipelines make of their options for Dataflow; tests_gcp has what Beam makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    WorkerOptions,
)
from helpers.places import ROOT

from beam_llmdag.beam.workers import worker_processes
from beam_llmdag.errors import GraphError
from pipelines.dataflow import is_only_described, set_dataflow_defaults
from pipelines.models import Models, chosen_models
from pipelines.options import parse_settings

OWN = ("--input=in.jsonl", "--output=gs://bucket/out")
SECRETS = {
    "anthropic": "projects/shop/secrets/anthropic/versions/latest",
    "openai": "projects/shop/secrets/openai/versions/7",
}


def parsed(*options: str) -> Any:
    """The settings and Beam's options for a job on Dataflow."""
    return parse_settings([*OWN, "--runner=DataflowRunner", *options], "test")


def refusal(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    with pytest.raises(SystemExit):
        parsed(*options)
    return capsys.readouterr().err.splitlines()[-1]


def models(*options: str) -> Models:
    with chosen_models(parse_settings([*OWN, *options], "test")[0]) as chosen:
        return chosen


def test_limits_are_divided_by_the_workers_there_can_be() -> None:
    assert worker_processes(parsed()[1]) == 10
    assert worker_processes(parsed("--num_workers=20")[1]) == 20
    assert worker_processes(parsed("--num_workers=20", "--max_num_workers=30")[1]) == 30


def test_a_worker_is_one_process_unless_the_user_wants_one_per_cpu() -> None:
    assert parsed()[1].view_as(DebugOptions).experiments == ["no_use_multiple_sdk_containers"]
    several = parsed("--experiments=use_multiple_sdk_containers", "--experiments=other")[1]
    assert several.view_as(DebugOptions).experiments == ["use_multiple_sdk_containers", "other"]


def test_four_bundles_are_open_at_a_time() -> None:
    assert parsed()[1].view_as(DebugOptions).number_of_worker_harness_threads == 4
    assert parsed("--number_of_worker_harness_threads=9")[1].view_as(DebugOptions).number_of_worker_harness_threads == 9


def test_other_runners_are_left_alone() -> None:
    options = parse_settings([*OWN], "test")[1]
    assert options.view_as(WorkerOptions).max_num_workers is None
    assert options.view_as(SetupOptions).setup_file is None
    assert options.view_as(DebugOptions).experiments is None


def test_the_sources_are_staged_where_there_are_any() -> None:
    setup_file = parsed()[1].view_as(SetupOptions).setup_file
    assert setup_file == str(ROOT / "setup.py")


def test_an_image_that_has_the_package_needs_nothing_staged() -> None:
    assert parsed("--sdk_container_image=worker:1")[1].view_as(SetupOptions).setup_file is None


def test_workers_without_the_package_are_refused_before_there_is_a_job(tmp_path: Path) -> None:
    options = PipelineOptions(["--runner=DataflowRunner"])
    with pytest.raises(
        ValueError, match=r"Dataflow's workers do not have this package: give an image that has it, --sdk"
    ):
        set_dataflow_defaults(options, setup_file=tmp_path / "setup.py")


def test_simulated_answers_are_refused_for_workers_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "--model=simulated")
    assert said.endswith("--model=simulated answers on this machine, where Dataflow's workers cannot ask")


def test_an_answer_store_on_one_machine_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "--store=answers.sqlite")
    assert said.endswith("--store=answers.sqlite is a file, and Dataflow's workers share none")


@pytest.mark.parametrize("place", ["redis://cache/0", "postgresql://me:$PASSWORD@db/answers"])
def test_an_answer_store_on_a_server_is_taken(place: str) -> None:
    assert parsed(f"--store={place}")[0].store == place


def test_options_may_be_spelled_like_those_of_beam() -> None:
    settings = parsed("--filter_model=openai:gpt-5-nano", "--fallback_model", "google:gemini-2.5-flash")[0]
    assert (settings.filter_model, settings.fallback_model) == ("openai:gpt-5-nano", "google:gemini-2.5-flash")


@pytest.mark.parametrize("separator", [",", " ", ", "])
def test_keys_of_several_vendors_are_named_by_their_secrets(separator: str) -> None:
    named = separator.join(f"{vendor}={secret}" for vendor, secret in SECRETS.items())
    assert parsed(f"--key-secrets={named}")[0].key_secrets == SECRETS
    chosen = models(f"--key-secrets={named}")
    assert [(model.provider, model.api_key_env) for model in chosen.main.chain()] == list(SECRETS.items())
    assert [(model.provider, model.api_key_env) for model in chosen.first.chain()] == list(SECRETS.items())


def test_vendors_without_a_secret_keep_their_usual_variable() -> None:
    chosen = models(f"--key-secrets=openai={SECRETS['openai']}")
    assert [model.api_key_env for model in chosen.main.chain()] == [None, SECRETS["openai"]]


@pytest.mark.parametrize("given", ["anthropic=sk-ant-a-key", "anthropic", "anthropic=projects/shop/secrets/key"])
def test_a_key_in_place_of_a_secret_is_refused_and_not_shown(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, f"--key-secrets={given}")
    assert said.endswith(
        "argument --key-secrets: the secret for 'anthropic' is written as "
        "projects/<project>/secrets/<name>/versions/latest"
    )


def test_a_secret_for_a_vendor_that_is_not_asked_is_an_error() -> None:
    with pytest.raises(GraphError, match="--key-secrets names 'google', but the models are of anthropic, openai"):
        models(f"--key-secrets=google={SECRETS['openai']}")


def test_a_job_is_only_described_by_a_template_s_launcher_and_in_a_dry_run() -> None:
    options = parsed()[1]
    assert not is_only_described(options)
    options.view_as(GoogleCloudOptions).template_location = "gs://bucket/template"
    assert is_only_described(options)
    assert is_only_described(parsed("--dry_run=True")[1])
    assert not is_only_described(PipelineOptions(["--runner=FnApiRunner", "--dry_run=True"]))
