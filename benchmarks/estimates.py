"""How near an estimate comes to the bill: `dag.estimate` from samples of 10 to 100, beside what the run then costs.

    python -m benchmarks.estimates

1,000 reviews of the lengths that people write, 10 % of them spam, which is not analysed further, and one answer in ten
asked again because it does not fit; through the Anthropic SDK over loopback. The bill of the run is the yardstick.
"""

from __future__ import annotations

import os
import random
import tempfile
from statistics import fmean

from pydantic import BaseModel

from beam_llmdag import Dag, Item, Model
from beam_llmdag.testing import Reply, SimulatedRequest, Simulator
from benchmarks.task import KEY_VARIABLE

__all__ = ["main"]

ITEMS = 1000
SEEDS = 20
SAMPLES = (10, 20, 50, 100)
WORDS = ("quick", "quiet", "leaks", "late", "easy to clean", "the handle broke", "good value", "never again", "a gift")


class Spam(BaseModel):
    spam: bool


class Summary(BaseModel):
    summary: str


def main() -> None:
    """Measures, and prints a table in Markdown."""
    items = reviews()
    with Simulator(answer) as simulator, tempfile.TemporaryDirectory() as folder:
        report = make_dag(simulator).run(items, store=False)
        bill = sum(cost.attempt.cost_nano_usd or 0 for cost in report.costs)
        print(f"the run: {len(report.costs):,} calls, ${bill / 1e9:.4f}")
        print("| sample | mean error | largest error | within 20 % | bill within the interval | paid for it |")
        print("|---:|---:|---:|---:|---:|---:|")
        for sample in SAMPLES:
            estimates = [
                make_dag(simulator).estimate(items, sample=sample, seed=seed, store=f"{folder}/{sample}-{seed}.sqlite")
                for seed in range(SEEDS)
            ]
            errors = [estimate.nano_usd.value / bill - 1 for estimate in estimates]
            inside = sum(estimate.nano_usd.low <= bill <= estimate.nano_usd.high for estimate in estimates)
            near = sum(abs(error) <= 0.2 for error in errors)
            paid = fmean(estimate.paid_nano_usd for estimate in estimates) / bill
            print(
                f"| {sample} | {fmean(errors):+.1%} | {max(errors, key=abs):+.1%} | {near} of {SEEDS} | "
                f"{inside} of {SEEDS} | {paid:.1%} |"
            )
        print(estimates[-1])


def reviews() -> list[Item]:
    """Texts whose lengths are spread as people's are: most short, some long."""
    rng = random.Random(7)
    return [
        Item(str(n), f"{n}: " + " ".join(rng.choices(WORDS, k=max(4, round(rng.lognormvariate(3.5, 0.8))))))
        for n in range(ITEMS)
    ]


def answer(request: SimulatedRequest) -> Reply:
    """What the model says, the same to the same: long and short summaries, and some that do not fit the first time."""
    rng = random.Random(request.text)
    if "Is this review spam?" in request.text:
        return Reply({"spam": rng.random() < 0.1})
    if len(request.messages) == 1 and rng.random() < 0.1:
        return Reply({"unexpected": True})
    return Reply({"summary": " ".join(rng.choices(WORDS, k=max(3, round(rng.lognormvariate(3, 0.5)))))})


def make_dag(simulator: Simulator) -> Dag:
    """The dag that is estimated and run."""
    os.environ[KEY_VARIABLE] = "not-a-key"
    model = Model("anthropic:claude-haiku-4-5", base_url=simulator.base_url("anthropic"), api_key_env=KEY_VARIABLE)
    dag = Dag("reviews", model=model)

    dag.dimension(lambda item: f"Is this review spam?\n{item.content}", name="spam", output=Spam)
    dag.dimension(
        lambda item: f"Sum this review up.\n{item.content}",
        name="summary",
        output=Summary,
        after=["spam"],
        skip_if=lambda spam: spam.spam,
    )
    return dag


if __name__ == "__main__":
    main()
