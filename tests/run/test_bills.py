"""Over graphs made by chance, with faults by chance: what rows, ledger and vendor say was paid is one sum."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from beam_llmdag import Dag, Model, Price, RetryPolicy
from beam_llmdag.calls.store.ledger import read_totals
from beam_llmdag.providers.anthropic import AnthropicProvider
from beam_llmdag.providers.openai import OpenAIChatProvider
from beam_llmdag.testing import BatchBehaviour, FaultName, Simulator
from beam_llmdag.usage import Usage

PRICES = {"cheap": Price(input=1, output=5), "dear": Price(input=3, output=15)}
FAULTS: dict[FaultName, float] = {
    "rate_limited_silent": 0.05,
    "overloaded": 0.05,
    "server_error": 0.05,
    "wrong_schema": 0.1,
    "length": 0.05,
    "refusal": 0.03,
}
PATIENT = RetryPolicy(first_seconds=0.001, longest_seconds=0.002)
ITEMS = [{"id": str(number), "content": f"text {number % 4}"} for number in range(6)]  # some ask the same


class Answer(BaseModel):
    label: Literal["a", "b", "c"]
    note: str


def random_dag(seed: int, simulator: Simulator) -> Dag:
    """Two to five dimensions, each of which needs some of those before it, of two vendors."""
    chance = random.Random(seed)
    cheap = Model("anthropic:cheap", base_url=simulator.base_url("anthropic"), attempts=3)
    dear = Model("openai-chat:dear", base_url=simulator.base_url("openai"), attempts=3, fallbacks=[cheap])
    dag = Dag(f"random {seed}", prices=PRICES)
    before: list[str] = []
    for number in range(chance.randint(2, 5)):
        name = f"d{number}"
        needs = [other for other in before if chance.random() < 0.5]
        is_global = number > 0 and chance.random() < 0.3
        dag.dimension(
            prompt(name, needs, is_global=is_global),
            name=name,
            output=Answer,
            scope="global" if is_global else "item",
            model=chance.choice([cheap, dear]),
            **chance.choice([{}, {}, {"samples": 2, "vote": "majority"}]),
            on_missing=chance.choice(["skip", "run"]),
        )
        if not is_global:
            before.append(name)
    return dag


def prompt(name: str, needs: list[str], *, is_global: bool) -> Callable[..., Any]:
    """A prompt function with these parameters."""
    subject = "items" if is_global else "item"

    def made(**values: Any) -> str:
        items = values[subject] if is_global else [values[subject]]
        return f"{name}: {[item.content for item in items]} {[str(values[need]) for need in needs]}"

    kind = inspect.Parameter.KEYWORD_ONLY
    made.__signature__ = inspect.Signature([inspect.Parameter(each, kind) for each in (subject, *needs)])  # type: ignore[attr-defined]
    return made


def vendor_bill(simulator: Simulator) -> tuple[int, int]:
    """What the vendors' prices make of the tokens that they have sent; and how many calls that are."""
    total = calls = 0
    for request in simulator.requests:
        if request.usage is not None:
            is_cheap = request.protocol == "anthropic"
            provider = AnthropicProvider if is_cheap else OpenAIChatProvider
            usage = provider(Model("anthropic:m" if is_cheap else "openai-chat:m"))._usage({"usage": request.usage})
            assert isinstance(usage, Usage)
            cost = PRICES["cheap" if is_cheap else "dear"].nano_usd(usage)
            total += cost // 2 if request.lane == "batch" else cost
            calls += 1
    return total, calls


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("lane", [None, "batch"], ids=["direct", "batch"])
def test_rows_ledger_and_vendor_agree_on_what_was_paid_in_this_process(seed, lane, tmp_path):
    agree(seed, tmp_path, lambda dag, store: dag.run(ITEMS, store=store, retry=PATIENT, lane=lane))


@pytest.mark.parametrize("seed", range(3))
def test_rows_ledger_and_vendor_agree_on_what_was_paid_in_a_pipeline(run, plan, seed, tmp_path):
    agree(seed, tmp_path, lambda dag, store: run(dag, ITEMS, plan=plan, store=store, retry=PATIENT))


def agree(seed: int, folder: Path, go: Callable[[Dag, str], Any]) -> None:
    store = str(folder / "answers.sqlite")
    behaviour = BatchBehaviour(expired=0.1, failed=0.1)
    with Simulator(faults=FAULTS, seed=seed, batches=behaviour) as simulator:
        made = go(random_dag(seed, simulator), store)
        vendor, calls = vendor_bill(simulator)
    costs = [row.attempt for row in made.costs]
    totals = read_totals(store)
    assert sum(attempt.cost_nano_usd or 0 for attempt in costs) == vendor > 0
    assert sum(total.cost_nano_usd for total in totals) == vendor
    assert len([attempt for attempt in costs if attempt.usage not in (None, Usage())]) == calls
    assert (sum(total.unpriced_calls for total in totals), sum(total.in_flight for total in totals)) == (0, 0)
