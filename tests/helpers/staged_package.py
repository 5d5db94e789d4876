"""The package as Beam stages it for workers, and a worker's Python that has nothing else of this project."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import apache_beam
from apache_beam.runners.portability.stager import Stager
from helpers.places import ROOT


def staged_package(folder: Path) -> Path:
    """The archive that Beam's `--setup_file` makes, from a copy of the sources."""
    sources = folder / "sources"
    shutil.copytree(ROOT, sources, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "output"))
    (sources / ".env").write_text("ANTHROPIC_API_KEY=of-the-developer\n", encoding="utf-8")
    made = folder / "made"
    made.mkdir()
    return Path(Stager._build_setup_package(str(sources / "setup.py"), str(made)))


def worker_python(archive: Path, folder: Path) -> Path:
    """A new environment with the archive installed by pip, as on a worker; dependencies are those of this process."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(folder / "wheels"), str(archive)]
    subprocess.run(build, check=True, capture_output=True, cwd=folder)
    [wheel] = (folder / "wheels").iterdir()
    venv.create(folder / "worker", with_pip=False)
    python = folder / "worker" / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "worker")}))
    subprocess.run([*pip, "install", *offline, "--target", str(site), str(wheel)], check=True, capture_output=True)
    # After the package's own folder, and without the editable installation, which another .pth file there switches on.
    (site / "dependencies.pth").write_text(f"{Path(apache_beam.__file__).parent.parent}\n", encoding="utf-8")
    return python
