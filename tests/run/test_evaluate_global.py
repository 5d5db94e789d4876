from enum import Enum
from typing import Any

import pytest
from helpers.dags import answered, evaluated, make_dag, not_ok, prompt_of, row

from beam_llmdag.errors import CallError
from beam_llmdag.records.result import Result
from beam_llmdag.run.evaluate_global import NO_GROUP, group_of, item_sides

OUTPUT = {"type": "object", "properties": {"tag": {"type": "string"}}}


def with_tags(on_missing: Any = "skip", **options: Any):
    """A dag: `tag` per item, and `all_tags` over them."""
    dag, provider = make_dag(answered(str))

    @dag.dimension(output=OUTPUT)
    def tag(item):
        return item.content

    @dag.dimension(scope="global", on_missing=on_missing, **options)
    def all_tags(items, tag):
        return "; ".join(f"{item.id}={answer and answer['tag']}" for item, answer in zip(items, tag, strict=True))

    return dag, provider


ROWS = [row("c", tag={"tag": "3"}), row("a", tag={"tag": "1"}), row("b", tag=not_ok("tag", "b"))]


def test_rows_come_ordered_by_id_and_those_without_answers_are_left_out_and_named():
    dag, provider = with_tags()
    result = evaluated(dag, "all_tags", ROWS)
    assert prompt_of(provider.requests[0]) == "a=1; c=3"
    assert (result.status, result.item_id, result.left_out) == ("ok", "", ("b",))
    assert result.reason == "1 of 3 items left out: they have no answers"


def test_a_global_that_runs_all_the_same_gets_none_in_its_lists():
    dag, provider = with_tags("run")
    result = evaluated(dag, "all_tags", ROWS)
    assert prompt_of(provider.requests[0]) == "a=1; b=None; c=3"
    assert (result.left_out, result.reason) == ((), None)


def test_a_global_that_fails_without_an_answer_names_the_items_and_makes_no_call():
    dag, provider = with_tags("fail")
    result = evaluated(dag, "all_tags", ROWS)
    assert (result.status, result.error_class) == ("failed", "dependency")
    assert "1 items have no answer of what it needs: 'b'" in result.message
    assert provider.requests == []


@pytest.mark.parametrize(
    ("rows", "reason"), [([], "no items"), (ROWS[2:], "no items: 1 left out, because they have no answers")]
)
def test_no_rows_are_skipped_without_a_call(rows, reason):
    dag, provider = with_tags()
    result = evaluated(dag, "all_tags", rows)
    assert (result.status, result.reason) == ("skipped", reason)
    assert provider.requests == []


def test_skip_if_and_on_failure_of_a_global_see_the_lists():
    dag, _ = with_tags(skip_if=lambda items, tag: len(tag) == 1)
    assert evaluated(dag, "all_tags", ROWS[1:2]).status == "skipped"

    def fail(request):
        raise CallError("refused", "no")

    dag, _ = make_dag(fail)
    dag.dimension(lambda item: item.content, output=OUTPUT, name="tag")
    seen = lambda items, tag, error: f"{[item.id for item in items]} {tag} {error.error_class}"  # noqa: E731
    dag.dimension(lambda items, tag: "all", scope="global", name="all_tags", on_failure=seen)
    result = evaluated(dag, "all_tags", ROWS)
    assert (result.status, result.data) == ("fallback", "['a', 'c'] [{'tag': '1'}, {'tag': '3'}] refused")
    assert result.left_out == ("b",)


@pytest.mark.parametrize(
    ("on_missing", "status", "calls"), [("skip", "skipped", 0), ("fail", "failed", 0), ("run", "ok", 1)]
)
def test_a_global_that_needs_a_failed_global(on_missing, status, calls):
    dag, provider = make_dag(answered(str))
    dag.dimension(lambda items: "first", scope="global", name="first")
    dag.dimension(lambda items, first: f"second {first}", scope="global", name="second", on_missing=on_missing)
    result = evaluated(dag, "second", [row("a")], {"first": {NO_GROUP: not_ok("first")}})
    assert result.status == status
    assert "'first', which failed (refused)" in (result.reason or result.message or "'first', which failed (refused)")
    assert len(provider.requests) == calls


def test_a_global_sees_the_answers_of_a_grouped_one_by_group():
    dag, provider = make_dag(answered(str))
    dag.dimension(lambda items: "?", scope="global", name="teams", per=lambda item: item.content)
    dag.dimension(lambda items, teams: f"{teams}", scope="global", name="whole")
    groups = {
        "y": Result(dimension="teams", item_id="y", status="ok", data="Y"),
        "x": Result(dimension="teams", item_id="x", status="ok", data="X"),
        "z": not_ok("teams", "z"),
    }
    evaluated(dag, "whole", [row("a")], {"teams": groups})
    assert prompt_of(provider.requests[0]) == "{'x': 'X', 'y': 'Y'}"


# ---- too many rows


def counting(most: int, *, merge: Any = None, answers: Any = None, output: Any = list[int]):
    """A global over numbers whose prompt holds about `most` tokens (3 bytes each)."""
    dag, provider = make_dag(answers or answered(lambda prompt: {"value": [int(n) for n in prompt.split()]}))

    @dag.dimension(scope="global", output=output, max_prompt_tokens=most)
    def numbers(items):
        return " ".join(item.content for item in items)

    if merge is not None:
        numbers.merge(merge)
    return dag, provider


def joined(parts):
    return [number for part in parts for number in part]


EIGHT = [row(str(n), f"{n:05}") for n in range(8)]  # eight of them are 47 bytes, 15 tokens


def test_rows_that_fit_are_one_call():
    dag, provider = counting(20)
    assert evaluated(dag, "numbers", EIGHT).data == list(range(8))
    assert len(provider.requests) == 1


def test_too_many_rows_without_a_merge_fail_before_any_call_and_say_the_remedy():
    dag, provider = counting(10)
    result = evaluated(dag, "numbers", EIGHT)
    assert (result.status, result.error_class) == ("failed", "too_many_rows")
    assert "8 rows do not fit one prompt of at most 10 tokens" in result.message
    assert "@numbers.merge" in result.message
    assert provider.requests == []


def test_chunks_are_in_order_and_merged_by_value():
    dag, provider = counting(8, merge=joined)
    result = evaluated(dag, "numbers", EIGHT)
    assert result.data == list(range(8))
    assert [prompt_of(request) for request in provider.requests] == [
        "00000 00001 00002 00003",
        "00004 00005 00006 00007",
    ]
    assert len(result.attempts) == 2
    assert result.model == "scripted:x"


def test_chunks_are_merged_by_one_more_prompt():
    dag, provider = counting(8, merge=lambda parts: " ".join(str(sum(part)) for part in parts))
    result = evaluated(dag, "numbers", EIGHT)
    assert result.data == [0 + 1 + 2 + 3, 4 + 5 + 6 + 7]
    assert prompt_of(provider.requests[-1]) == "6 22"
    assert len(result.attempts) == 3


def test_a_merge_prompt_that_is_too_long_is_merged_in_halves_first():
    """Eight chunks of one row; a prompt holds four parts, so 8 → 2 × 4 → 1."""
    merged = []

    def merge(parts):
        merged.append(len(parts))
        return " ".join(f"{sum(part):05}" for part in parts)

    dag, provider = counting(
        8, merge=merge, answers=answered(lambda prompt: {"value": [sum(int(n) for n in prompt.split())]})
    )
    rows = [row(str(n), f"{n:020}") for n in range(8)]
    result = evaluated(dag, "numbers", rows)
    assert result.data == [28]
    assert merged == [8, 4, 4, 2]
    assert len(result.attempts) == len(provider.requests) == 8 + 2 + 1


def test_a_part_that_fails_fails_the_whole_with_all_attempts_paid():
    def answer(prompt):
        if "00004" in prompt:
            raise CallError("refused", "not four", http_status=400)
        return {"value": [int(n) for n in prompt.split()]}

    dag, _ = counting(8, merge=joined, answers=answered(answer))
    result = evaluated(dag, "numbers", EIGHT)
    assert (result.status, result.error_class) == ("failed", "refused")
    assert "not four" in result.message
    assert sorted(str(attempt.error_class) for attempt in result.attempts) == ["None", "refused"]


def test_a_merge_that_fails_keeps_the_attempts_of_the_parts():
    dag, _ = counting(8, merge=lambda parts: parts[7])
    result = evaluated(dag, "numbers", EIGHT)
    assert (result.status, result.error_class) == ("failed", "user_function")
    assert "IndexError" in result.message
    assert len(result.attempts) == 2


def test_a_merge_that_returns_neither_a_prompt_nor_an_answer_says_so():
    dag, _ = counting(8, merge=lambda parts: {"x": object()})
    result = evaluated(dag, "numbers", EIGHT)
    assert (result.status, result.error_class) == ("failed", "user_function")
    assert "what merge returned" in result.message


def test_a_list_of_texts_is_an_answer_where_the_output_is_one():
    dag, provider = counting(8, merge=joined, output=list[str], answers=answered(lambda p: {"value": p.split()}))
    assert evaluated(dag, "numbers", EIGHT).data == [f"{n:05}" for n in range(8)]
    assert len(provider.requests) == 2


def test_merging_plain_text_asks_once_more():
    dag, provider = counting(
        8, merge=lambda parts: " | ".join(parts), output=str, answers=answered(lambda prompt: prompt[-2:])
    )
    assert evaluated(dag, "numbers", EIGHT).data == "07"
    assert prompt_of(provider.requests[-1]) == "03 | 07"


def test_one_item_that_fits_no_prompt_is_named_before_any_call():
    dag, provider = counting(8, merge=joined)
    result = evaluated(dag, "numbers", [*EIGHT, row("big", "9" * 500)])
    assert result.error_class == "too_many_rows"
    assert "item 'big' alone" in result.message
    assert provider.requests == []


def splitting(prompt: Any, most: int):
    """A global with a merge function, and how many items each of its prompts was built of."""
    dag, provider = make_dag(answered(lambda prompt: {"value": len(prompt.split())}))
    built: list[int] = []

    def built_of(items):
        built.append(len(items))
        return prompt(items)

    options = {"scope": "global", "output": int, "max_prompt_tokens": most}
    dag.dimension(built_of, name="counted", **options).merge(lambda parts: sum(parts))
    return dag, provider, built


def ids(items: Any) -> str:
    return "\n".join(item.id for item in items)


def test_the_prompt_of_rows_that_are_far_too_many_is_never_built():
    """beam-53."""
    dag, provider, built = splitting(ids, most=80)
    rows = [row(f"{n:04}") for n in range(3_000)]
    assert evaluated(dag, "counted", rows).data == 3_000
    assert max(built) <= 2 * 64
    assert sum(built) < 6 * 3_000
    asked = [prompt_of(request) for request in provider.requests]
    assert {len(prompt.split()) for prompt in asked} == {46, 47}  # halves of halves, as long as they did not fit
    assert "\n".join(asked) == ids([one.item for one in rows])


def test_many_rows_that_fit_are_one_call_though_they_have_a_merge_function():
    dag, provider, built = splitting(ids, most=10_000)
    assert evaluated(dag, "counted", [row(f"{n:04}") for n in range(3_000)]).data == 3_000
    assert len(provider.requests) == 1
    assert sum(built) <= 2 * 3_000


def test_a_prompt_function_that_raises_about_few_rows_is_asked_about_all():
    def prompt(items):
        if len(items) < 100:
            raise ValueError("too few")
        return ids(items)

    dag, provider, _ = splitting(prompt, most=10_000)
    assert evaluated(dag, "counted", [row(f"{n:04}") for n in range(200)]).data == 200
    assert len(provider.requests) == 1


def test_a_prompt_that_is_none_for_one_chunk_fails_before_any_call():
    dag, provider = make_dag(["[1]"])
    dag.dimension(
        lambda items: "x" * 100 if len(items) > 1 else None if items[0].id == "b" else "x",
        scope="global",
        output=list[int],
        max_prompt_tokens=10,
        name="odd",
    ).merge(lambda parts: [1])
    result = evaluated(dag, "odd", [row("a"), row("b")])
    assert (result.status, result.error_class) == ("failed", "user_function")
    assert provider.requests == []


def test_the_context_window_of_the_smallest_model_says_what_fits():
    from beam_llmdag.model import Model
    from beam_llmdag.providers.prices import context_window
    from beam_llmdag.run.chunks import _most_tokens

    dag, _ = make_dag(["x"])
    dag.dimension(lambda items: "x", scope="global", name="all_items")
    known = context_window("anthropic:claude-haiku-4-5")
    models = (Model("scripted:x"), Model("anthropic:claude-haiku-4-5", max_tokens=1000))
    assert known is not None
    assert _most_tokens(dag.dimensions["all_items"], models) == int(known * 0.9) - 1000
    assert _most_tokens(dag.dimensions["all_items"], models[:1]) is None


# ---- groups


class Color(Enum):
    RED = "red"


def grouped(per: Any, on_missing: Any = "skip"):
    dag, provider = make_dag(answered(str))
    dag.dimension(lambda item: "?", output=OUTPUT, name="tag")
    dag.dimension(lambda items: "?", scope="global", name="digest", per=per, on_missing=on_missing)
    return dag, provider


@pytest.mark.parametrize(
    ("named", "group"),
    [("late", "late"), (Color.RED, "red"), (7, "7"), (True, "True"), (None, NO_GROUP), ("", NO_GROUP)],
)
def test_the_name_of_a_group_is_text(named, group):
    dag, _ = grouped(lambda item: named)
    assert group_of(dag.dimensions["digest"], row("a"), dag) == group


def test_a_row_without_the_answer_that_names_its_group_has_none():
    dag, _ = grouped(lambda tag: tag["tag"])
    rows = [row("a", tag={"tag": "late"}), row("b", tag=not_ok("tag", "b")), row("c")]
    assert [group_of(dag.dimensions["digest"], one, dag) for one in rows] == ["late", NO_GROUP, NO_GROUP]


def test_rows_in_no_group_are_skipped_and_named():
    dag, provider = grouped(lambda item: None)
    result = evaluated(dag, "digest", [row("b"), row("a")])
    assert (result.status, result.item_id, result.left_out) == ("skipped", "", ("a", "b"))
    assert "2 items are in no group" in result.reason
    assert provider.requests == []


def test_a_per_function_that_raises_is_a_failure_with_its_exception():
    dag, provider = grouped(lambda item: item.metadata["kind"])
    result = evaluated(dag, "digest", [row("b"), row("a")])
    assert (result.status, result.error_class, result.left_out) == ("failed", "user_function", ("a", "b"))
    for word in ("digest", "per of", "item 'a'", "KeyError: 'kind'", "2 items"):
        assert word in result.message
    assert provider.requests == []


def test_rows_without_the_answer_that_names_their_group_fail_where_the_dimension_says_so():
    dag, _ = grouped(lambda tag: tag["tag"], on_missing="fail")
    result = evaluated(dag, "digest", [row("a", tag=not_ok("tag", "a"))])
    assert (result.status, result.error_class) == ("failed", "dependency")


def test_a_failure_of_a_group_names_the_group():
    dag, _ = make_dag(answered(str))
    dag.dimension(lambda items: 42, scope="global", name="digest", per=lambda item: item.content)
    result = evaluated(dag, "digest", [row("a", "late")], group="late")
    assert (result.item_id, result.status) == ("late", "failed")
    assert "dimension 'digest', group 'late'" in result.message


def test_an_item_sees_the_answer_of_its_own_group():
    dag, _ = make_dag(answered(str))
    dag.dimension(lambda items: "?", scope="global", name="digest", per=lambda item: item.content)
    dag.dimension(lambda items: "?", scope="global", name="whole")
    dag.dimension(lambda item, digest, whole: "?", name="follow")
    sides = {
        "digest": {name: Result(dimension="digest", item_id=name, status="ok", data=name) for name in ("late", "new")},
        "whole": {NO_GROUP: Result(dimension="whole", item_id="", status="ok", data="all")},
    }
    found = item_sides(dag.dimensions["follow"], row("a", "new"), sides, dag)
    assert {name: result.data for name, result in found.items()} == {"digest": "new", "whole": "all"}
    assert set(item_sides(dag.dimensions["follow"], row("a", "odd"), sides, dag)) == {"whole"}
