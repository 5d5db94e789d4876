"""`llmdag-boot`: what it does before it becomes a worker, against the services of a runner."""

from __future__ import annotations

import fcntl
import io
import socket
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from helpers.runner_services import RunnerServices

from beam_llmdag.beam.boot import BootError, install
from engines.pipeline_run import ROOT

PATIENCE_SECONDS = 120


def boot(runner: RunnerServices, folder: Path, worker_id: str = "worker-1") -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "beam_llmdag.beam.boot",
        *runner.arguments(worker_id),
        f"--semi_persist_dir={folder}",
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


def sdist(name: str, module: str) -> bytes:
    """A package of one module, as `--setup_file` stages it."""
    files = {
        "setup.py": f"from setuptools import setup; setup(name='{name}', py_modules=['{name}'])",
        f"{name}.py": module,
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}-0/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


@pytest.mark.parametrize(
    ("told", "worker_id"), [(True, "'worker[7]'"), (False, "worker[7]")], ids=["as Prism calls it", "as Flink calls it"]
)
def test_a_worker_connects_under_the_name_that_the_runner_knows_it_by(
    told: bool, worker_id: str, tmp_path: Path
) -> None:
    """Prism 2.77 puts quotes around the name and tells its endpoints, Flink's runner gives them as arguments."""
    with RunnerServices(told=told) as runner:
        done = boot(runner, tmp_path, worker_id)
    assert (done.returncode, runner.connected) == (0, ["worker[7]"])
    assert any("booted" in line for line in runner.log), "the worker knows the job's options and logs to the runner"


def test_staged_packages_are_installed_for_this_worker_and_nobody_else(tmp_path: Path) -> None:
    files = {
        "workflow.tar.gz": sdist("from_setup_file", "x = 1"),
        "extra_packages.txt": b"extra-0.tar.gz\n",
        "extra-0.tar.gz": sdist("from_extra_package", "x = 2"),
        "requirements.txt": b"from_requirements\n",
        "from_requirements-0.tar.gz": sdist("from_requirements", "x = 3"),
        "notes.bin": b"\0\1",
    }
    with RunnerServices(files) as runner:
        done = boot(runner, tmp_path)
    assert (done.returncode, runner.connected) == (0, ["worker-1"]), done.stderr
    [folder] = tmp_path.glob("llmdag-worker-*")
    assert {path.name for path in (folder / "site").glob("*.py")} == {
        "from_setup_file.py",
        "from_extra_package.py",
        "from_requirements.py",
    }
    assert (folder / "staged" / "notes.bin").read_bytes() == b"\0\1"
    tried = [sys.executable, "-c", "import from_setup_file"]
    assert subprocess.run(tried, capture_output=True, check=False).returncode == 1


def test_a_package_that_cannot_be_installed_is_named_in_the_runners_log(tmp_path: Path) -> None:
    with RunnerServices({"workflow.tar.gz": sdist("broken", "x = 1")[:100]}) as runner:
        done = boot(runner, tmp_path)
    assert (done.returncode, runner.connected) == (1, [])
    [logged] = [line for line in runner.log if "pip could not install" in line]
    assert "workflow.tar.gz" in logged
    assert "setuptools" in logged
    assert logged in done.stderr


def test_a_staged_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    with RunnerServices({"../escaped": b"x"}) as runner:
        done = boot(runner, tmp_path / "own")
    assert done.returncode == 1
    assert "'../escaped', which is no plain name" in done.stderr
    assert not list(tmp_path.rglob("escaped"))


SETUP = b"open('SETUP_RAN', 'w'); from setuptools import setup; setup(name='outside')"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "requirements.txt",
            b"one\n# two\npkg @ http://127.0.0.1:PORT/pkg-1.0.zip\n",
            "requirements.txt:3: 'pkg @ http",
        ),
        ("requirements.txt", b"http://127.0.0.1:PORT/pkg-1.0.zip", "requirements.txt:1: 'http://"),
        ("requirements.txt", b"--index-url http://127.0.0.1:PORT/\npkg", "requirements.txt:1: '--index-url"),
        ("requirements.txt", b"one\npkg --index-url=http://127.0.0.1:PORT/", "requirements.txt:2: 'pkg --index-url"),
        ("requirements.txt", b"-i http://127.0.0.1:PORT/", "requirements.txt:1: '-i"),
        ("requirements.txt", b"-f http://127.0.0.1:PORT/", "requirements.txt:1: '-f"),
        ("requirements.txt", b"--no-index --find-links /", "requirements.txt:1: '--no-index --find-links /'"),
        ("requirements.txt", b"-r ../other.txt", "requirements.txt:1: '-r ../other.txt'"),
        ("requirements.txt", b"-c \\\n../other.txt", "requirements.txt:1: '-c  ../other.txt'"),
        ("requirements.txt", b"-e git+http://127.0.0.1:PORT/x", "requirements.txt:1: '-e git+"),
        ("requirements.txt", b"../outside", "requirements.txt:1: '../outside'"),
        ("requirements.txt", b"pkg @ file:///outside", "requirements.txt:1: 'pkg @ file:"),
        ("requirements.txt", b"a\0b", "requirements.txt:1: 'a\\x00b'"),
        ("requirements.txt", b"caf\xe9", "requirements.txt is no UTF-8 text"),
        ("extra_packages.txt", b"\n../outside", "extra_packages.txt:2: '../outside'"),
        ("extra_packages.txt", b"OUTSIDE", "extra_packages.txt:1: '/"),
        ("extra_packages.txt", b"a/../../outside", "extra_packages.txt:1: 'a/../../outside'"),
        ("extra_packages.txt", b"..", "extra_packages.txt:1: '..'"),
        ("extra_packages.txt", b"a\0b", "extra_packages.txt:1: 'a\\x00b'"),
        ("extra_packages.txt", b"http://127.0.0.1:PORT/x.zip", "extra_packages.txt:1: 'http:"),
    ],
    ids=str,
)
def test_what_reaches_outside_of_the_staged_files_is_refused_by_name(
    name: str, text: bytes, said: str, tmp_path: Path
) -> None:
    """security-57-what-a-job-may-stage, a to c"""
    for outside in (tmp_path / "outside", tmp_path / "own" / "outside"):
        outside.mkdir(parents=True)
        (outside / "setup.py").write_bytes(SETUP)
    staged = tmp_path / "own" / "staged"
    staged.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1]).encode()
        text = text.replace(b"PORT", port).replace(b"OUTSIDE", str(tmp_path / "outside").encode())
        (staged / name).write_bytes(text)
        with pytest.raises(BootError) as caught:
            install(staged, tmp_path / "own" / "site")
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert str(caught.value).startswith(said)
    assert not list(tmp_path.rglob("SETUP_RAN"))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"requirements.txt": b"pkg @ http://127.0.0.1:1/pkg-1.0.zip"},
            "requirements.txt:1: 'pkg @ http://127.0.0.1:1",
        ),
        ({"extra_packages.txt": b"a\0b"}, "extra_packages.txt:1: 'a\\x00b'"),
        ({"a\0b": b"x"}, "'a\\x00b', which is no plain name"),
        ({"..": b"x"}, "'..', which is no plain name"),
    ],
    ids=str,
)
def test_what_is_refused_is_in_the_runners_log(files: dict[str, bytes], said: str, tmp_path: Path) -> None:
    """security-57-what-a-job-may-stage, d"""
    with RunnerServices(files) as runner:
        done = boot(runner, tmp_path)
    assert (done.returncode, runner.connected) == (1, [])
    assert said in done.stderr
    assert any(said in line for line in runner.log)


def wheel(name: str, module: str) -> bytes:
    """A built package of one module."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return out.getvalue()


def test_an_ordinary_requirements_file_and_a_staged_wheel_are_installed(tmp_path: Path) -> None:
    """security-57-what-a-job-may-stage, e"""
    files = {
        "requirements.txt": b"# ours\n--no-index\n\nfirst_wheel >= 1.0, \\\n  < 2 ; python_version >= '3'  # why\n",
        "first_wheel-1.0-py3-none-any.whl": wheel("first_wheel", "x = 1"),
        "extra_packages.txt": b"second_wheel-1.0-py3-none-any.whl\n",
        "second_wheel-1.0-py3-none-any.whl": wheel("second_wheel", "x = 2"),
    }
    with RunnerServices(files) as runner:
        done = boot(runner, tmp_path)
    assert (done.returncode, runner.connected) == (0, ["worker-1"]), done.stderr
    assert {path.name for path in tmp_path.rglob("site/*.py")} == {"first_wheel.py", "second_wheel.py"}


def test_a_runner_that_does_not_answer_is_named() -> None:
    command = [sys.executable, "-m", "beam_llmdag.beam.boot", "--id=1", "--provision_endpoint=127.0.0.1:1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 1
    assert "no answer from the runner at 127.0.0.1:1" in done.stderr


def test_folders_of_workers_that_have_ended_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    for name in ("ended", "runs"):
        (tmp_path / f"llmdag-worker-{name}").mkdir()
        (tmp_path / f"llmdag-worker-{name}" / "in-use").touch()
    with (tmp_path / "llmdag-worker-runs" / "in-use").open() as lock, RunnerServices() as runner:
        fcntl.flock(lock, fcntl.LOCK_EX)
        boot(runner, tmp_path)
    assert not (tmp_path / "llmdag-worker-ended").exists()
    assert (tmp_path / "llmdag-worker-runs").exists()
