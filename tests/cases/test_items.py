"""The kind `inputs`: items that users build, and ids that are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

from beam_llmdag import Dag, InputError, Item
from beam_llmdag.model import Request
from beam_llmdag.testing import ScriptedProvider

RICH = {
    "due": datetime(2026, 10, 25, 0, 15, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "blob": b"ok",
    "labels": {"z", "m", "q", "a"},
    "by": {None: "n", 2.0: "two", False: "f"},
    "took": timedelta(hours=30, seconds=1.5),
    "share": Decimal("2E+2"),
    "ratio": float("nan"),
    "wide": 2**70,
}
PLAIN = {
    "due": "2026-10-24T18:45:00+00:00",
    "blob": "b2s=",
    "labels": ["a", "m", "q", "z"],
    "by": {"null": "n", "2.0": "two", "false": "f"},
    "took": "P1DT6H1.5S",
    "share": "2E+2",
    "ratio": None,
    "wide": 2**70,
}
CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


class Broken(Mapping[str, Any]):
    """A mapping that raises when it is looked at."""

    def __getitem__(self, key: str) -> Any:
        raise OSError("the file is closed")

    def __iter__(self) -> Any:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


def echo() -> tuple[Dag, ScriptedProvider]:
    provider = ScriptedProvider(lambda request: "fine")
    dag = Dag("items", model="scripted:m", providers={"scripted": provider})
    dag.dimension(lambda item: f"{dict(item.metadata)}", name="shown")
    return dag, provider


def asked(request: Request) -> str:
    content = request.messages[-1].content
    assert isinstance(content, str)
    return content


def make(number: int) -> Item:
    return Item(f"k{number}", "x", RICH)


def mapped(function: Callable[[int], Any], numbers: list[int]) -> Any:
    return beam.Create(numbers, reshuffle=False) | beam.Map(function)


def shuffled(function: Callable[[int], Any], numbers: list[int]) -> Any:
    return mapped(function, numbers) | beam.Reshuffle()


def created(function: Callable[[int], Any], numbers: list[int]) -> Any:
    return beam.Create([function(number) for number in numbers])


WAYS = [mapped, shuffled, created]


@pytest.mark.parametrize("way", WAYS)
def test_what_an_item_holds_does_not_depend_on_what_the_runner_fuses(run: Any, way: Any) -> None:
    """Case inputs-51."""
    dag, provider = echo()
    for plan in ("staged", "pipelined"):
        outcome = run(dag, way(make, [1]), plan=plan)
        assert [row.item for row in outcome.items] == [Item("k1", "x", PLAIN)]
    same = dag.run([{"id": "k1", "content": "x", **RICH}])
    assert same.items[0].item == Item("k1", "x", PLAIN)
    assert [asked(request) for request in provider.requests] == [str(PLAIN)] * 3


@pytest.mark.parametrize("way", WAYS)
def test_an_id_of_numpy_is_its_number_and_a_truth_value_is_none(run: Any, way: Any) -> None:
    """Case inputs-51: b and c."""
    dag, _ = echo()
    outcome = run(dag, way(lambda n: Item(np.uint16(40) if n == 1 else np.True_, "x"), [1, 2]))
    assert outcome.statuses("shown") == {"40": "ok"}
    [failure] = outcome.failures
    assert (failure.error_class, failure.item_id) == ("bad_input", "Item")
    assert "is of type bool; an id is a text or a whole number" in failure.message
    with pytest.raises(InputError, match=r"row 1.*is of type bool"):
        dag.run([Item("a", "x"), {"id": np.True_, "content": "x"}])


@pytest.mark.parametrize(
    "bad",
    [
        object(),
        3 + 4j,
        range(3),
        {1: "a", "1": "b"},
        CIRCLE,
        {"deep": CIRCLE},
        10**4900,
        np.array([1j]),
        Broken(),
    ],
    ids=lambda bad: type(bad).__name__,
)
@pytest.mark.parametrize("way", [mapped, shuffled])
def test_one_bad_item_costs_its_row_and_no_other(run: Any, way: Any, bad: Any) -> None:
    """Case inputs-52."""
    dag, provider = echo()

    def make_one_bad(number: int) -> Item:
        return Item(f"k{number}", "x", {"handle": bad} if number == 2 else {"v": number})

    outcome = run(dag, way(make_one_bad, [1, 2, 3]))
    assert outcome.statuses("shown") == {"k1": "ok", "k3": "ok"}
    [failure] = outcome.failures
    assert (failure.dimension, failure.item_id, failure.error_class) == ("input", "k2", "bad_input")
    assert "k2" in failure.message
    assert len(failure.message) < 400
    assert "set_int_max_str_digits" not in failure.message
    assert len(provider.requests) == 2
    with pytest.raises(InputError, match=r"row 1 \(counted from 0\), id 'k2'"):
        dag.run([make_one_bad(number) for number in (1, 2, 3)])
    assert len(provider.requests) == 2


def test_a_function_in_metadata_is_refused_in_both_plans(run: Any, plan: Any) -> None:
    """Case inputs-52."""
    dag, provider = echo()
    made = mapped(lambda n: Item(f"k{n}", "x", {"handle": make if n == 2 else n}), [1, 2, 3])
    outcome = run(dag, made, plan=plan)
    assert [failure.item_id for failure in outcome.failures] == ["k2"]
    assert "metadata.handle: a value of type builtins.function is not JSON-like" in outcome.failures[0].message
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    "bad_id", [10**4900, Decimal("1E+99999"), None, " ", 1.5, ["a"]], ids=lambda bad: type(bad).__name__
)
def test_an_id_that_is_none_is_refused_wherever_it_is_found(run: Any, bad_id: Any) -> None:
    """Case inputs-52."""
    dag, _ = echo()
    outcome = run(dag, shuffled(lambda n: Item(bad_id if n == 2 else f"k{n}", "x"), [1, 2]))
    assert outcome.statuses("shown") == {"k1": "ok"}
    [failure] = outcome.failures
    assert "id" in failure.message
    assert len(failure.message) < 400
    with pytest.raises(InputError, match=r"row 0.*id"):
        dag.run([{"id": bad_id, "content": "x"}])


TEXT = "lorem ipsum " * 250_000
MOST = 2000


def test_a_failure_quotes_the_start_and_the_length_of_an_id_of_megabytes(run: Any) -> None:
    """Case inputs-53: a."""
    dag, _ = echo()

    @dag.dimension
    def picky(item: Item) -> str:
        if item.content == "r1":
            raise ValueError(item.id)
        return "x"

    outcome = run(dag, [{"id": TEXT, "content": "r1"}, {"id": "k2", "content": "x"}])
    assert outcome.statuses("picky") == {TEXT: "failed", "k2": "ok"}
    [failure] = outcome.failures
    assert "'lorem ipsum" in failure.message
    assert "(3,000,000 characters)" in failure.message
    assert len(failure.message) < MOST
    assert failure.item_id == TEXT


def test_two_items_with_an_id_of_megabytes_are_a_short_error_before_any_call(run: Any) -> None:
    """Case inputs-53: b and d."""
    dag, provider = echo()
    twice = [{"id": TEXT, "content": "x"}, {"id": TEXT, "content": "y"}]
    with pytest.raises(InputError, match="duplicate ids") as error:
        dag.run(twice)
    assert len(str(error.value)) < MOST
    outcome = run(dag, twice)
    assert [failure.error_class for failure in outcome.failures] == ["duplicate_id"] * 2
    assert all(len(failure.message) < MOST for failure in outcome.failures)
    assert provider.requests == []


@pytest.mark.parametrize(
    "record",
    [
        {"id": [TEXT], "content": "x"},
        {"id": "a", "content": {TEXT: object()}},
        {"id": "a", TEXT: "the content"},
        {"id": "a", "content": "x", TEXT: {1: "a", "1": "b"}},
        {"id": {TEXT: 1}, "content": "x"},
    ],
    ids=["id", "key of content", "field", "key of metadata", "object as id"],
)
def test_an_input_error_is_short_whatever_it_quotes(run: Any, record: dict[str, Any]) -> None:
    """Case inputs-53: c."""
    dag, _ = echo()
    with pytest.raises(InputError) as error:
        dag.run([record])
    assert len(str(error.value)) < MOST
    [failure] = run(dag, [record]).failures
    assert len(failure.message) < MOST
    assert len(failure.item_id) < MOST
