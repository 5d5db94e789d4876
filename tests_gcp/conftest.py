"""BigQuery and Cloud Storage on this machine: both emulators are real processes, Beam's connectors are the real ones.

What has to be told about the place of the servers is told here: Google's clients read it from the environment, Beam's
older client has it in a class attribute, and the one of the Storage Read API wants a channel.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google.auth
import grpc
import pytest
from apache_beam.io.gcp import bigquery as beam_bigquery
from apache_beam.io.gcp.internal.clients.bigquery.bigquery_v2_client import BigqueryV2
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, bigquery_storage_v1
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

PROJECT = "test-project"
BUCKET = "test-bucket"
_PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Emulators:
    """Where the emulators listen, and the folder that both know as Cloud Storage."""

    rest_port: int
    grpc_port: int
    storage_port: int
    buckets: Path


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """Both emulators, for as long as the tests run."""
    folder = tmp_path_factory.mktemp("emulators")
    found = Emulators(_free_port(), _free_port(), _free_port(), folder / "buckets")
    found.buckets.mkdir()
    environment = {
        **os.environ,
        "HOME": str(folder),
        "BQEMU_GCS_LOCAL_ROOT": str(found.buckets),
        "STORAGE_BASE": str(folder),
        "STORAGE_DIR": found.buckets.name,
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{found.storage_port}",
    }
    ports = ["--rest-port", f"{found.rest_port}", "--grpc-port", f"{found.grpc_port}"]
    commands = {
        "bigquery": [str(Path(__file__).with_name("emulator.py")), "start", *ports, "--project", PROJECT],
        "storage": [
            "-m",
            "gcp_storage_emulator",
            "start",
            "--port",
            f"{found.storage_port}",
            "--default-bucket",
            BUCKET,
        ],
    }
    processes = []
    try:
        for name, arguments in commands.items():
            with (folder / f"{name}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen([sys.executable, *arguments], env=environment, stdout=log, stderr=log)
                )
        for port in (found.rest_port, found.grpc_port, found.storage_port):
            _wait_for(port, folder)
        yield found
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


@pytest.fixture(scope="session", autouse=True)
def client(emulators: Emulators) -> Iterator[bigquery.Client]:
    """A client of the emulator; Beam's connectors and this package's reach it as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{emulators.rest_port}")
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{emulators.storage_port}")
        patch.setenv("GOOGLE_CLOUD_PROJECT", PROJECT)
        patch.setenv("LLMDAG_STORE", "off")
        patch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), PROJECT))
        patch.setattr(BigqueryV2, "BASE_URL", f"http://127.0.0.1:{emulators.rest_port}/bigquery/v2/")
        patch.setattr(beam_bigquery.bq_storage, "BigQueryReadClient", _read_client(emulators.grpc_port))
        yield bigquery.Client(project=PROJECT)


@pytest.fixture(scope="session")
def new_dataset(client: bigquery.Client) -> Callable[[], str]:
    """Makes a dataset: `project.name`."""

    def make() -> str:
        name = f"test_{uuid.uuid4().hex}"
        client.create_dataset(name)
        return f"{PROJECT}.{name}"

    return make


@pytest.fixture
def dataset(new_dataset: Callable[[], str]) -> str:
    """A new dataset: `project.name`."""
    return new_dataset()


@pytest.fixture(scope="session")
def beam_args() -> list[str]:
    """Beam's options for a pipeline in this process."""
    return ["--runner=FnApiRunner", f"--project={PROJECT}", f"--temp_location=gs://{BUCKET}/temp"]


def _read_client(port: int) -> Any:
    real = bigquery_storage_v1.BigQueryReadClient

    def make() -> Any:
        return real(transport=BigQueryReadGrpcTransport(channel=grpc.insecure_channel(f"127.0.0.1:{port}")))

    return make


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, folder: Path) -> None:
    last = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < last:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
    pytest.fail(f"no emulator listens on port {port}\n{logs}")
