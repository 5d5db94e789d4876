"""`LLMDag`: a dag as one PTransform. This module only wires."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import copy
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.runners.runner import PipelineRunner
from apache_beam.transforms.trigger import AccumulationMode

from beam_llmdag.beam import coders
from beam_llmdag.beam.bill import COSTS, FAILURES, Bill
from beam_llmdag.beam.config import RunConfig
from beam_llmdag.beam.items import DUPLICATES, UNUSABLE, JoinRows, RowsOf, UniqueRows
from beam_llmdag.beam.luggage import to_travel
from beam_llmdag.beam.panes import AGAIN, GLOBALS, AnswerPanes
from beam_llmdag.beam.stages import WAITS, AnswerGlobal, AnswerItems, MakeItems
from beam_llmdag.beam.stuck import check_pickling
from beam_llmdag.beam.windows.apart import Apart
from beam_llmdag.beam.windows.checks import check_windows
from beam_llmdag.beam.windows.rewindowed import SameRewindowed, changed
from beam_llmdag.beam.workers import worker_processes
from beam_llmdag.calls.batch.lane import BatchRetries
from beam_llmdag.calls.options import CallOptions
from beam_llmdag.calls.retry import RetryPolicy
from beam_llmdag.calls.store.place import is_on_a_server
from beam_llmdag.clock import Clock
from beam_llmdag.errors import GraphError
from beam_llmdag.graph.graph import Graph
from beam_llmdag.graph.plan import (
    GlobalStage,
    ItemStage,
    Plan,
    PlanKind,
    RegroupStage,
    Stage,
    has_barrier,
    head_of,
    rows_end_in_head,
)
from beam_llmdag.model import LaneName
from beam_llmdag.records.result import CostRow, Failure, Result, Row
from beam_llmdag.run.options import CallSettings, call_options, check_settings

__all__ = ["LLMDag", "Results"]

_log = logging.getLogger(__name__)

coders.register()

_LOCAL_RUNNERS = (
    "DirectRunner",
    "SwitchingDirectRunner",
    "FnApiRunner",
    "BundleBasedDirectRunner",
    "PrismRunner",
    "InteractiveRunner",
)


class Results(NamedTuple):
    """What `LLMDag` makes.

    Attributes:
        items: PCollection of `Row`, one per item that went in, with the results of all its dimensions.
        globals: PCollection of `Result`: answers of global dimensions, and reports of regroups.
        failures: PCollection of `Failure`: failed results with all their attempts, and inputs that are no items.
        costs: PCollection of `CostRow`: the bill, a row per item, dimension and attempt.
        regrouped: regroup -> PCollection of `Row`, one per new item.
    """

    items: PCollection[Row]
    globals: PCollection[Result]
    failures: PCollection[Failure]
    costs: PCollection[CostRow]
    regrouped: dict[str, PCollection[Row]]


class LLMDag(beam.PTransform[Any, Any]):
    """Runs a dag over a PCollection of items: texts, dicts with `content` (and `id`), or `Item`s.

    Ids must be unique (in their window); items whose id is not end as failures. Bounded input is checked for that by a
    grouping, unbounded input is not. In unbounded input, globals and regroups answer per window and pane of the input,
    and item dimensions before them do not wait.

    Args:
        dag: the graph.
        plan: `"staged"`: a ParDo per dimension; `"pipelined"`: items walk on their own between barriers. `"auto"`:
            pipelined for local runs, for unbounded input, and where the workers share an answer store on a server,
            which makes answers durable; else staged. Both give the same results.
        strict: fail the pipeline on the first failure instead of delivering everything else.
        store: place of the answer store, a path or `sqlite:path`; False for none, True for the default place. By
            default on for local runners (`.llmdag/answers.sqlite`, or what `LLMDAG_STORE` says) and off for others.
        budget_usd: dollars that the calls of the run may cost, where its workers share an answer store, else those of
            each worker process; what comes after that fails as `over_budget`.
            Every model named in the dag must have a price.
        retry: when to try a failed call again.
        most_in_flight: items on their way per DoFn instance. Calls have limits of their own, see `Model`.
        workers: processes that make calls at the same time: a `Model`'s limits are divided among them. By default what
            the pipeline's options say, see `beam_llmdag.beam.workers`; 1 where they do not.
        shared_limits: URL of a Redis server that counts the limits per minute for all processes exactly, in place of a
            part for each. `$NAME` in it is an environment variable of the worker. Needs the extra `redis`.
        keep_prompts: whether every attempt, and so the file of failures, says what was asked. Prompts hold what the
            items hold.
        lane: `"batch"`: requests to models that say nothing of it themselves go in the vendor's batch API, where it has
            one. The pipeline is one round then: it enters them in the store and ends, with results that are pending;
            see `beam_llmdag.Rounds`. Bounded input only. `"direct"`: each goes on its own, whatever models say.
        batch_retries: how a call is asked again that a batch has not answered: `"batch"`, in the next one, or
            `"direct"`, on its own at once, at its full price.
        deadline: a moment, with its time zone, by which answers are wanted: `lane="batch"` for calls whose batch has
            ended by then, while all others go on their own. See `RunOptions`.
        clock: where time comes from, for tests.
        run_id: name of the run; a new one for every pipeline by default. A run that is started again under its name
            finds its answers in the store and what it paid for them on its bill; other runs find them for nothing. No
            two that run at the same time may have the same.

    Attributes:
        calls: how calls are made, with all that was not said; None until it is applied.

    Raises:
        GraphError: the dag cannot run.
    """

    calls: CallOptions | None = None

    def __init__(
        self,
        dag: Graph,
        *,
        plan: PlanKind | Literal["auto"] = "auto",
        strict: bool = False,
        store: str | Path | bool | None = None,
        budget_usd: float | None = None,
        retry: RetryPolicy | None = None,
        most_in_flight: int = 1000,
        workers: int | None = None,
        shared_limits: str | None = None,
        keep_prompts: bool = False,
        lane: LaneName | None = None,
        batch_retries: BatchRetries = "batch",
        deadline: datetime | None = None,
        clock: Clock | None = None,
        run_id: str | None = None,
    ) -> None:
        super().__init__()
        dag.validate()
        if plan not in ("auto", "staged", "pipelined"):
            raise GraphError(f"plan is 'auto', 'staged' or 'pipelined', not {plan!r}")
        if most_in_flight < 1:
            raise GraphError(f"most_in_flight must be at least 1, not {most_in_flight}")
        if workers is not None and workers < 1:
            raise GraphError(f"workers must be at least 1, not {workers}")
        self._settings: CallSettings = {
            "store": store,
            "budget_usd": budget_usd,
            "retry": retry,
            "shared_limits": shared_limits,
            "keep_prompts": keep_prompts,
            "lane": lane,
            "batch_retries": batch_retries,
            "deadline": deadline,
            "clock": clock,
            "run_id": run_id,
        }
        check_settings(dag, self._settings)
        self._graph = copy(dag)  # what is declared between now and the end of the run is no part of it
        self._plan = plan
        self._strict = strict
        self._most_in_flight = most_in_flight
        self._workers = workers

    def default_label(self) -> str:
        return f"LLMDag({self._graph.name})"

    def expand(self, elements: PCollection[Any]) -> Results:
        local = _is_local(elements.pipeline.runner)
        workers = self._workers or worker_processes(elements.pipeline.options)
        self.calls = options = call_options(self._settings, local=local, workers=workers)
        shares = options.store is not None and is_on_a_server(options.store)
        kind = self._plan
        if kind == "auto":
            kind = "pipelined" if local or shares or not elements.is_bounded else "staged"
        if not (local or shares):
            _log.warning(
                "LLMDag(%r): the workers of %s share no answer store: what one had paid for when it died, or when a "
                "later step failed, is paid again; name one on a server: store='postgresql://…' or 'redis://…'",
                self._graph.name,
                type(elements.pipeline.runner).__name__,
            )
        if options.may_wait(self._graph.models) and not elements.is_bounded:
            raise GraphError(
                f"LLMDag({self._graph.name!r}): lane='batch' is for bounded input: a stream delivers each row once; "
                "it would stay pending there"
            )
        plan = self._graph.plan(kind)
        check_windows(self._graph.name, plan, elements)
        check_pickling(self._graph)
        config = to_travel(RunConfig(graph=self._graph, options=options, strict=self._strict))
        wiring = _Wiring(config, plan, self._most_in_flight)
        windowing = elements.windowing
        if not elements.is_bounded or windowing.accumulation_mode != AccumulationMode.ACCUMULATING:
            return wiring.wire(elements)
        # Each window has one pane (`check_windows`); where late rows are allowed, Prism fires a second one even so.
        once = changed(windowing, accumulation_mode=AccumulationMode.DISCARDING)
        return _in_windowing(wiring.wire(elements | "Each once" >> SameRewindowed(once)), windowing)


class _Wiring:
    """The stages of a plan connected, from elements to results."""

    def __init__(self, config: RunConfig, plan: Plan, most_in_flight: int) -> None:
        self._config = config
        self._plan = plan
        self._most_in_flight = most_in_flight
        self._first: dict[str | None, PCollection[Any]] = {}
        self._rows: dict[str, PCollection[Any]] = {}
        self._answers: dict[str, PCollection[Any]] = {}

    def wire(self, elements: PCollection[Any]) -> Results:
        read = elements | "Items" >> RowsOf(self._config)
        self._first[None] = read.rows
        duplicates: list[PCollection[Any]] = []
        unusable = [read[UNUSABLE]]
        if elements.is_bounded:
            dimensions = tuple(self._config.graph.item_dimensions(None))
            unique = read.rows | "Unique ids" >> UniqueRows(self._config, dimensions)
            self._first[None] = unique.rows
            if not dimensions:  # else they go along with the others
                duplicates.append(unique[DUPLICATES])
                unusable.append(unique[UNUSABLE])
        else:
            self._first[None] = read.rows | "Apart from the source" >> Apart()
        if not elements.is_bounded and self._plan.kind == "pipelined" and has_barrier(self._plan):
            return self._by_pane(unusable)
        return self._by_stage(duplicates, unusable)

    def _by_stage(self, duplicates: list[PCollection[Any]], unusable: list[PCollection[Any]]) -> Results:
        """Every stage is a step of its own, and the answers of globals are side inputs."""
        for stage in self._plan.stages:
            self._wire_stage(stage)
        spaces = {
            space: self._joined(f"end of {space or 'items'}", space, leaves)
            for space, leaves in self._plan.leaves.items()
        }
        items = _flat("All items", [spaces.pop(None), *duplicates])
        answers = [keyed | f"Values of {name}" >> beam.Values() for name, keyed in self._answers.items()]
        globals_ = answers | "Globals" >> beam.Flatten(pipeline=items.pipeline).with_output_types(Result)
        regrouped = {name: rows for name, rows in spaces.items() if name is not None}
        paid = {"globals": globals_} if answers else {}
        return _results(items, globals_, regrouped, unusable, paid)

    def _by_pane(self, unusable: list[PCollection[Any]]) -> Results:
        """Unbounded input: item dimensions as items come, the rest per window and pane."""
        rows = self._first[None]
        for stage in head_of(self._plan):
            rows = rows | stage.name >> AnswerItems(self._config, stage, {}, self._most_in_flight)
        made = rows | "Panes" >> AnswerPanes(self._config, self._plan, self._most_in_flight)
        items = rows if rows_end_in_head(self._plan) else made.rows
        regrouped = {name: made[name] for name in self._plan.leaves if name is not None}
        paid = {"globals": made[GLOBALS], "answers made again": made[AGAIN]}
        return _results(items, made[GLOBALS], regrouped, unusable, paid)

    def _wire_stage(self, stage: Stage) -> None:
        sides = {name: self._answers[name] for name in stage.sides}
        if stage.space is not None and not isinstance(stage, ItemStage) and self._config.may_wait:
            sides[WAITS] = self._answers[stage.space]
        rows = self._joined(stage.name, stage.space, stage.rows)
        if isinstance(stage, ItemStage):
            self._rows[stage.name] = rows | stage.name >> AnswerItems(self._config, stage, sides, self._most_in_flight)
        elif isinstance(stage, GlobalStage):
            self._answers[stage.name] = rows | stage.name >> AnswerGlobal(
                self._config, stage, sides, self._most_in_flight
            )
        elif isinstance(stage, RegroupStage):
            self._first[stage.name], self._answers[stage.name] = rows | stage.name >> MakeItems(
                self._config, stage, sides
            )

    def _joined(self, label: str, space: str | None, branches: tuple[str, ...]) -> Any:
        if not branches:
            return self._first[space]
        return tuple(self._rows[name] for name in branches) | f"Rows for {label}" >> JoinRows()


def _results(
    items: PCollection[Row],
    globals_: PCollection[Result],
    regrouped: dict[str, PCollection[Row]],
    unusable: list[PCollection[Any]],
    paid: Mapping[str, PCollection[Row | Result]],
) -> Results:
    """All outputs. The results in `items`, `regrouped` and `paid` make the bill, and the failures."""
    answered = {"items": items, **regrouped, **paid}
    bills = [rows | f"Bill of {name}" >> Bill() for name, rows in answered.items()]
    failures = _flat("Failures", [*(bill[FAILURES] for bill in bills), *unusable])
    return Results(items, globals_, failures, _flat("Costs", [bill[COSTS] for bill in bills]), regrouped)


def _in_windowing(results: Results, windowing: beam.Windowing) -> Results:
    """All outputs in the windowing that the user gave the input."""

    def back(label: str, rows: PCollection[Any]) -> Any:
        return rows | f"{label} in windows" >> SameRewindowed(windowing).with_output_types(rows.element_type)

    return Results(
        back("Items", results.items),
        back("Globals", results.globals),
        back("Failures", results.failures),
        back("Costs", results.costs),
        {name: back(name, rows) for name, rows in results.regrouped.items()},
    )


def _flat(label: str, parts: list[PCollection[Any]]) -> Any:
    """All of them as one. Some runners write every element of a Flatten down and read it again."""
    return parts[0] if len(parts) == 1 else parts | label >> beam.Flatten()


def _is_local(runner: PipelineRunner) -> bool:
    return type(runner).__name__ in _LOCAL_RUNNERS
