"""Anthropic's Message Batches, as anthropic 2.13 reads them (`anthropic.types.messages.MessageBatch`)."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from beam_llmdag.testing.simulator.batch.jobs import Job, Jobs, Line, json_lines
from beam_llmdag.testing.simulator.batch.response import Refused, Response
from beam_llmdag.testing.simulator.http import HttpRequest

__all__ = ["handle"]

_ROOT = "/v1/messages/batches"
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def handle(http: HttpRequest, jobs: Jobs) -> Response | None:
    """What the API says to a request; None if it is not for this API.

    Raises:
        Refused: the API does.
    """
    path, _, query = http.path.partition("?")
    if path == _ROOT:
        return (
            _created(http, jobs)
            if http.method == "POST"
            else Response(jobs.page(query, "after_id", lambda job: _batch(job, jobs, http)))
        )
    if not path.startswith(f"{_ROOT}/"):
        return None
    name, _, action = path.removeprefix(f"{_ROOT}/").partition("/")
    job = jobs.get(name)
    if job is None:
        raise _refused(404, f"no batch {name}")
    if action == "cancel":
        job.cancelled = True
    if action == "results":
        if jobs.runs(job):
            raise _refused(404, "the batch has no results yet")
        return Response(json_lines([_result(*result) for result in job.results or ()]))
    return Response(_batch(job, jobs, http))


def _created(http: HttpRequest, jobs: Jobs) -> Response:
    if len(http.body) > jobs.behaviour.most_bytes:
        raise _refused(413, "Request exceeds the maximum allowed number of bytes.")
    requests = json.loads(http.body).get("requests") or []
    if not 0 < len(requests) <= jobs.behaviour.most_requests:
        raise _refused(400, f"requests: List should have at most {jobs.behaviour.most_requests} items after validation")
    for index, request in enumerate(requests):
        if not _ID.fullmatch(str(request.get("custom_id"))):
            raise _refused(400, f"requests.{index}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
    [(name, times)] = Counter(request["custom_id"] for request in requests).most_common(1)
    if times > 1:
        raise _refused(400, f"requests: custom_id {name} is not unique")
    job = jobs.add([Line(r["custom_id"], "/v1/messages", r["params"]) for r in requests], http.headers)
    return Response(_batch(job, jobs, http), is_creation=True)


def _batch(job: Job, jobs: Jobs, http: HttpRequest) -> dict[str, Any]:
    runs = jobs.runs(job)
    done = [(outcome, None if answer is None else answer.status < 400) for _, outcome, answer in job.results or ()]
    counts = Counter() if runs else Counter(done)
    return {
        "id": job.id,
        "type": "message_batch",
        "processing_status": ("canceling" if job.cancelled else "in_progress") if runs else "ended",
        "request_counts": {
            "processing": len(job.lines) if runs else 0,
            "succeeded": counts[("answered", True)],
            "errored": counts[("answered", False)],
            "expired": counts[("expired", None)],
            "canceled": counts[("cancelled", None)],
        },
        "created_at": _moment(job.created_at),
        "expires_at": _moment(job.created_at + 86_400),
        "ended_at": None if runs else _moment(job.created_at),
        "cancel_initiated_at": _moment(job.created_at) if job.cancelled else None,
        "archived_at": None,
        "results_url": None if runs else f"http://{http.headers.get('host')}{_ROOT}/{job.id}/results",
    }


def _result(line: Line, outcome: str, answer: Any) -> dict[str, Any]:
    if outcome == "expired":
        result: dict[str, Any] = {"type": "expired"}
    elif outcome == "cancelled":
        result = {"type": "canceled"}
    elif answer.status < 400:
        result = {"type": "succeeded", "message": answer.body}
    else:
        error = answer.body or {"type": "error", "error": {"type": "api_error", "message": "Internal server error"}}
        result = {"type": "errored", "error": error}
    return {"custom_id": line.custom_id, "result": result}


def _refused(status: int, message: str) -> Refused:
    kind = {404: "not_found_error"}.get(status, "invalid_request_error")
    return Refused(status, {"type": "error", "error": {"type": kind, "message": message}})


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
