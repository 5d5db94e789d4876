"""Reviews of a shop: leave out spam, then find sentiment and topics, then summarise.

    python -m pipelines.review_analysis --input examples/reviews_20.jsonl --output output --model simulated

    items ──► filter_spam ──► sentiment ─┐
                         └──► topics ────┴──► summary

The rows, failures and costs become Parquet files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from apache_beam.runners.runner import PipelineResult
from pydantic import BaseModel, Field, field_validator

from beam_llmdag.dag import Dag
from beam_llmdag.model import Message
from beam_llmdag.records.item import Item
from pipelines.ending import analyse, run_as_program
from pipelines.models import Models, chosen_models
from pipelines.options import parse_settings

__all__ = ["Sentiment", "Spam", "Summary", "Topics", "main", "review_dag", "run"]


class Spam(BaseModel):
    """Whether a text is a review at all."""

    kind: Literal["review", "spam"]


class Sentiment(BaseModel):
    """How the customer feels about the product."""

    label: Literal["positive", "negative", "neutral"]
    confidence: float = Field(ge=0, le=1)


Topic = Annotated[str, Field(max_length=20, pattern=r"^[a-z-]+( [a-z-]+)?$")]


class Topics(BaseModel):
    """What a review is about."""

    topics: list[Topic] = Field(min_length=1, max_length=3, description="In English, one or two small words each.")

    @field_validator("topics")
    @classmethod
    def each_once(cls, topics: list[str]) -> list[str]:
        """Small models like to say a thing twice."""
        return list(dict.fromkeys(topics))


class Summary(BaseModel):
    """A review in one sentence."""

    summary: str = Field(description="One sentence in English.")


def filter_spam(item: Item) -> str:
    """Asks whether the review is spam."""
    return (
        "Is this product review spam or a review? spam: an advertisement or a link. "
        f"review: a customer tells about a product.\n\n{item.content}"
    )


def is_spam(filter_spam: Spam) -> bool:
    """Whether the dimensions behind the filter are skipped."""
    return filter_spam.kind == "spam"


def sentiment(item: Item) -> str:
    """Asks how the customer feels."""
    return (
        f"<review>\n{item.content}\n</review>\n\n"
        "What is the sentiment? positive: the customer is happy with the product. "
        "negative: the customer is unhappy with it. neutral: neither, or both in equal parts. "
        "Give your confidence as a number from 0 to 1."
    )


_TOPICS_QUESTION = "What does the customer praise or criticise?"
_TOPICS_EXAMPLES = (
    ("My son loves it, and the wheels are strong. The paint comes off, though.", '{"topics": ["wheels", "paint"]}'),
    ("Cuts bread like butter. Not for small hands.", '{"topics": ["cuts bread", "small hands"]}'),
    ("It rattles, and it came a week late.", '{"topics": ["rattles", "came late"]}'),
    ("Warm in winter. The zip broke.", '{"topics": ["warm", "zip"]}'),
)


def topics(item: Item) -> list[Message]:
    """Asks what the review is about, after examples that take words from theirs: small models do as they do."""
    asked = [
        message
        for review, answer in _TOPICS_EXAMPLES
        for message in (Message("user", f"Review: {review}\n\n{_TOPICS_QUESTION}"), Message("assistant", answer))
    ]
    return [*asked, Message("user", f"Review: {item.content}\n\n{_TOPICS_QUESTION}")]


def summary(item: Item, sentiment: Sentiment, topics: Topics) -> str:
    """Asks for one sentence, with what is known already."""
    return (
        f"<review>\n{item.content}\n</review>\n\n"
        f"Summarise this review in one English sentence. Its sentiment is {sentiment.label}; "
        f"it speaks about {', '.join(topics.topics)}."
    )


def review_dag(models: Models) -> Dag:
    """The graph, to be answered by `models`."""
    dag = Dag("reviews", model=models.main, providers=models.providers)
    dag.dimension(filter_spam, output=Spam, model=models.first)
    dag.dimension(sentiment, output=Sentiment, skip_if=is_spam)
    dag.dimension(topics, output=Topics, skip_if=is_spam)
    dag.dimension(summary, output=Summary)
    return dag


def run(argv: Sequence[str] | None = None) -> PipelineResult:
    """Runs the pipeline with the options in `argv` (by default the command line's) and waits for its end."""
    settings, options = parse_settings(argv, "Filter and analyse product reviews.")
    with chosen_models(settings) as models:
        return analyse(review_dag(models), models, settings, options)


def main() -> None:
    """Runs the pipeline from the command line."""
    run_as_program(run)


if __name__ == "__main__":
    main()
