"""Jobs as Beam's Dataflow runner makes them, written to a folder instead of sent to Google. Needs the extra `gcp`."""

from __future__ import annotations

import base64
import bz2
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apache_beam.portability.api import beam_runner_api_pb2 as protos
from apache_beam.runners.dataflow.internal import apiclient

REQUIRED = (
    *("--runner=DataflowRunner", "--project=my-project", "--region=europe-west1", "--job_name=reviews"),
    "--temp_location=gs://my-bucket/temp",
)
OFFLINE = ("--dry_run=True", "--no_auth")
"""`--dry_run` takes a value. With it the runner stops before it talks to Google."""

_SHOWN_PARTS = 3  # of a step's name: what is deeper is Beam's own
_PICKLE = re.compile(rb"QlpoOTFBWSZTW[A-Za-z0-9+/]*")  # base64 of a bzip2 file: how Beam sends what it pickles


@dataclass(frozen=True)
class StagedJob:
    """One job and the files that go with it.

    Attributes:
        folder: the files: the pipeline, the package, and the job's own description.
    """

    folder: Path

    @property
    def description(self) -> dict[str, Any]:
        """The job as the service's API gets it."""
        found: dict[str, Any] = json.loads((self.folder / "job.json").read_text(encoding="utf-8"))
        return found

    @property
    def pipeline(self) -> protos.Pipeline:
        """The steps."""
        return protos.Pipeline.FromString((self.folder / "pipeline.pb").read_bytes())

    def readable(self) -> bytes:
        """All that somebody can read who has the files: pickles and archives unpacked, too."""
        return b"\n".join(part for file in sorted(self.folder.iterdir()) for part in _unpacked(file))


def stage(result: Any, folder: Path) -> StagedJob:
    """Does with a dry run's job what the runner does before it submits one, with a folder as the staging bucket."""
    folder.mkdir()
    job = result.job
    job.google_cloud_options.staging_location = str(folder)
    apiclient.DataflowApplicationClient(job.options, str(folder)).create_job_description(job)
    (folder / "job.json").write_text(job.json(), encoding="utf-8")
    return StagedJob(folder)


def graph_text(pipeline: protos.Pipeline) -> str:
    """The steps of a pipeline, each with where its inputs come from, those of the side as well."""
    transforms = pipeline.components.transforms
    kinds: dict[str, str] = {}
    makers: dict[str, str] = {}
    inputs: dict[str, set[str]] = {}

    def visit(key: str, step: str | None) -> None:
        transform = transforms[key]
        name = transform.unique_name
        ends = not transform.subtransforms or name.count("/") + 1 >= _SHOWN_PARTS
        if step is None and transform.spec.urn and ends:
            step, kinds[name], inputs[name] = name, transform.spec.urn.split(":")[-2], set()
        for part in transform.subtransforms:
            visit(part, step)
        if step is not None and not transform.subtransforms:
            inputs[step].update(transform.inputs.values())
            makers.update(dict.fromkeys(transform.outputs.values(), step))

    for key in pipeline.root_transform_ids:
        visit(key, None)
    lines = []
    for step, kind in kinds.items():
        sources = sorted({makers[made] for made in inputs[step]} - {step})
        lines += [f"{step} [{kind}]", *(f"    from {source}" for source in sources)]
    return "\n".join(lines) + "\n"


def _unpacked(file: Path) -> Iterator[bytes]:
    content = file.read_bytes()
    yield content
    for found in _PICKLE.finditer(content):
        text = found.group()
        yield bz2.BZ2Decompressor().decompress(base64.b64decode(text[: len(text) // 4 * 4]))
    if tarfile.is_tarfile(file):
        with tarfile.open(file) as archive:
            for member in archive.getmembers():
                extracted = archive.extractfile(member)
                if extracted is not None:
                    yield extracted.read()


_WORKER = """
import sys
from pathlib import Path

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

pipeline = beam_runner_api_pb2.Pipeline.FromString(Path(sys.argv[1]).read_bytes())
for environment in pipeline.components.environments.values():
    environment.CopyFrom(beam_runner_api_pb2.Environment(urn=python_urns.EMBEDDED_PYTHON))
result = FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([]))
print(result.wait_until_finish())
"""


def run_on_worker(job: StagedJob, python: Path, environment: dict[str, str]) -> None:
    """Runs a job's steps in a process of their own, which has `python`'s packages and `environment` and no more."""
    worker = subprocess.run(
        [python, "-I", "-c", _WORKER, job.folder / "pipeline.pb"],
        env={"PATH": "/usr/bin:/bin", **environment},
        cwd=job.folder,
        text=True,
        capture_output=True,
        check=False,
    )
    assert worker.stdout.strip() == "DONE", worker.stderr[-3000:]
