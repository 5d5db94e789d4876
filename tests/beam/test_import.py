"""What importing the Beam layer says."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "program",
    [
        "import beam_llmdag.beam",
        "from beam_llmdag import LLMDag",
        "from beam_llmdag import ReadItems, Summarise, WriteResults",
        "import pipelines.review_analysis",
        "import beam_llmdag.cli",
        "import beam_llmdag.beam, logging; logging.warning('apitools not found: mine')",
    ],
)
def test_beams_warning_of_missing_packages_reaches_nobody(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "bigquery client" not in done.stderr
    assert ("apitools not found: mine" in done.stderr) is ("mine" in program)
