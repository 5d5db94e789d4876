"""Secret Manager on this machine: Google's client library asks it over gRPC. Needs the extra `gcp`."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.cloud import secretmanager
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

_SERVICE = "google.cloud.secretmanager.v1.SecretManagerService"


class SecretServer:
    """A server with the one method that reads a secret. A context manager.

    Args:
        secrets: version -> its payload, or the status and the words with which it is refused.
    """

    def __init__(self, secrets: Mapping[str, bytes | tuple[grpc.StatusCode, str]]) -> None:
        self.secrets = dict(secrets)
        self.asked: list[str] = []
        self._server = grpc.server(ThreadPoolExecutor(4))
        method = grpc.unary_unary_rpc_method_handler(
            self._access,
            request_deserializer=secretmanager.AccessSecretVersionRequest.deserialize,
            response_serializer=secretmanager.AccessSecretVersionResponse.serialize,
        )
        handlers = grpc.method_handlers_generic_handler(_SERVICE, {"AccessSecretVersion": method})
        self._server.add_generic_rpc_handlers((handlers,))
        self._port = self._server.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> SecretServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=None).wait()

    def connect(self) -> Any:
        """A client of Google's library for this server."""
        channel = grpc.insecure_channel(f"127.0.0.1:{self._port}")
        return secretmanager.SecretManagerServiceClient(transport=SecretManagerServiceGrpcTransport(channel=channel))

    def _access(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.asked.append(request.name)
        found = self.secrets.get(request.name, (grpc.StatusCode.NOT_FOUND, f"Secret [{request.name}] not found"))
        if isinstance(found, tuple):
            context.abort(*found)
        return secretmanager.AccessSecretVersionResponse(name=request.name, payload={"data": found})
