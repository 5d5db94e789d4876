"""The example pipelines end to end, with the simulated model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines import category_analysis, review_analysis
from pipelines.models import chosen_models
from pipelines.options import Settings, parse_settings

EXAMPLES = Path(__file__).parent.parent / "examples"


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def gold_answers(name: str, phrase: str) -> list[Any]:
    lines = (EXAMPLES / f"{name}.gold.jsonl").read_text(encoding="utf-8").split("\n")
    rules = [json.loads(line) for line in lines if line]
    return [rule["answer"] for rule in rules if rule["when"][0] == phrase]


def calls(path: Path) -> dict[str, int]:
    return {dimension: counters["calls"] for dimension, counters in json.loads(path.read_text()).items()}


def test_the_review_pipeline_asks_50_times_and_skips_spam(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    args = ["--input", f"{EXAMPLES}/reviews_20.jsonl", "--output", f"{tmp_path}", "--summary", f"{summary}"]
    review_analysis.run(args)
    found = rows(tmp_path / "items.parquet")
    assert calls(summary) == {"filter_spam": 20, "sentiment": 10, "topics": 10, "summary": 10}
    assert [row["filter_spam"]["data"] for row in found] == gold_answers("reviews_20", "Is this product review spam")
    summaries = [row["summary"]["data"] for row in found if row["summary"]["status"] == "ok"]
    assert summaries == gold_answers("reviews_20", "Summarise this review")
    assert [row["summary"]["status"] for row in found] == ["ok", "skipped"] * 10
    assert rows(tmp_path / "failures.parquet") == []
    assert len(rows(tmp_path / "costs.parquet")) == 50


def test_the_category_pipeline_asks_16_times_and_makes_five_groups(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    args = ["--input", f"{EXAMPLES}/categories_10.jsonl", "--output", f"{tmp_path}", "--summary", f"{summary}"]
    category_analysis.run(args)
    assert calls(summary) == {"classify": 10, "group": 1, "analyze": 5}
    [grouping] = gold_answers("categories_10", "Merge these labels into")
    found = rows(tmp_path / "regrouped" / "by_category.parquet")
    assert {row["id"]: row["source_ids"] for row in found} == {g["name"]: g["ids"] for g in grouping["groups"]}
    names = [group["name"] for group in grouping["groups"]]
    insights = dict(zip(names, gold_answers("categories_10", "What do customers say"), strict=True))
    assert {row["id"]: row["analyze"]["data"] for row in found} == insights
    [report] = rows(tmp_path / "globals" / "by_category.parquet")
    assert [report["data"][name] for name in ("unknown", "left_out", "in_several", "empty")] == [[], [], [], []]
    assert rows(tmp_path / "failures.parquet") == []


def test_options_that_are_not_ours_go_to_beam() -> None:
    args = ["--input", "in.jsonl", "--output", "out", "--filter-model", "google:g", "--direct_num_workers", "3"]
    settings, options = parse_settings(args, "text")
    assert settings == Settings(input="in.jsonl", output="out", model="simulated", filter_model="google:g")
    assert options.get_all_options(drop_default=True) == {"direct_num_workers": 3}


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


def test_simulated_answers_are_not_kept_in_the_store() -> None:
    with chosen_models(Settings(input="in.jsonl", output="out", model="simulated")) as models:
        assert models.store is False
