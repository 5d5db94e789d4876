"""The `simulator` fixture, which pytest finds wherever this package is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from beam_llmdag.testing.simulator.simulator import Simulator

__all__ = ["simulator"]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A fresh, running `beam_llmdag.testing.Simulator` without latency, limits or faults."""
    # not at the top: every pytest run of every project in the environment loads this module
    from beam_llmdag.testing.simulator.simulator import Simulator

    with Simulator() as running:
        yield running
