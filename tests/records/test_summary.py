"""Results added up."""

from __future__ import annotations

from beam_llmdag import Attempt, Result, Usage
from beam_llmdag.errors import ErrorClass
from beam_llmdag.records.summary import Summary


def attempt(model: str, nano_usd: int | None, error_class: ErrorClass | None = None, *, sent: bool = True) -> Attempt:
    usage = None if nano_usd is None else Usage(input_tokens=10, output_tokens=1)
    return Attempt(model=model, usage=usage, cost_nano_usd=nano_usd, error_class=error_class, sent=sent)


def result(*attempts: Attempt, model: str | None = "b:y", store_hit: bool = False) -> Result:
    return Result(dimension="d", item_id="1", status="ok", model=model, attempts=attempts, store_hit=store_hit)


def summary_of(*results: Result) -> Summary:
    summary = Summary()
    for one in results:
        summary.add_result(one)
    return summary


def test_a_call_counts_for_the_model_that_was_asked_and_the_result_for_the_one_that_answered() -> None:
    summary = summary_of(result(attempt("a:x", 7, "refused"), attempt("b:y", 5)))
    assert {name: (total.items, total.calls, total.cost_nano_usd) for name, total in summary.by_model.items()} == {
        "a:x": (0, 1, 7),
        "b:y": (1, 1, 5),
    }


def test_a_request_that_was_never_sent_is_no_call() -> None:
    assert summary_of(result(attempt("a:x", 0, "auth", sent=False), model=None)).total.calls == 0


def test_a_call_of_unknown_cost_makes_the_total_a_lower_bound_and_names_the_model() -> None:
    summary = summary_of(result(attempt("a:x", None, "timeout"), attempt("b:y", 5)))
    assert (summary.total.cost_nano_usd, summary.cost_is_complete, summary.unpriced_models) == (5, False, ["a:x"])


def test_an_answer_from_the_store_costs_nothing_and_counts_for_its_model() -> None:
    summary = summary_of(result(store_hit=True))
    assert (summary.total.calls, summary.total.cost_nano_usd, summary.by_model["b:y"].store_hits) == (0, 0, 1)
    assert summary.cost_is_complete


def test_sums_of_parts_are_the_sum_of_the_whole() -> None:
    results = [result(attempt("a:x", 1), attempt("b:y", 2)), result(store_hit=True), result(attempt("b:y", None))]
    parts = Summary()
    for one in results:
        parts.add(summary_of(one))
    assert parts == summary_of(*results)


def test_dimensions_without_results_are_listed_in_the_order_of_the_dag() -> None:
    listed = summary_of(result(attempt("a:x", 1))).to_json(["z", "d", "a"])["by_dimension"]
    assert [(name, total["calls"]) for name, total in listed.items()] == [("z", 0), ("d", 1), ("a", 0)]
