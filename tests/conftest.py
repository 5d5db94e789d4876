"""What all tests share: no network, no answer store left behind, and pipelines whose outputs can be looked at."""

from __future__ import annotations

import os
import signal
import socket
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.utils.shared import Shared
from helpers.beam_memory import remember
from helpers.places import ROOT

from beam_llmdag.beam.llm_dag import LLMDag
from beam_llmdag.dag import Dag
from beam_llmdag.records.result import CostRow, Failure, Result, Row
from beam_llmdag.run.report import Report
from beam_llmdag.testing.pinned import Pinned

PLANS = ("pipelined", "staged")
ENGINES = ("local", *PLANS)
_OUR_PRISM = Shared()

remember()
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in the background of a shell, where no child hears Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_store_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMDAG_STORE", "off")


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise RuntimeError(f"a test wants to connect to {address}; only this machine may be reached")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


class Seen(NamedTuple):
    """An element and its place."""

    value: Any
    window: Any
    timestamp: float
    pane: Any


class BeamRun(Pinned):
    """What came out of a pipeline, in a fixed order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: defaultdict[str, list[Seen]] = defaultdict(list)
        self.counters: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.distributions: defaultdict[str, dict[str, Any]] = defaultdict(dict)

    def watch(self, name: str, elements: Any) -> None:
        """Keeps the elements of a PCollection."""

        def keep(
            element: Any,
            window: Any = beam.DoFn.WindowParam,
            timestamp: Any = beam.DoFn.TimestampParam,
            pane: Any = beam.DoFn.PaneInfoParam,
        ) -> None:
            self.seen[name].append(Seen(element, window, timestamp.micros / 1e6, pane))

        elements | f"Watch {name}" >> beam.Map(keep)

    def of_report(self, report: Report) -> BeamRun:
        """What came out of a run on the local engine."""
        rows = {f"regrouped {name}": rows for name, rows in report.regrouped.items()}
        kinds = ("items", "globals", "failures", "costs")
        for name, values in {**rows, **{kind: getattr(report, kind) for kind in kinds}}.items():
            if not values:  # a PCollection without elements says nothing
                continue
            self.seen[name] = [Seen(value, None, 0.0, None) for value in values]
        return self

    def values(self, name: str, key: Callable[[Any], Any] = repr) -> list[Any]:
        """The elements of a PCollection, ordered by `key`."""
        return sorted((seen.value for seen in self.seen[name]), key=key)

    @property
    def items(self) -> list[Row]:
        return self.values("items", lambda row: (row.item.id, repr(row.item)))

    @property
    def globals(self) -> list[Result]:
        return self.values("globals", lambda result: (result.dimension, result.item_id, repr(result)))

    @property
    def failures(self) -> list[Failure]:
        return self.values("failures", lambda failure: (failure.dimension, failure.item_id, failure.message))

    @property
    def costs(self) -> list[CostRow]:
        return self.values("costs", lambda cost: (cost.dimension, cost.item_id, cost.number))

    @property
    def regrouped(self) -> dict[str, list[Row]]:
        names = [name for name in self.seen if name.startswith("regrouped ")]
        return {name.removeprefix("regrouped "): self.values(name, lambda row: row.item.id) for name in names}

    def statuses(self, dimension: str) -> dict[str, str]:
        """Item id -> status of a dimension."""
        return {row.item.id: row.results[dimension].status for row in self.items}

    def data(self, dimension: str) -> dict[str, Any]:
        """Item id -> answer of a dimension."""
        return {row.item.id: row.results[dimension].data for row in self.items}


@dataclass(frozen=True)
class Runner:
    """Runs dags on the FnApiRunner, or on the local engine."""

    def __call__(
        self,
        dag: Dag,
        source: Any,
        *,
        plan: Any = "pipelined",
        runner: Any = None,
        flags: Sequence[str] = (),
        then: Callable[[Any], Any] | None = None,
        **options: Any,
    ) -> BeamRun:
        """Runs `dag` over a list of elements, or over what a transform makes of a pipeline.

        What `then` makes of the results is an output of that name.
        """
        run = BeamRun()
        if plan == "local":
            return run.of_report(dag.run(source, progress=False, **options))
        pipeline = beam.Pipeline(runner=runner or FnApiRunner(), options=PipelineOptions([*flags]))
        made = beam.Create(source, reshuffle=False) if isinstance(source, list) else source
        results = pipeline | "Source" >> made | LLMDag(dag, plan=plan, **options)
        for name in ("items", "globals", "failures", "costs"):
            run.watch(name, getattr(results, name))
        for name, rows in results.regrouped.items():
            run.watch(f"regrouped {name}", rows)
        if then is not None:
            run.watch("then", then(results))
        result = pipeline.run()
        result.wait_until_finish()
        metrics = result.metrics().query()
        for kind, kept in (("counters", run.counters), ("distributions", run.distributions)):
            for metric in metrics[kind]:
                namespace, _, dimension = metric.key.metric.namespace.partition("/")
                if namespace == "llmdag":
                    kept[dimension][metric.key.metric.name] = metric.committed
        return run

    def both(self, dag: Dag, source: Any, **options: Any) -> BeamRun:
        """Runs `dag` in both plans, demands that everything is the same, and returns one of the runs."""
        first, second = (self(dag, source, plan=plan, **options) for plan in PLANS)
        for name in ("items", "globals", "failures", "costs", "regrouped", "counters"):
            assert getattr(first, name) == getattr(second, name), name
        return first

    def everywhere(self, dag: Dag, source: Any, **options: Any) -> BeamRun:
        """As `both`, and demands the same of the local engine."""
        done = self.both(dag, source, **options)
        here = self(dag, source, plan="local", **options)
        for name in ("items", "globals", "failures", "costs", "regrouped"):
            assert getattr(here, name) == getattr(done, name), name
        return done


@pytest.fixture
def run() -> Runner:
    """Runs a dag on the FnApiRunner, `run(dag, elements, plan=…)`.

    Or in both plans, `run.everywhere(dag, elements)`, or on the local engine as well, `run.everywhere(dag, elements)`.
    """
    return Runner()


@pytest.fixture(params=PLANS)
def plan(request: pytest.FixtureRequest) -> str:
    """Each of the plans."""
    return str(request.param)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The local engine and each of the plans, as `plan` of `run`."""
    return str(request.param)


@pytest.fixture
def prism(monkeypatch: pytest.MonkeyPatch) -> str:
    """Path of a Prism binary; tests that need one are skipped without."""
    # Beam keeps the first Prism of a process for all: one that its DirectRunner could not download would be ours, too
    monkeypatch.setattr(PrismRunner, "shared_handle", _OUR_PRISM)
    places = [*os.environ.get("PATH", "").split(os.pathsep), str(Path.home() / "go" / "bin"), str(ROOT / ".tools")]
    found = next((Path(place) / "prism" for place in places if place and (Path(place) / "prism").is_file()), None)
    if found is None:
        pytest.skip("there is no prism binary on the PATH, in ~/go/bin or in .tools")
    return str(found)
