"""What a run will cost, before it: a sample runs for real, the rest is counted."""

from __future__ import annotations

import html
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TypedDict

from beam_llmdag.graph.dimension import Dimension
from beam_llmdag.graph.graph import Graph
from beam_llmdag.model import Model
from beam_llmdag.providers.base import find_provider, has_batches
from beam_llmdag.records.result import Attempt, Result
from beam_llmdag.run.first_prompts import FirstPrompts, first_dimensions
from beam_llmdag.run.population import Total, total
from beam_llmdag.run.report import Report
from beam_llmdag.run.table import aligned
from beam_llmdag.usage import Usage

__all__ = ["Estimate", "EstimateLine", "bounds", "estimate_from"]

_IN_FLIGHT = 64  # of an API whose provider does not say
_SHORT_OUTPUT_TOKENS = 256  # of an answer, where nobody knows; as `calls.estimate` has it
_LONG_OUTPUT_TOKENS = 4096  # of an answer without max_tokens
_NANO = 1e9
_BATCH_DISCOUNT = 0.5  # see `PriceTable.cost`


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateLine:
    """What one dimension will ask of one model, for all items together.

    Attributes:
        dimension: its name.
        model: `"provider:name"`.
        calls: how many, those that are asked again among them.
        input_tokens, output_tokens: of all calls.
        nano_usd: nano-dollars, and the ends of their 95 % interval; None if the model has no price.
        basis: `"sample"`: counted from the sample. `"scaled"`: of a global or of new items, which depend on all rows:
            the sample's, made larger with the number of rows; the interval reaches from what the sample cost to that.
            `"bound"`: nothing was asked; the interval reaches from no answers to the longest that there may be.
    """

    dimension: str
    model: str
    calls: float
    input_tokens: float
    output_tokens: float
    nano_usd: Total | None
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run over some items will cost.

    Attributes:
        items: how many there are.
        asked_items: how many of them are asked: the others ask what one of these asks, and share its answers.
        sample: how many of them were analysed for the estimate.
        lines: by dimension and model, in the order of the dag.
        nano_usd: nano-dollars of all, what was paid for the sample among them, with the ends of the 95 % interval. What
            was in the store before, found for as large a part of all as of the sample, costs nothing.
        is_complete: whether every model that is asked has a price; else `nano_usd` is a lower bound.
        paid_nano_usd: nano-dollars that the sample has cost, now or in an earlier estimate with the same store.
        seconds: how long the run will take at the limits of the models and the latency of the sample; None without one.
        batched: models of those asked that can be asked in batches.
        rounds: how many rounds a run in batches takes, if nothing is asked again.
        report: what the sample brought; None without one.
    """

    items: int
    asked_items: int
    sample: int
    lines: tuple[EstimateLine, ...]
    nano_usd: Total
    is_complete: bool
    paid_nano_usd: int
    seconds: float | None
    batched: frozenset[str] = frozenset()
    rounds: int = 0
    report: Report | None = field(default=None, repr=False)

    @property
    def usd(self) -> float:
        """Dollars of the whole run."""
        return self.nano_usd.value / _NANO

    @property
    def to_pay_usd(self) -> float:
        """Dollars that are still to be paid, if the answers of the sample are kept."""
        return max(self.nano_usd.value - self.paid_nano_usd, 0.0) / _NANO

    @property
    def batch_to_pay_usd(self) -> float:
        """`to_pay_usd` with `lane="batch"`: half for the models that have a batch API."""
        costs = [(line.model, line.nano_usd.value) for line in self.lines if line.nano_usd is not None]
        batched = sum(cost for model, cost in costs if model in self.batched)
        share = batched / whole if (whole := sum(cost for _, cost in costs)) else 0.0
        return self.to_pay_usd * (1 - share * _BATCH_DISCOUNT)

    def __repr__(self) -> str:
        head = ("", "model", "calls", "tokens in", "tokens out", "cost $", "95 %")
        rows = [head, *map(_cells, self.lines)]
        lines = aligned([*rows, ("total", "", *_sums(self.lines), *_dollars(self.nano_usd))], left=2)
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], *self._notes()])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    def _notes(self) -> Iterator[str]:
        if self.asked_items < self.items:
            yield f"{self.items - self.asked_items:,} of {self.items:,} items ask what another asks, and cost nothing"
        if self.sample:
            low, high = (max(end - self.paid_nano_usd, 0.0) / _NANO for end in self.nano_usd[1:])
            yield (
                f"{self.sample:,} of {self.asked_items:,} items were analysed for it, for "
                f"${self.paid_nano_usd / _NANO:.6f}; still to pay: ${self.to_pay_usd:.6f} (${low:.6f} to ${high:.6f})"
            )
        if any(line.basis == "bound" for line in self.lines):
            yield "nothing was asked: all is a guess (~), and the ends of the cost are bounds; sample=20 measures it"
        if any(line.basis == "scaled" for line in self.lines):
            yield "what depends on all rows is scaled from the sample, roughly (~)"
        if not self.is_complete:
            yield "the cost is a lower bound: a model has no known price"
        if self.batched and self.to_pay_usd:
            days = "a day" if self.rounds == 1 else f"a day for each of {self.rounds} rounds"
            yield f"in batches: ${self.batch_to_pay_usd:.6f} still to pay, within {days}"
        if self.seconds is not None:
            yield f"about {_duration(self.seconds)} at the limits of the models"


def estimate_from(graph: Graph, prompts: FirstPrompts, items: int, drawn: Sequence[int], report: Report) -> Estimate:
    """The estimate that a sample gives.

    Args:
        graph: what will run.
        prompts: of all items.
        items: how many there are.
        drawn: which of `prompts.items` were analysed, as numbers.
        report: what came of it.
    """
    rows = {row.item.id: row for row in report.items}
    sample = [rows[prompts.items[index].id] for index in drawn]
    sizes = [prompts.tokens[index] for index in drawn]
    scale = len(prompts.items) / len(drawn)
    lines: list[EstimateLine] = []
    about_items = graph.item_dimensions(None)
    for name, dimension in graph.dimensions.items():
        if name in about_items:
            results = [row.results.get(name) for row in sample]
            lines += _from_sample(name, results, sizes, prompts.tokens)
        else:
            lines += _scaled(dimension, _results(report, name), scale)
    attempts = [
        [attempt for result in row.results.values() for attempt in result.attempts if attempt.sent] for row in sample
    ]
    spent = [sum(attempt.cost_nano_usd or 0 for attempt in some) for some in attempts]
    own = total(spent, sizes, prompts.tokens)
    others = [line.nano_usd for line in lines if line.basis == "scaled" and line.nano_usd is not None]
    return Estimate(
        items=items,
        asked_items=len(prompts.items),
        sample=len(drawn),
        lines=tuple(lines),
        nano_usd=Total(*(sum(ends) for ends in zip(own, *others, strict=True))),
        is_complete=all(line.nano_usd is not None for line in lines),
        paid_nano_usd=sum(cost.attempt.cost_nano_usd or 0 for cost in report.costs),
        seconds=_seconds(graph, lines, attempts),
        **_in_batches(graph, lines),
        report=report,
    )


def bounds(graph: Graph, prompts: FirstPrompts, items: int) -> Estimate:
    """What can be said without a call: first prompts as they are, later ones and all answers within bounds."""
    first = {dimension.name for dimension in first_dimensions(graph)}
    longest = max(prompts.tokens, default=0)
    written: dict[str, int] = {}
    lines = []
    for name, dimension in graph.dimensions.items():
        if dimension.is_computed:
            continue
        model = (dimension.models or (Model("unknown:model"),))[0]
        written[name] = model.max_tokens or _LONG_OUTPUT_TOKENS
        per_call = longest + sum(written.get(need, 0) for need in graph.needs(name))
        if name in first:
            calls, read = len(prompts.by_dimension[name]), sum(prompts.by_dimension[name])
            most_read = read
        else:
            calls = len(prompts.items) if dimension.scope == "item" else 1
            most_read = per_call * len(prompts.items)
            read = longest * len(prompts.items)
        calls, most_read = calls * dimension.samples, most_read * dimension.samples
        usual = min(written[name], _SHORT_OUTPUT_TOKENS)
        costs = [
            graph.prices.cost(model.spec, Usage(input_tokens=tokens, output_tokens=output * calls), at=time.time())
            for tokens, output in ((read * dimension.samples, usual), (0, 0), (most_read, written[name]))
        ]
        known = [cost for cost in costs if cost is not None]
        lines.append(
            EstimateLine(
                dimension=name,
                model=model.spec,
                calls=calls,
                input_tokens=read * dimension.samples,
                output_tokens=usual * calls,
                nano_usd=Total(*map(float, known)) if len(known) == len(costs) else None,
                basis="bound",
            )
        )
    priced = [line.nano_usd for line in lines if line.nano_usd is not None]
    return Estimate(
        items=items,
        asked_items=len(prompts.items),
        sample=0,
        lines=tuple(lines),
        nano_usd=Total(*(sum(ends) for ends in zip((0.0, 0.0, 0.0), *priced, strict=True))),
        is_complete=len(priced) == len(lines),
        paid_nano_usd=0,
        seconds=None,
        **_in_batches(graph, lines),
    )


class _InBatches(TypedDict):
    """See `Estimate`."""

    batched: frozenset[str]
    rounds: int


def _in_batches(graph: Graph, lines: Sequence[EstimateLine]) -> _InBatches:
    asked = {name for name, dimension in graph.dimensions.items() if not dimension.is_computed}
    models = {line.model for line in lines}
    return {
        "batched": frozenset(spec for spec in models if has_batches(spec.partition(":")[0], graph.providers)),
        "rounds": sum(not asked.isdisjoint(level) for level in graph.levels()),
    }


def _from_sample(
    name: str, results: Sequence[Result | None], sizes: Sequence[int], all_sizes: Sequence[int]
) -> Iterator[EstimateLine]:
    by_model: defaultdict[str, list[list[Attempt]]] = defaultdict(lambda: [[] for _ in results])
    for index, result in enumerate(results):
        for attempt in result.attempts if result is not None else ():
            if attempt.sent:
                by_model[attempt.model][index].append(attempt)
    for model, attempts in by_model.items():
        usages = [[attempt.usage or Usage() for attempt in some] for some in attempts]
        costs = [[attempt.cost_nano_usd for attempt in some] for some in attempts]
        is_priced = all(cost is not None for some in costs for cost in some)
        yield EstimateLine(
            dimension=name,
            model=model,
            calls=total([len(some) for some in attempts], sizes, all_sizes).value,
            input_tokens=total([sum(u.input_tokens for u in some) for some in usages], sizes, all_sizes).value,
            output_tokens=total([sum(u.output_tokens for u in some) for some in usages], sizes, all_sizes).value,
            nano_usd=total([sum(c or 0 for c in some) for some in costs], sizes, all_sizes) if is_priced else None,
            basis="sample",
        )


def _scaled(dimension: Dimension, results: Sequence[Result], scale: float) -> Iterator[EstimateLine]:
    """Of what depends on all rows: a global reads more of them, new items are more."""
    by_model: defaultdict[str, list[Attempt]] = defaultdict(list)
    for result in results:
        for attempt in result.attempts:
            if attempt.sent:
                by_model[attempt.model].append(attempt)
    for model, attempts in by_model.items():
        usages = [attempt.usage or Usage() for attempt in attempts]
        costs = [attempt.cost_nano_usd for attempt in attempts]
        known = [cost for cost in costs if cost is not None]
        more = scale if dimension.scope == "item" else 1.0
        read, written = sum(usage.input_tokens for usage in usages), sum(usage.output_tokens for usage in usages)
        spent = float(sum(known))
        share = read / (read + written) if read + written else 1.0
        likely = spent * scale if dimension.scope == "item" else spent * (share * scale + 1 - share)
        yield EstimateLine(
            dimension=dimension.name,
            model=model,
            calls=len(attempts) * more,
            input_tokens=read * scale,
            output_tokens=written * more,
            nano_usd=Total(likely, spent, spent * scale) if len(known) == len(costs) else None,
            basis="scaled",
        )


def _results(report: Report, name: str) -> list[Result]:
    """All results of a dimension that is not about the items that went in."""
    regrouped = [row.results[name] for rows in report.regrouped.values() for row in rows if name in row.results]
    return [*regrouped, *(result for result in report.globals if result.dimension == name)]


def _seconds(graph: Graph, lines: Sequence[EstimateLine], attempts: Sequence[Sequence[Attempt]]) -> float:
    """The time that the slowest model needs, and one item's own."""
    latencies: defaultdict[str, list[float]] = defaultdict(list)
    for some in attempts:
        for attempt in some:
            latencies[attempt.model].append(attempt.latency_seconds)
    models = {model.spec: model for model in graph.models}
    asked: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for line in lines:
        for index, amount in enumerate((line.calls, line.input_tokens, line.output_tokens)):
            asked[line.model][index] += amount
    slowest = 0.0
    for spec, (calls, read, written) in asked.items():
        model = models.get(spec)
        seconds = calls * fmean(latencies[spec] or [0.0]) / _in_flight(graph, spec, model)
        if model is not None:
            limits = (
                (calls, model.requests_per_minute),
                (read, model.input_tokens_per_minute),
                (written, model.output_tokens_per_minute),
            )
            seconds = max(seconds, *(60 * amount / limit if limit else 0.0 for amount, limit in limits))
        slowest = max(slowest, seconds)
    return slowest + fmean([sum(attempt.latency_seconds for attempt in some) for some in attempts] or [0.0])


def _in_flight(graph: Graph, spec: str, model: Model | None) -> int:
    if model is not None and model.max_in_flight is not None:
        return model.max_in_flight
    factory = find_provider(spec.partition(":")[0], graph.providers)
    found = getattr(factory, "default_in_flight", _IN_FLIGHT)
    return found if isinstance(found, int) else _IN_FLIGHT


def _cells(line: EstimateLine) -> tuple[str, ...]:
    mark = "" if line.basis == "sample" else "~"
    counts = (line.calls, line.input_tokens, line.output_tokens)
    return (line.dimension, line.model, *(f"{mark}{count:,.0f}" for count in counts), *_dollars(line.nano_usd))


def _sums(lines: Sequence[EstimateLine]) -> tuple[str, ...]:
    sums = (
        sum(line.calls for line in lines),
        sum(line.input_tokens for line in lines),
        sum(line.output_tokens for line in lines),
    )
    return tuple(f"{amount:,.0f}" for amount in sums)


def _dollars(nano_usd: Total | None) -> tuple[str, str]:
    if nano_usd is None:
        return "unknown", ""
    value, low, high = (amount / _NANO for amount in nano_usd)
    return f"{value:.6f}", f"{low:.6f} to {high:.6f}"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
