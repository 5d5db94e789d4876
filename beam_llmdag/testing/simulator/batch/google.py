"""Gemini's Batch and Files APIs, as google-genai 2 reads them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from beam_llmdag.testing.simulator.batch.jobs import Job, Jobs, Line, json_lines
from beam_llmdag.testing.simulator.batch.response import Refused, Response
from beam_llmdag.testing.simulator.http import HttpRequest

__all__ = ["handle"]

_CREATE = ":batchGenerateContent"


def handle(http: HttpRequest, jobs: Jobs, files: dict[str, bytes]) -> Response | None:
    """What the API says to a request; None if it is not for this API.

    Args:
        files: those that were uploaded.

    Raises:
        Refused: the API does.
    """
    path, _, query = http.path.partition("?")
    if path.startswith("/upload/"):
        return _uploading(http, jobs, files)
    version, _, rest = path.removeprefix("/").partition("/")
    if not version.startswith("v1"):
        return None
    if rest.startswith("models/") and rest.endswith(_CREATE):
        return _created(unquote(rest.removeprefix("models/").removesuffix(_CREATE)), version, http, jobs, files)
    if rest.startswith("files/") and rest.endswith(":download"):
        return Response(_file(rest.removesuffix(":download"), jobs))
    if rest == "batches" and http.method == "GET" and "x-goog-api-key" in http.headers:
        return Response(_page(jobs, query))
    if not rest.startswith("batches/"):
        return None
    name, _, action = rest.partition(":")
    job = jobs.get(name)
    if job is None:
        return None  # of another vendor, whose ids look otherwise, or of none
    if action == "cancel":
        job.cancelled = True
        return Response({})
    return Response(_operation(job, jobs))


def _uploading(http: HttpRequest, jobs: Jobs, files: dict[str, bytes]) -> Response:
    command = http.headers.get("x-goog-upload-command", "")
    if command == "start":
        about = json.loads(http.body or b"{}").get("file", {})
        name = jobs.new_id("files/")
        files[name] = b""
        where = f"http://{http.headers['host']}/upload/v1beta/{name}"
        return Response(about, headers={"x-goog-upload-url": where, "x-goog-upload-status": "active"})
    name = "files/" + http.path.partition("?")[0].rpartition("/")[2]
    if name not in files:
        raise _refused(404, "no such upload")
    files[name] += http.body
    if len(files[name]) > jobs.behaviour.most_bytes:
        raise _refused(400, "The file is too large.")
    ends = "finalize" in command
    return Response(
        {"file": {"name": name, "uri": f"http://{http.headers['host']}/v1beta/{name}", "state": "ACTIVE"}},
        headers={"x-goog-upload-status": "final" if ends else "active"},
    )


def _created(model: str, version: str, http: HttpRequest, jobs: Jobs, files: dict[str, bytes]) -> Response:
    batch = json.loads(http.body).get("batch") or {}
    content = files.get(str((batch.get("inputConfig") or {}).get("fileName")))
    if content is None:
        raise _refused(400, "batch.inputConfig.fileName: no such file")
    records = [json.loads(line) for line in content.splitlines()]
    if len(records) > jobs.behaviour.most_requests:
        raise _refused(400, f"more than {jobs.behaviour.most_requests} requests")
    path = f"/{version}/models/{model}:generateContent"
    lines = [Line(record["key"], path, record["request"]) for record in records]
    job = jobs.add(lines, http.headers, label=batch.get("displayName"), about={"model": model})
    return Response(_operation(job, jobs), is_creation=True)


def _file(name: str, jobs: Jobs) -> bytes:
    for job in jobs.all.values():
        if name == _output_of(job):
            return json_lines([_result(*result) for result in job.results or ()])
    raise _refused(404, f"{name}: no such file")


def _output_of(job: Job) -> str:
    return f"files/{job.id.removeprefix('batches/')}-output"


def _page(jobs: Jobs, query: str) -> dict[str, Any]:
    asked = parse_qs(query)
    size, start = int(asked.get("pageSize", ["10"])[0]), int(asked.get("pageToken", ["0"])[0])
    known = jobs.newest()
    page: dict[str, Any] = {"operations": [_operation(job, jobs) for job in known[start : start + size]]}
    if len(known) > start + size:
        page["nextPageToken"] = str(start + size)
    return page


def _operation(job: Job, jobs: Jobs) -> dict[str, Any]:
    runs = jobs.runs(job)
    moment = datetime.fromtimestamp(job.created_at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    good = job.count("answered", good=True)
    about: dict[str, Any] = {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
        "model": f"models/{job.about['model']}",
        "displayName": job.label,
        "createTime": moment,
        "updateTime": moment,
        "name": job.id,
        "state": _state(job, runs=runs),
        "batchStats": {
            "requestCount": str(len(job.lines)),
            **({"pendingRequestCount": str(len(job.lines))} if runs else {}),
            **({} if runs else {"successfulRequestCount": str(good), "failedRequestCount": str(len(job.lines) - good)}),
        },
    }
    if runs:
        return {"name": job.id, "metadata": about}
    about |= {"endTime": moment, "output": {"responsesFile": _output_of(job)}}
    return {"name": job.id, "metadata": about, "done": True, "response": {"responsesFile": _output_of(job)}}


def _state(job: Job, *, runs: bool) -> str:
    if runs:
        return "BATCH_STATE_RUNNING"
    if job.cancelled:
        return "BATCH_STATE_CANCELLED"
    return "BATCH_STATE_EXPIRED" if job.count("expired") else "BATCH_STATE_SUCCEEDED"


def _result(line: Line, outcome: str, answer: Any) -> dict[str, Any]:
    if outcome == "answered" and answer.status < 400:
        return {"key": line.custom_id, "response": answer.body}
    if outcome == "answered":
        error = (answer.body or {}).get("error") or {"message": "Internal error encountered."}
        return {"key": line.custom_id, "error": {"code": answer.status, "message": error["message"]}}
    told = {"expired": (4, "The request expired."), "cancelled": (1, "The request was cancelled.")}[outcome]
    return {"key": line.custom_id, "error": {"code": told[0], "message": told[1]}}


def _refused(status: int, message: str) -> Refused:
    return Refused(status, {"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}})
