"""What `beam_llmdag` exports."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pkgutil import walk_packages

import pytest
from helpers.places import ROOT

import beam_llmdag
from beam_llmdag import errors
from beam_llmdag.errors import LLMDagError

EVERYDAY = {
    "Dag",
    "LLMDag",
    "ReadItems",
    "Report",
    "Summarise",
    "WriteBigQueryResults",
    "WriteResults",
    "load_dag",
    "read_items",
}


@pytest.mark.parametrize("name", beam_llmdag.__all__)
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(beam_llmdag, name).__name__ == name


def test_names_are_exported_once_and_in_order() -> None:
    assert beam_llmdag.__all__ == sorted(set(beam_llmdag.__all__))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'LLMDags'"):
        _ = beam_llmdag.LLMDags  # type: ignore[attr-defined]


def test_what_a_pipeline_needs_is_exported() -> None:
    assert set(beam_llmdag.__all__) >= EVERYDAY


def test_every_error_is_exported_and_drawn_in_the_tree() -> None:
    for module in walk_packages(beam_llmdag.__path__, "beam_llmdag."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    public = {kind.__name__ for kind in subclasses(LLMDagError)}
    assert {kind.__module__ for kind in subclasses(LLMDagError)} == {"beam_llmdag.errors"}
    assert public <= set(beam_llmdag.__all__)
    assert public <= set(errors.__all__)
    assert public == set(re.findall(r"\w+Error\b", errors.__doc__ or ""))


def test_docs_import_from_the_root_what_is_there() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for module, names in re.findall(r"from (beam_llmdag\.[\w.]+) import ([\w, ]+)", page.read_text("utf-8")):
            deep = {name.strip() for name in names.split(",")} & set(beam_llmdag.__all__)
            assert not deep, f"{page.name}: {deep} of {module}"


def test_a_run_in_this_process_imports_no_beam_and_no_arrow() -> None:
    program = """
import sys
from beam_llmdag import Dag
from beam_llmdag.testing import ScriptedProvider

dag = Dag("light", model="scripted:m", providers={"scripted": ScriptedProvider(lambda request: "fine")})
dag.dimension(lambda item: item.content, name="echo")
assert dag.run(["x"], store=False, progress=False).items[0].results["echo"].data == "fine"
assert [row.item.content for row in dag.stream(["x"], store=False)] == ["x"]
print([name for name in ("apache_beam", "pyarrow", "numpy", "anthropic") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    """`kind` and all that come of it."""
    return {kind}.union(*(subclasses(each) for each in kind.__subclasses__()))
