"""Several samples of one dimension, and the vote on them, the same in both plans and in `dag.run`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from helpers.dags import make_dag, prompt_of
from pydantic import BaseModel

from beam_llmdag import CallError, GraphError, Item, Model
from beam_llmdag.model import Request

ITEMS = [Item("1", "x"), Item("2", "y")]


class Mood(BaseModel):
    label: Literal["good", "bad", "mixed"]


def of_sample(*answers: Any) -> Callable[[Request], Any]:
    """Answers by the number of the sample; an error class is an error."""

    def answer(request: Request) -> Any:
        said = answers[request.sample]
        if said in ("refused", "overloaded"):
            return CallError(said, "no", http_status=400)
        return {"label": said}

    return answer


def voting(*answers: Any, **options: Any) -> tuple[Any, Any]:
    dag, provider = make_dag(of_sample(*answers), model=Model("scripted:x", attempts=1))
    dag.dimension(lambda item: f"mood of {item.content}", name="mood", output=Mood, samples=len(answers), **options)
    return dag, provider


def test_samples_are_calls_of_their_own_and_make_a_list(run: Any) -> None:
    dag, provider = voting("good", "bad", "good")
    dag.dimension(lambda item, mood: " ".join(one.label for one in mood), name="seen", output=Any, on_failure=None)
    done = run.everywhere(dag, ITEMS[:1])
    result = done.items[0].results["mood"]
    assert result.data == [{"label": "good"}, {"label": "bad"}, {"label": "good"}]
    assert (result.status, result.model, result.reason, len(result.attempts)) == ("ok", "scripted:x", None, 3)
    assert [(row.dimension, row.number) for row in done.costs if row.dimension == "mood"] == [
        ("mood", 1),
        ("mood", 2),
        ("mood", 3),
    ]
    assert (done.counters["mood"]["calls"], "retries" in done.counters["mood"]) == (3, False)
    assert {prompt_of(request) for request in provider.requests} == {"mood of x", "good bad good"}


def test_a_vote_makes_one_answer_of_typed_ones(run: Any) -> None:
    dag, _ = voting("good", "bad", "mixed", vote=lambda moods: next(m for m in moods if m.label == "mixed"))
    dag.dimension(lambda item, mood: mood.label, name="seen", output=Any, on_failure=None)
    assert run.everywhere(dag, ITEMS).data("mood") == {"1": {"label": "mixed"}, "2": {"label": "mixed"}}


@pytest.mark.parametrize(
    ("answers", "elected"),
    [(("bad", "good", "good"), "good"), (("bad", "good", "mixed"), "bad"), (("bad", "good", "good", "bad"), "bad")],
    ids=["most", "all different", "a tie"],
)
def test_the_majority_is_the_most_common_answer_and_the_first_of_equally_common_ones(
    answers: tuple[str, ...], elected: str
) -> None:
    dag, _ = voting(*answers, vote="majority")
    assert dag.run(ITEMS[:1], progress=False).answers("mood") == {"1": Mood(label=elected)}


def test_samples_that_failed_are_left_out_said_and_paid(run: Any) -> None:
    dag, _ = voting("refused", "bad", "good", vote="majority")
    done = run.everywhere(dag, ITEMS)
    result = done.items[0].results["mood"]
    assert (result.status, result.data) == ("ok", {"label": "bad"})
    assert result.reason == "1 of 3 samples failed (refused)"
    assert [attempt.error_class for attempt in result.attempts] == ["refused", None, None]
    assert done.failures == []
    assert [row.attempt.error_class for row in done.costs if row.item_id == "1"] == ["refused", None, None]


def test_without_any_answer_the_dimension_has_failed_and_on_failure_helps(run: Any) -> None:
    dag, _ = voting("refused", "overloaded")
    dag.dimension(
        lambda item: f"mood of {item.content}",
        name="helped",
        output=Mood,
        samples=2,
        vote="majority",
        on_failure={"label": "mixed"},
    )
    done = run.everywhere(dag, ITEMS[:1])
    [failure] = done.failures
    assert (failure.dimension, failure.error_class, len(failure.attempts)) == ("mood", "refused", 2)
    assert "none of 2 samples has an answer; the first: scripted:x: no" in failure.message
    assert done.items[0].results["helped"].status == "fallback"
    assert done.data("helped") == {"1": {"label": "mixed"}}


def test_a_vote_that_goes_wrong_is_the_users_function_and_the_samples_are_paid(run: Any) -> None:
    dag, _ = voting("good", "bad", vote=lambda moods: "good")
    dag.dimension(lambda item: "x", name="raises", output=Mood, samples=2, vote=lambda moods: moods[7])
    done = run.everywhere(dag, ITEMS[:1])
    told = {failure.dimension: failure for failure in done.failures}
    assert {failure.error_class for failure in done.failures} == {"user_function"}
    assert [len(failure.attempts) for failure in done.failures] == [2, 2]
    assert "what vote returned does not fit the output" in told["mood"].message
    assert "vote of dimension 'raises' raised IndexError" in told["raises"].message


def test_samples_of_a_global_and_of_a_group_and_of_one_that_is_split(run: Any) -> None:
    def answer(request: Request) -> Any:
        return f"{prompt_of(request)} #{request.sample}"

    dag, provider = make_dag(answer)
    dag.dimension(lambda items: "all", name="whole", scope="global", samples=2)
    dag.dimension(
        lambda items: "some", name="group", scope="global", per=lambda item: item.content, samples=2, vote=sorted_last
    )
    split = dag.dimension(
        lambda items: " ".join([item.id for item in items] * 40),
        name="split",
        scope="global",
        samples=2,
        max_prompt_tokens=30,
    )
    split.merge(lambda parts: ["+".join(part[-2:] for part in parts)])
    done = run.everywhere(dag, ITEMS)
    results = {(result.dimension, result.item_id): result.data for result in done.globals}
    assert results["whole", ""] == ["all #0", "all #1"]
    assert (results["group", "x"], results["group", "y"]) == ("some #1", "some #1")
    assert results["split", ""] == ["#0+#0 #0", "#1+#1 #1"]
    assert len(provider.requests) == 3 * (2 + 2 * 2 + 2 * 3)


def sorted_last(answers: list[str]) -> str:
    return sorted(answers)[-1]


def test_all_samples_are_found_again_and_more_of_them_ask_only_for_the_new_ones(run: Any, tmp_path: Any) -> None:
    store = tmp_path / "answers.sqlite"

    def asked(samples: int, plan: str) -> tuple[int, Any]:
        """Calls made, and the result."""
        dag, provider = make_dag(of_sample("good", "bad", "good"))
        vote = "majority" if samples > 1 else None
        dag.dimension(lambda item: item.content, name="mood", output=Mood, samples=samples, vote=vote)
        result = run(dag, ITEMS, plan=plan, store=store).items[0].results["mood"]
        return len(provider.requests), result

    calls, first = asked(1, "pipelined")
    assert (calls, first.store_hit) == (2, False)
    calls, voted = asked(3, "staged")
    assert (calls, voted.store_hit, len(voted.attempts)) == (4, False, 2)
    calls, again = asked(3, "pipelined")
    assert (calls, again.store_hit, again.attempts) == (0, True, ())
    assert again.data == voted.data == {"label": "good"}


def test_twin_dimensions_are_not_silently_one_and_both_are_found_again(run: Any, tmp_path: Any) -> None:
    said = iter("abcdefgh")
    dag, provider = make_dag(lambda request: next(said))
    for name in ("one", "other"):
        dag.dimension(lambda item: f"About {item.content}", name=name)
    first, second = (run(dag, ITEMS, plan=plan, store=tmp_path / "s.sqlite") for plan in ("pipelined", "staged"))
    answers = [first.data(name)[item] for name in ("one", "other") for item in ("1", "2")]
    assert len(set(answers)) == 4
    assert answers == [second.data(name)[item] for name in ("one", "other") for item in ("1", "2")]
    assert len(provider.requests) == 4


@pytest.mark.parametrize("output", [str, Literal["a", "b"], {"type": "object", "properties": {"a": {"$ref": "#"}}}])
def test_a_list_of_any_output_has_a_column(output: Any) -> None:
    dag, _ = make_dag(["{}" if isinstance(output, dict) else '"a"'])
    dag.dimension(lambda item: item.content, name="said", output=output, samples=2)
    [row] = dag.run(ITEMS[:1], progress=False).to_rows()
    assert len(row["said"]["data"]) == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"samples": 0}, "samples is a number of calls, 1 or more, not 0"),
        ({"samples": 2.5}, "samples is a number of calls, 1 or more, not 2.5"),
        ({"vote": "majority"}, "vote= makes one answer of several, so it needs samples=3"),
        ({"samples": 3, "vote": "median"}, "vote of dimension 'mood' is a function of the answers, or 'majority'"),
        (
            {"samples": 3, "vote": lambda item, answers: 1},
            "takes one parameter, the list of answers, not item, answers",
        ),
        ({"samples": 3, "on_failure": {"label": "good"}}, "the value of on_failure does not fit its output"),
    ],
    ids=["none", "half", "nothing to vote on", "unknown vote", "two parameters", "on_failure of another type"],
)
def test_a_wrong_declaration_is_refused(options: Any, told: str) -> None:
    dag, _ = make_dag(["never"])
    with pytest.raises(GraphError, match=told.replace("(", r"\(")):
        dag.dimension(lambda item: item.content, name="mood", output=Mood, **options)
