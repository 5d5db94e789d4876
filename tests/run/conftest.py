"""What tests of runs share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The place of an answer store that is not there yet."""
    return str(tmp_path / "answers.sqlite")
