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
    return {name: run_example(name, DirectRunner(), tmp_path_factory.mktemp(name)) for name in EXAMPLES}


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
