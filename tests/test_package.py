"""What Beam's `--setup_file` sends to workers."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest
from helpers.places import ROOT
from helpers.staged_package import staged_package, worker_python


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The staged archive."""
    return staged_package(tmp_path_factory.mktemp("staged"))


def names(archive: Path) -> set[str]:
    """The files in an archive, without its top folder."""
    with tarfile.open(archive) as files:
        return {member.name.partition("/")[2] for member in files.getmembers() if member.isfile()}


def test_every_module_is_in_the_staged_archive(archive: Path) -> None:
    modules = {
        str(path.relative_to(ROOT))
        for package in ("beam_llmdag", "pipelines")
        for path in (ROOT / package).rglob("*.py")
    }
    assert modules - names(archive) == set()


def test_types_and_all_that_setup_needs_are_in_the_staged_archive(archive: Path) -> None:
    needed = {"beam_llmdag/py.typed", "beam_llmdag/yaml/dag.schema.json", "pyproject.toml", "setup.py", "README.md"}
    assert needed - names(archive) == set()


def test_no_other_files_of_the_developer_s_are_in_the_staged_archive(archive: Path) -> None:
    tops = {name.partition("/")[0] for name in names(archive)}
    assert tops == {
        *("beam_llmdag", "beam_llmdag.egg-info", "pipelines"),
        *("LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg", "setup.py"),
        "tests",  # setuptools takes their modules along
    }


def test_a_worker_that_installs_the_archive_can_import_both_packages(archive: Path, tmp_path: Path) -> None:
    python = worker_python(archive, tmp_path)
    script = (
        "import beam_llmdag, pipelines.review_analysis, pipelines.category_analysis, pathlib\n"
        "print(pathlib.Path(beam_llmdag.__file__).with_name('py.typed').is_file())\n"
        "print(beam_llmdag.__file__, pipelines.__file__, sep='\\n')"
    )
    run = subprocess.run([python, "-I", "-c", script], cwd=tmp_path, text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    typed, *files = run.stdout.split()
    assert typed == "True"
    assert all(Path(file).is_relative_to(tmp_path / "worker") for file in files), files
