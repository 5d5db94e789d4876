"""`kill -9` of a worker where the engine lets its job fail: started again, nothing is lost or paid for twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.engine import DirectProcesses, Engine, Prism
from engines.kill import kill_in_the_middle
from engines.processes import EngineError
from engines.workload import PERMITS, Workload, measure


@pytest.mark.parametrize("engine", [DirectProcesses(), Prism()], ids=lambda engine: engine.name)
def test_a_killed_worker_costs_no_item_and_repeats_no_more_calls_than_were_in_flight(
    engine: Engine, workload: Workload, tmp_path: Path
) -> None:
    if (missing := engine.missing()) is not None:
        pytest.skip(missing)
    with engine:
        outcome = kill_in_the_middle(engine, "worker", workload, tmp_path)
    assert outcome.problems == []
    assert outcome.first_end in ("failed", "stuck")
    assert outcome.repeated <= outcome.most_repeated


def test_only_flink_has_task_managers_to_kill(workload: Workload, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="has no TaskManager"):
        kill_in_the_middle(DirectProcesses(), "TaskManager", workload, tmp_path)


def test_every_worker_process_has_as_many_calls_in_flight_as_it_may(tmp_path: Path, workload: Workload) -> None:
    load = measure(DirectProcesses(), workload, tmp_path)
    assert load.permits == 2 * PERMITS
    assert PERMITS < load.most_in_flight <= load.permits
    assert load.ideal_seconds < load.call_seconds < load.wall_seconds
