"""`llmdag-boot`: starts a Python worker for runners that have no container, Beam's PROCESS environment.

    --environment_type=PROCESS --environment_config='{"command": "/path/to/.venv/bin/llmdag-boot"}'

The worker runs in the Python environment of this program. What the job stages (`--setup_file`, `--extra_package`,
`--requirements_file`, the main session) is installed into a folder of this one worker; Beam's plain PROCESS and
EXTERNAL workers do not do that. Dependencies of what is staged are not installed: they must be in the environment.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import grpc
from apache_beam.portability.api import (
    beam_artifact_api_pb2,
    beam_artifact_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    beam_runner_api_pb2,
    endpoints_pb2,
)
from google.protobuf import json_format, text_format
from packaging.requirements import InvalidRequirement, Requirement

__all__ = ["BootError", "install", "main"]

_WORKER = "apache_beam.runners.worker.sdk_worker_main"
_FOLDER = "llmdag-worker-"
_LOCK = "in-use"
_ANSWER_SECONDS = 60.0

# names that Beam gives what it stages, see its stager.py
_SETUP_PACKAGE = "workflow.tar.gz"
_EXTRA_PACKAGES = "extra_packages.txt"
_REQUIREMENTS = "requirements.txt"

_CHECKED = "requirements.checked.txt"
_OPTIONS = re.compile(r"--(no-index|pre|prefer-binary|require-hashes|(no|only)-binary[= ]\s*[\w.,:-]+)")
"""Options of a requirements file that lead nowhere."""
_HASH = re.compile(r"--hash[= ]\w+:[0-9a-fA-F]+")


class BootError(RuntimeError):
    """A worker that cannot be started. The message says why, and what would help."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Becomes the worker that the runner's arguments ask for; what goes wrong before is in the runner's log, too.

    Raises:
        SystemExit: the worker cannot be started.
    """
    asked = _parser().parse_args(argv)
    worker_id = asked.id.strip("'")  # Prism puts quotes around it, as if for a shell
    try:
        info = _provision(asked.provision_endpoint, worker_id)
    except grpc.RpcError as error:
        sys.exit(f"llmdag-boot: no answer from the runner at {asked.provision_endpoint}: {error}")
    # what the runner answers comes before its arguments, as in Beam's own containers
    logging_url = info.logging_endpoint.url or asked.logging_endpoint
    try:
        folder = _own_folder(Path(asked.semi_persist_dir or tempfile.gettempdir()))
        _fetch(info, info.artifact_endpoint.url or asked.artifact_endpoint, worker_id, folder / "staged")
        install(folder / "staged", folder / "site")
    except (BootError, OSError, grpc.RpcError) as error:
        _tell_runner(logging_url, worker_id, str(error))
        sys.exit(f"llmdag-boot: {error}")
    control_url = info.control_endpoint.url or asked.control_endpoint
    environment = _environment(info, worker_id, folder, logging_url, control_url)
    os.execve(sys.executable, [sys.executable, "-m", _WORKER], environment)


def _parser() -> argparse.ArgumentParser:
    """The arguments of Beam's container contract."""
    parser = argparse.ArgumentParser(
        prog="llmdag-boot",
        description="Starts a Python worker. A runner calls it: --environment_type=PROCESS "
        '--environment_config=\'{"command": "/path/to/llmdag-boot"}\'',
    )
    parser.add_argument("--id", required=True, help="name of the worker")
    parser.add_argument("--provision_endpoint", required=True, help="where the runner tells all the rest")
    for name in ("logging", "artifact", "control"):
        parser.add_argument(
            f"--{name}_endpoint", default="", help=f"for runners that do not tell their {name} endpoint"
        )
    parser.add_argument("--semi_persist_dir", default="", help="folder for what the job stages; default: the temporary")
    return parser


def _provision(endpoint: str, worker_id: str) -> Any:
    """What the runner says about the worker: its job's options and files, and the runner's other endpoints."""
    with grpc.insecure_channel(endpoint) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        return stub.GetProvisionInfo(request, metadata=_metadata(worker_id), timeout=_ANSWER_SECONDS).info


def _metadata(worker_id: str) -> list[tuple[str, str]]:
    return [("worker_id", worker_id)]


def _own_folder(parent: Path) -> Path:
    """A new folder for this worker. Folders of workers that have ended, killed ones too, are removed."""
    parent.mkdir(parents=True, exist_ok=True)
    for old in parent.glob(f"{_FOLDER}*"):
        if not _in_use(old):
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=parent))
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(folder / "lock", folder / _LOCK)  # locked before another worker that starts now can see it
    os.set_inheritable(lock, True)  # the worker has it until it ends, however it ends
    return folder


def _in_use(folder: Path) -> bool:
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:  # just being made, or another user's
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _fetch(info: Any, endpoint: str, worker_id: str, staged: Path) -> None:
    """Gets all files of the job into the folder `staged`.

    Raises:
        BootError: a file without a plain name.
    """
    staged.mkdir()
    with grpc.insecure_channel(endpoint) as channel:
        stub = beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel)
        for artifact in info.dependencies:
            name = _staged_name(artifact)
            request = beam_artifact_api_pb2.GetArtifactRequest(artifact=artifact)
            with (staged / name).open("wb") as file:
                for part in stub.GetArtifact(request, metadata=_metadata(worker_id)):
                    file.write(part.data)


def _staged_name(artifact: Any) -> str:
    name: str = beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(artifact.role_payload).staged_name
    if not _is_plain(name):
        raise BootError(f"the job stages a file under the name {name!r}, which is no plain name")
    return name


def _is_plain(name: str) -> bool:
    """Whether `name` is that of a file in a folder, and leads nowhere else."""
    return name not in ("", ".", "..") and name == os.path.basename(name) and "\0" not in name


def install(staged: Path, site: Path) -> None:
    """Installs what is staged into the folder `site`.

    Raises:
        BootError: pip failed, or something of another place than `staged` was to be installed.
    """
    if (staged / _REQUIREMENTS).exists():
        checked = staged.parent / _CHECKED  # pip reads what was checked, and not what it takes the staged file for
        checked.write_text("\n".join(_requirements(_text(staged / _REQUIREMENTS))), encoding="utf-8")
        _pip(site, "--no-index", "--find-links", str(staged), "--requirement", str(checked))
    extra = staged / _EXTRA_PACKAGES
    for number, line in enumerate(_text(extra).split("\n") if extra.exists() else (), start=1):
        name = line.strip()
        if name and not (_is_plain(name) and (staged / name).is_file()):
            raise BootError(f"{_EXTRA_PACKAGES}:{number}: {name!r} is no file that the job stages")
        if name:
            _pip(site, str(staged / name))
    if (staged / _SETUP_PACKAGE).exists():
        _pip(site, str(staged / _SETUP_PACKAGE))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BootError(f"{path.name} is no UTF-8 text: {error}") from None


def _requirements(text: str) -> Iterator[str]:
    """The requirements of a file, one a line.

    Raises:
        BootError: one of them is to be fetched from somewhere: a URL, a path, another file, an index.
    """
    number, line = 1, ""
    for last, part in enumerate(text.splitlines(), start=1):
        line += re.sub(r"(^|\s)#.*", "", part)
        if line.endswith("\\"):
            line = line[:-1] + " "
            continue
        if line.strip():
            yield _requirement(line.strip(), number)
        number, line = last + 1, ""
    if line.strip():
        yield _requirement(line.strip(), number)


def _requirement(line: str, number: int) -> str:
    if _OPTIONS.fullmatch(line):
        return line
    asked, *hashes = re.split(r"\s+(?=--)", line)
    try:
        if Requirement(asked).url is None and all(_HASH.fullmatch(option) for option in hashes):
            return " ".join((asked, *hashes))
    except InvalidRequirement:
        pass
    raise BootError(
        f"{_REQUIREMENTS}:{number}: {line!r} is no package by its name: a worker installs what the job stages, "
        f"and fetches nothing; stage the package, and name it"
    )


def _pip(site: Path, *what: str) -> None:
    """Runs pip, without a network: a thousand workers that start must not ask a registry a thousand times.

    Raises:
        BootError: pip failed.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    command += ["--no-deps", "--no-build-isolation", "--upgrade", "--target", str(site), *what]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise BootError(
            f"pip could not install {what[-1]}; the worker's environment, {sys.prefix}, needs pip and setuptools>=70.1 "
            f"(or wheel) to build packages. pip said:\n{done.stdout}"
        )


def _environment(info: Any, worker_id: str, folder: Path, logging_url: str, control_url: str) -> dict[str, str]:
    """The variables that Beam's worker reads."""
    options = folder / "options.json"  # in a file: a variable's length has a limit
    options.write_text(json_format.MessageToJson(info.pipeline_options), encoding="utf-8")
    environment = {
        **os.environ,
        "WORKER_ID": worker_id,
        "PIPELINE_OPTIONS_FILE": str(options),
        "SEMI_PERSISTENT_DIRECTORY": str(folder),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
        "LOGGING_API_SERVICE_DESCRIPTOR": _descriptor(logging_url),
        "CONTROL_API_SERVICE_DESCRIPTOR": _descriptor(control_url),
    }
    if info.status_endpoint.url:
        environment["STATUS_API_SERVICE_DESCRIPTOR"] = _descriptor(info.status_endpoint.url)
    site = folder / "site"
    if site.exists():
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    return environment


def _descriptor(url: str) -> str:
    return str(text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url)))


def _tell_runner(url: str, worker_id: str, message: str) -> None:
    """Puts a message into the runner's log: it may throw away what this program prints."""
    from apache_beam.runners.worker.log_handler import FnApiLogRecordHandler

    os.environ["WORKER_ID"] = worker_id
    handler = FnApiLogRecordHandler(endpoints_pb2.ApiServiceDescriptor(url=url))
    logger = logging.getLogger(__name__)
    logger.addHandler(handler)
    logger.error(message)
    handler.close()


if __name__ == "__main__":
    main()
