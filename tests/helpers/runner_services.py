"""The services that a runner offers to a worker that starts: real gRPC, with files and options of our choice."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from apache_beam.portability.api import (
    beam_artifact_api_pb2,
    beam_artifact_api_pb2_grpc,
    beam_fn_api_pb2,
    beam_fn_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    beam_runner_api_pb2,
    endpoints_pb2,
)
from google.protobuf import struct_pb2


class RunnerServices:
    """A context manager with all the services at one `address`.

    Args:
        files: name -> content of what the job stages.
        told: whether the runner tells its endpoints, as Prism does, or only gives them as arguments, as Flink's does.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None, *, told: bool = True) -> None:
        self.files = dict(files or {})
        self.log: list[str] = []
        self.connected: list[str] = []
        self.came = threading.Event()
        self._told = told

    def __enter__(self) -> RunnerServices:
        self._server = grpc.server(ThreadPoolExecutor(8))
        beam_provision_api_pb2_grpc.add_ProvisionServiceServicer_to_server(_Provision(self), self._server)
        beam_artifact_api_pb2_grpc.add_ArtifactRetrievalServiceServicer_to_server(_Artifacts(self), self._server)
        beam_fn_api_pb2_grpc.add_BeamFnControlServicer_to_server(_Control(self), self._server)
        beam_fn_api_pb2_grpc.add_BeamFnLoggingServicer_to_server(_Logging(self), self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def arguments(self, worker_id: str) -> list[str]:
        """What the runner calls the boot program with."""
        arguments = [f"--id={worker_id}", f"--provision_endpoint={self.address}"]
        if not self._told:
            arguments += [f"--{name}_endpoint={self.address}" for name in ("logging", "artifact", "control")]
        return arguments

    def info(self) -> Any:
        """What the provision service says."""
        options = struct_pb2.Struct()
        options.update({"beam:option:job_name:v1": "booted"})
        info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=options)
        if self._told:
            endpoint = endpoints_pb2.ApiServiceDescriptor(url=self.address)
            for field in (info.logging_endpoint, info.artifact_endpoint, info.control_endpoint):
                field.CopyFrom(endpoint)
        for name in self.files:
            role = beam_runner_api_pb2.ArtifactStagingToRolePayload(staged_name=name)
            info.dependencies.add(type_urn="beam:artifact:type:file:v1", role_payload=role.SerializeToString())
        return info


class _Provision(beam_provision_api_pb2_grpc.ProvisionServiceServicer):
    def __init__(self, runner: RunnerServices) -> None:
        self._runner = runner

    def GetProvisionInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name is gRPC's
        return beam_provision_api_pb2.GetProvisionInfoResponse(info=self._runner.info())


class _Artifacts(beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceServicer):
    def __init__(self, runner: RunnerServices) -> None:
        self._runner = runner

    def GetArtifact(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802 - the name is gRPC's
        role = beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(request.artifact.role_payload)
        content = self._runner.files[role.staged_name]
        half = len(content) // 2
        yield beam_artifact_api_pb2.GetArtifactResponse(data=content[:half])
        yield beam_artifact_api_pb2.GetArtifactResponse(data=content[half:])


class _Control(beam_fn_api_pb2_grpc.BeamFnControlServicer):
    def __init__(self, runner: RunnerServices) -> None:
        self._runner = runner

    def Control(self, requests: Any, context: Any) -> Iterator[Any]:  # noqa: N802 - the name is gRPC's
        self._runner.connected.append(dict(context.invocation_metadata())["worker_id"])
        self._runner.came.set()
        yield from ()  # no work: the worker ends


class _Logging(beam_fn_api_pb2_grpc.BeamFnLoggingServicer):
    def __init__(self, runner: RunnerServices) -> None:
        self._runner = runner

    def Logging(self, messages: Any, context: Any) -> Iterator[Any]:  # noqa: N802 - the name is gRPC's
        for message in messages:
            self._runner.log += [entry.message for entry in message.log_entries]
        yield beam_fn_api_pb2.LogControl()
