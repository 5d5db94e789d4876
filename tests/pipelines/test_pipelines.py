"""The example pipelines end to end, with the simulated model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from helpers.places import EXAMPLES

from beam_llmdag import InputError, Report, read_items
from beam_llmdag.run.manifest import read_manifest
from pipelines import category_analysis, review_analysis
from pipelines.ending import analyse
from pipelines.models import chosen_models
from pipelines.options import Settings, parse_settings


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def gold_answers(name: str, phrase: str) -> list[Any]:
    lines = (EXAMPLES / f"{name}.gold.jsonl").read_text(encoding="utf-8").split("\n")
    rules = [json.loads(line) for line in lines if line]
    return [rule["answer"] for rule in rules if rule["when"][0] == phrase]


def run_reviews(folder: Path, *more: str) -> dict[str, Any]:
    """Runs the review pipeline with simulated answers; its summary."""
    summary = folder / "copy.json"
    args = ["--input", f"{EXAMPLES}/reviews_20.jsonl", "--output", f"{folder}", "--summary", f"{summary}"]
    review_analysis.run([*args, "--model", "simulated", *more])
    found: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    return found


def calls(summary: dict[str, Any]) -> dict[str, int]:
    return {dimension: total["calls"] for dimension, total in summary["by_dimension"].items()}


def test_the_review_pipeline_asks_50_times_and_skips_spam(tmp_path: Path) -> None:
    summary = run_reviews(tmp_path)
    found = rows(tmp_path / "items.parquet")
    assert calls(summary) == {"filter_spam": 20, "sentiment": 10, "topics": 10, "summary": 10}
    assert (summary["items"], summary["calls"], summary["skipped"], summary["failed"]) == (20, 50, 30, 0)
    assert [row["filter_spam"]["data"] for row in found] == gold_answers("reviews_20", "Is this product review spam")
    summaries = [row["summary"]["data"] for row in found if row["summary"]["status"] == "ok"]
    assert summaries == gold_answers("reviews_20", "Summarise this review")
    assert [row["summary"]["status"] for row in found] == ["ok", "skipped"] * 10
    assert rows(tmp_path / "failures.parquet") == []
    assert len(rows(tmp_path / "costs.parquet")) == 50


def test_the_summary_of_a_run_is_in_its_folder_and_its_money_is_that_of_the_costs(tmp_path: Path) -> None:
    summary = run_reviews(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == summary
    nano_usd = sum(cost["cost_nano_usd"] for cost in rows(tmp_path / "costs.parquet"))
    assert (summary["cost_usd"], summary["cost_is_complete"]) == (nano_usd / 1e9, True)
    assert {model: total["calls"] for model, total in summary["by_model"].items()} == {
        "anthropic:claude-haiku-4-5": 20,
        "anthropic:claude-sonnet-4-5": 30,
    }


def test_a_run_ends_with_a_table_and_the_rows_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_reviews(tmp_path, "--show", "2")
    printed = capsys.readouterr().out
    assert [line.split()[:5] for line in printed.splitlines() if line.startswith("total")] == [
        ["total", "20", "50", "30", "0"]
    ]
    shown = [line.split(":")[0] for line in printed.splitlines() if line.startswith("r")]
    assert shown == ["results", "r01", "r02"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_other_kinds_of_files_give_the_same_answers(kind: str, tmp_path: Path) -> None:
    items = pa.Table.from_pylist(
        [json.loads(line) for line in (EXAMPLES / "reviews_20.jsonl").read_text(encoding="utf-8").splitlines()]
    )
    path = tmp_path / f"reviews_20.{kind}"
    pa_csv.write_csv(items, path) if kind == "csv" else pq.write_table(items, path)
    (tmp_path / "reviews_20.gold.jsonl").write_bytes((EXAMPLES / "reviews_20.gold.jsonl").read_bytes())
    review_analysis.run(["--input", f"{path}", "--output", f"{tmp_path / 'other'}", "--model", "simulated"])
    run_reviews(tmp_path / "jsonl")
    names = ["id", "content", "filter_spam", "sentiment", "topics", "summary"]
    other = pq.read_table(tmp_path / "other" / "items.parquet", columns=names)
    assert other.equals(pq.read_table(tmp_path / "jsonl" / "items.parquet", columns=names))


def test_two_worker_processes_give_the_same_bytes_as_one(tmp_path: Path) -> None:
    run_reviews(tmp_path / "one")
    run_reviews(tmp_path / "two", "--direct_num_workers", "2", "--direct_running_mode", "multi_processing")
    for name in ("items.parquet", "costs.parquet", "failures.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_several_shards_hold_all_rows(tmp_path: Path) -> None:
    run_reviews(tmp_path, "--shards", "3")
    files = sorted(path.name for path in tmp_path.glob("items*"))
    assert files == [f"items-0000{number}-of-00003.parquet" for number in range(3)]
    assert sorted(row["id"] for file in files for row in rows(tmp_path / file)) == [f"r{n:02}" for n in range(1, 21)]


def test_the_category_pipeline_asks_16_times_and_makes_five_groups(tmp_path: Path) -> None:
    summary = tmp_path / "copy.json"
    args = ["--input", f"{EXAMPLES}/categories_10.jsonl", "--output", f"{tmp_path}", "--summary", f"{summary}"]
    category_analysis.run([*args, "--model", "simulated"])
    assert calls(json.loads(summary.read_text())) == {"classify": 10, "group": 1, "analyze": 5}
    [grouping] = gold_answers("categories_10", "Merge these labels into")
    found = rows(tmp_path / "regrouped" / "by_category.parquet")
    assert {row["id"]: row["source_ids"] for row in found} == {g["name"]: g["ids"] for g in grouping["groups"]}
    names = [group["name"] for group in grouping["groups"]]
    insights = dict(zip(names, gold_answers("categories_10", "What do customers say"), strict=True))
    assert {row["id"]: row["analyze"]["data"] for row in found} == insights
    [report] = rows(tmp_path / "globals" / "by_category.parquet")
    assert [report["data"][name] for name in ("unknown", "left_out", "in_several", "empty")] == [[], [], [], []]
    assert rows(tmp_path / "failures.parquet") == []


@pytest.mark.parametrize("name", ["review_analysis", "category_analysis"])
def test_help_names_every_option(name: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", f"pipelines.{name}", "--help"], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    for option in ("--input", "--output", "--model", "--filter-model", "--fallback-model", "--summary", "--shards"):
        assert option in shown


def test_options_that_are_not_ours_go_to_beam() -> None:
    args = ["--input", "in.jsonl", "--output", "out", "--filter-model", "google:g", "--direct_num_workers", "3"]
    settings, options = parse_settings(args, "text")
    assert settings == Settings(input="in.jsonl", output="out", model="cloud", filter_model="google:g")
    assert options.get_all_options(drop_default=True) == {"direct_num_workers": 3, "runner": "FnApiRunner"}


def test_a_runner_that_is_named_is_kept() -> None:
    _, options = parse_settings(["--input", "a", "--output", "b", "--runner", "PrismRunner"], "text")
    assert options.get_all_options()["runner"] == "PrismRunner"


def beam_options(*args: str) -> dict[str, Any]:
    """What Beam gets besides what was asked for."""
    _, options = parse_settings(["--input", "a", "--output", "b", *args], "text")
    told = PipelineOptions(options._flags).get_all_options(drop_default=True, retain_unknown_options=True)
    return {name: value for name, value in told.items() if f"--{name}" not in {arg.partition("=")[0] for arg in args}}


def test_a_job_on_prism_may_take_longer_than_five_minutes() -> None:
    assert beam_options("--runner=PrismRunner") == {"job_server_timeout": 604800}
    assert beam_options("--runner=PrismRunner", "--job_server_timeout=9") == {}


def test_a_job_on_a_flink_cluster_has_blocking_exchanges_and_workers_that_install_what_it_stages() -> None:
    added = beam_options("--runner=FlinkRunner", "--flink_master=localhost:8081")
    assert added.pop("environment_config") == json.dumps({"command": f"{Path(sys.executable).parent}/llmdag-boot"})
    assert added == {"execution_mode_for_batch": "BATCH", "environment_type": "PROCESS"}


def test_options_for_flink_that_are_named_are_kept() -> None:
    named = ("--execution_mode_for_batch=PIPELINED", "--environment_type=DOCKER")
    assert beam_options("--runner=flink", "--flink_master=localhost:8081", *named) == {}
    assert beam_options("--runner=PortableRunner", *named) == {}


def test_a_flink_that_beam_starts_itself_has_its_workers_in_this_process() -> None:
    assert beam_options("--runner=FlinkRunner") == {"execution_mode_for_batch": "BATCH"}


def test_a_store_that_is_named_is_for_answers_that_cost_something() -> None:
    for model, store in (("anthropic:a", "/x/answers.sqlite"), ("simulated", "/x/answers.simulated.sqlite")):
        with chosen_models(Settings(input="in.jsonl", output="out", model=model, store="/x/answers.sqlite")) as models:
            assert models.store == store


def test_simulated_answers_are_on_a_server_only_where_the_command_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMDAG_STORE", "redis://real/0")
    for named, store in ((None, False), ("redis://mine/0", "redis://mine/0")):
        with chosen_models(Settings(input="in.jsonl", output="out", model="simulated", store=named)) as models:
            assert models.store == store


def test_no_store_is_no_store_for_simulated_answers_either() -> None:
    with chosen_models(Settings(input="in.jsonl", output="out", model="simulated")) as models:
        assert models.store is False


@pytest.mark.parametrize("pipeline", [review_analysis, category_analysis])
def test_a_second_simulated_run_asks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pipeline: Any
) -> None:
    monkeypatch.setenv("LLMDAG_STORE", str(tmp_path / "answers.sqlite"))
    name = "reviews_20" if pipeline is review_analysis else "categories_10"
    for folder in ("first", "second"):
        summary = tmp_path / f"{folder}.json"
        args = ["--input", f"{EXAMPLES}/{name}.jsonl", "--output", f"{tmp_path / folder}", "--summary", f"{summary}"]
        pipeline.run([*args, "--model", "simulated"])
    first, second = (json.loads((tmp_path / f"{folder}.json").read_text("utf-8")) for folder in ("first", "second"))
    assert first["calls"] > 0
    assert (second["calls"], second["failed"], second["store_hits"]) == (0, 0, first["calls"])
    answers = [
        [
            {name: value["data"] for name, value in row.items() if isinstance(value, dict) and "data" in value}
            for row in found
        ]
        for found in (rows(tmp_path / folder / "items.parquet") for folder in ("first", "second"))
    ]
    assert answers[0] == answers[1]


def test_other_gold_answers_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMDAG_STORE", str(tmp_path / "answers.sqlite"))
    (tmp_path / "in.jsonl").write_text('{"id": "1", "content": "Fine."}\n', encoding="utf-8")
    args = ["--input", f"{tmp_path}/in.jsonl", "--model", "simulated", "--summary", f"{tmp_path}/s.json"]
    found = []
    for number in range(2):
        (tmp_path / "in.gold.jsonl").write_text(
            json.dumps({"when": ["Fine."], "answer": {"kind": "spam"}}) + "\n" * (number + 1), encoding="utf-8"
        )
        review_analysis.run([*args, "--output", f"{tmp_path}/{number}"])
        found.append(json.loads((tmp_path / "s.json").read_text("utf-8"))["calls"])
    assert found == [1, 1]


def test_a_negative_number_of_shards_is_an_error_that_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_settings(["--input", "a", "--output", "b", "--shards", "-1"], "text")
    assert "-1 is less than 0" in capsys.readouterr().err


def test_the_first_dimension_has_its_own_model_and_all_have_the_fallback() -> None:
    names = {"model": "anthropic:a", "filter_model": "google:g", "fallback_model": "openai:o"}
    with chosen_models(Settings(input="in.jsonl", output="out", **names)) as models:
        assert [model.spec for model in models.main.chain()] == ["anthropic:a", "openai:o"]
        assert [model.spec for model in models.first.chain()] == ["google:g", "openai:o"]
        assert models.store is None


def test_the_cloud_has_a_cheap_first_model_and_a_fallback_of_another_vendor() -> None:
    with chosen_models(Settings(input="in.jsonl", output="out", model="cloud")) as models:
        assert [model.spec for model in models.first.chain()] == ["anthropic:claude-haiku-4-5", "openai:gpt-5-mini"]
        assert [model.spec for model in models.main.chain()] == ["anthropic:claude-sonnet-4-5", "openai:gpt-5-mini"]


def test_simulated_answers_are_not_kept_in_the_store() -> None:
    with chosen_models(Settings(input="in.jsonl", output="out", model="simulated")) as models:
        assert models.store is False


def written_by_a_pipeline(folder: Path, *more: str) -> Callable[[], Report]:
    """Runs the review pipeline into a folder; what is returned asks again what failed there."""
    args = ["--input", f"{EXAMPLES}/reviews_20.jsonl", "--output", f"{folder}", "--model", "simulated", *more]
    settings, options = parse_settings([*args, "--run-id", "monday", "--store", f"{folder}/answers.sqlite"], "")
    with chosen_models(settings) as models:
        dag = review_analysis.review_dag(models)
        analyse(dag, models, settings, options)
    return lambda: dag.redrive(folder, read_items(f"{EXAMPLES}/reviews_20.jsonl"))


def test_a_manifest_says_what_made_the_files(tmp_path: Path) -> None:
    written_by_a_pipeline(tmp_path)
    manifest = read_manifest(tmp_path)
    assert (manifest["run_id"], manifest["dag"]["name"], manifest["items"]["count"]) == ("monday", "reviews", 20)
    assert manifest["store"] == f"{tmp_path}/answers.simulated.sqlite"
    assert manifest["origin"]["input"] == f"{EXAMPLES}/reviews_20.jsonl"
    sizes = {name: (tmp_path / name).stat().st_size for name in ("costs.parquet", "failures.parquet", "items.parquet")}
    assert manifest["files"] == {name: {"bytes": size} for name, size in sizes.items()}
    assert manifest["summary"] == json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))


def test_what_a_pipeline_wrote_is_redriven_byte_for_byte(tmp_path: Path) -> None:
    redrive = written_by_a_pipeline(tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.glob("*.parquet")}
    report = redrive()  # the simulated vendor is gone: all is in the store
    assert report.failures == []
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.parquet")} == written


def test_what_a_pipeline_wrote_in_several_files_says_how_to_ask_again(tmp_path: Path) -> None:
    redrive = written_by_a_pipeline(tmp_path, "--shards", "2")
    with pytest.raises(InputError, match="start it again as it was, with --run-id monday"):
        redrive()


def test_a_deadline_of_a_pipeline_is_one_for_batches() -> None:
    args = ["--input", "in.jsonl", "--output", "out", "--deadline", "2027-01-31T08:00Z"]
    settings, _ = parse_settings(args, "")
    assert (settings.lane, settings.deadline) == ("batch", datetime(2027, 1, 31, 8, tzinfo=UTC))
