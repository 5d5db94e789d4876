"""Flink's own distribution, from the Python package that carries its jars."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from engines.processes import EngineError

__all__ = ["FLINK_VERSION", "class_path", "flink_home"]

FLINK_VERSION = "1.20.3"

_PACKAGE = f"apache-flink-libraries=={FLINK_VERSION}"
_UNUSED = ("flink-table-", "flink-scala_", "flink-cep-", "flink-csv-", "flink-json-")
"""Jars of Flink's SQL: without them a JVM starts in less than half the time."""


def flink_home(tools: Path) -> Path:
    """The folder of the distribution; downloaded (232 MB) and unpacked below `tools` the first time.

    Raises:
        EngineError: pip could not download it.
    """
    home = tools / f"flink-{FLINK_VERSION}"
    if home.exists():
        return home
    tools.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tools) as place:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--no-binary", ":all:", "--dest", place, _PACKAGE]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise EngineError(f"pip could not download {_PACKAGE}:\n{done.stdout}")
        [sdist] = Path(place).glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            archive.extractall(place, filter="data")
        [unpacked] = Path(place).glob("*/deps")
        try:
            unpacked.rename(home)  # all at once: a download that was stopped leaves nothing half-made
        except OSError:
            if not home.exists():  # another process was faster
                raise
    return home


def class_path(home: Path) -> str:
    """Flink's jars, without those of its SQL, as Java wants them."""
    return ":".join(str(jar) for jar in sorted((home / "lib").glob("*.jar")) if not jar.name.startswith(_UNUSED))
