"""A notebook with pandas, executed: its loop runs, and Beam's module for frames is nowhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
import pytest
from helpers.places import ROOT
from nbclient import NotebookClient

DECLARED = """
import pandas as pd
from beam_llmdag import Dag
from beam_llmdag.testing import ScriptedProvider

provider = ScriptedProvider(lambda request: request.messages[0].content.upper())
dag = Dag("notebook", model="scripted:m", providers={"scripted": provider})

@dag.dimension
def loud(item):
    return item.content

frame = pd.DataFrame({"content": ["x", "y"], "stars": [5, 1]})
"""

CELLS = {
    "run": "print(*dag.run(frame).to_pandas()['loud'])",
    "arun": "print(*(await dag.arun(frame)).to_pandas()['loud'])",
    "stream": "print(*sorted(row.results['loud'].data for row in dag.stream(frame)))",
    "astream": "print(*sorted([row.results['loud'].data async for row in dag.astream(frame)]))",
}


def test_every_way_to_run_works_in_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
    for place in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(place, str(tmp_path / place.lower()))
    cells = [nbformat.v4.new_code_cell(source) for source in (DECLARED, *CELLS.values())]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))
    said = ["".join(out.text for out in cell.outputs if out.get("name") == "stdout") for cell in notebook.cells[1:]]
    assert said == ["X Y\n"] * len(CELLS)
