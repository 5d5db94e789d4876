"""What the tests of engines share."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.engine import DirectRunner, Prism
from engines.flink_demo import EXAMPLES, run_example
from engines.workload import Workload


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Example pipeline -> its results on the DirectRunner."""
    results = {}
    for name in EXAMPLES:
        folder = tmp_path_factory.mktemp(name)
        store = str(folder / "answers.sqlite")  # its own: one that another run has filled would leave nothing to ask
        results[name] = run_example(name, DirectRunner(), folder, options=["--store", store])
    return results


@pytest.fixture(scope="session")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """Some hundred calls."""
    return Workload(folder=tmp_path_factory.mktemp("workload"), reviews=240)


@pytest.fixture
def prism() -> Prism:
    """Prism; tests that need it are skipped without."""
    engine = Prism()
    if (missing := engine.missing()) is not None:
        pytest.skip(missing)
    return engine
