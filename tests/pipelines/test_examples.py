"""The example data, and the gold answers beside it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from helpers.places import EXAMPLES
from pydantic import BaseModel

from beam_llmdag.records.item import Item
from pipelines import category_analysis as categories
from pipelines import review_analysis as reviews
from pipelines.models import gold_path

REVIEW_FILES = ["reviews_20", "reviews_100"]
ALL_FILES = [*REVIEW_FILES, "categories_10"]

PHRASES: dict[str, tuple[str, type[BaseModel]]] = {
    "filter_spam": ("Is this product review spam", reviews.Spam),
    "sentiment": ("What is the sentiment", reviews.Sentiment),
    "topics": ("praise or criticise", reviews.Topics),
    "summary": ("Summarise this review", reviews.Summary),
    "classify": ("Which one category", categories.Category),
    "group": ("Merge these labels into", categories.Groups),
    "analyze": ("What do customers say", categories.Insight),
}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def items(name: str) -> list[Item]:
    return [Item(row["id"], row["content"]) for row in lines(EXAMPLES / f"{name}.jsonl")]


def gold(name: str) -> list[dict[str, Any]]:
    return lines(gold_path(str(EXAMPLES / f"{name}.jsonl")))


def review_prompts(item: Item) -> dict[str, str]:
    about = reviews.Sentiment(label="neutral", confidence=1), reviews.Topics(topics=["price"])
    return {
        "filter_spam": reviews.filter_spam(item),
        "sentiment": reviews.sentiment(item),
        "topics": "\n".join(str(message.content) for message in reviews.topics(item)),
        "summary": reviews.summary(item, *about),
    }


def category_prompts() -> dict[tuple[str, str], str]:
    """(dimension, item id) -> prompt, with the gold answers as answers of the dimensions before."""
    found = items("categories_10")
    labels = [categories.Category(**rule["answer"]) for rule in rules_of("categories_10", "classify")]
    [grouping] = rules_of("categories_10", "group")
    prompts = {("classify", item.id): categories.classify(item) for item in found}
    prompts["group", ""] = categories.group(found, labels)
    contents = {item.id: item.content for item in found}
    for name, ids in categories.by_category(categories.Groups(**grouping["answer"])).items():
        prompts["analyze", name] = categories.analyze(Item(name, "\n\n".join(contents[source] for source in ids)))
    return prompts


def rules_of(name: str, dimension: str) -> list[dict[str, Any]]:
    return [rule for rule in gold(name) if rule["when"][0] == PHRASES[dimension][0]]


def matching(prompt: str, rules: list[dict[str, Any]]) -> list[int]:
    return [number for number, rule in enumerate(rules) if all(part in prompt for part in rule["when"])]


@pytest.mark.parametrize(("name", "count"), [("reviews_20", 20), ("reviews_100", 100), ("categories_10", 10)])
def test_ids_and_contents_are_unique(name: str, count: int) -> None:
    found = items(name)
    assert (len(found), len({item.id for item in found}), len({item.content for item in found})) == (count,) * 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("reviews_20", {"filter_spam": 20, "sentiment": 10, "topics": 10, "summary": 10}),
        ("reviews_100", {"filter_spam": 100, "sentiment": 65, "topics": 65, "summary": 65}),
        ("categories_10", {"classify": 10, "group": 1, "analyze": 5}),
    ],
)
def test_there_is_one_rule_for_every_call_of_the_pipeline(name: str, expected: dict[str, int]) -> None:
    dimensions = {phrase: dimension for dimension, (phrase, _) in PHRASES.items()}
    assert Counter(dimensions[rule["when"][0]] for rule in gold(name)) == expected


@pytest.mark.parametrize("name", ALL_FILES)
def test_gold_answers_fit_the_output_classes(name: str) -> None:
    classes = dict(PHRASES.values())
    for rule in gold(name):
        output = classes[rule["when"][0]]
        assert output.model_validate(rule["answer"], strict=True).model_dump() == rule["answer"]


@pytest.mark.parametrize("name", ALL_FILES)
def test_no_review_contains_a_phrase_of_a_prompt(name: str) -> None:
    phrases = [phrase.lower() for phrase, _ in PHRASES.values()]
    assert [item.id for item in items(name) if any(phrase in item.content.lower() for phrase in phrases)] == []


@pytest.mark.parametrize("name", REVIEW_FILES)
def test_each_prompt_about_a_review_matches_its_own_rule_alone(name: str) -> None:
    rules = gold(name)
    spam = {rule["when"][1] for rule in rules if rule["answer"].get("kind") == "spam"}
    matched = []
    for item in items(name):
        for dimension, prompt in review_prompts(item).items():
            wanted = [PHRASES[dimension][0], item.content]
            own = [number for number, rule in enumerate(rules) if rule["when"] == wanted]
            assert matching(prompt, rules) == own
            assert len(own) == (0 if dimension != "filter_spam" and item.content in spam else 1)
            matched += own
    assert sorted(matched) == list(range(len(rules)))


def test_each_prompt_about_categories_matches_one_rule_and_each_rule_one_prompt() -> None:
    rules = gold("categories_10")
    matched = {key: matching(prompt, rules) for key, prompt in category_prompts().items()}
    assert sorted(number for numbers in matched.values() for number in numbers) == list(range(len(rules)))
    assert {len(numbers) for numbers in matched.values()} == {1}
    assert all(rules[numbers[0]]["when"][0] == PHRASES[dimension][0] for (dimension, _), numbers in matched.items())


def test_the_gold_groups_are_five_with_two_reviews_each() -> None:
    [grouping] = rules_of("categories_10", "group")
    groups = grouping["answer"]["groups"]
    assert [len(answer["ids"]) for answer in groups] == [2] * 5
    assert sorted(name for answer in groups for name in answer["ids"]) == [item.id for item in items("categories_10")]
    assert len({answer["name"] for answer in groups}) == 5
