"""OpenAI's Batch and Files APIs, as openai 2 reads them (`openai.types.Batch`, `openai.types.FileObject`)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from beam_llmdag.testing.simulator.batch.jobs import Job, Jobs, Line, json_lines
from beam_llmdag.testing.simulator.batch.response import Refused, Response
from beam_llmdag.testing.simulator.http import HttpRequest

__all__ = ["handle"]

_BATCHES = "/v1/batches"
_FILES = "/v1/files"
_ENDPOINTS = ("/v1/responses", "/v1/chat/completions")


def handle(http: HttpRequest, jobs: Jobs, files: dict[str, bytes]) -> Response | None:
    """What the API says to a request; None if it is not for this API.

    Args:
        files: those that were uploaded.

    Raises:
        Refused: the API does.
    """
    path, _, query = http.path.partition("?")
    if path == _FILES and http.method == "POST":
        return Response(_uploaded(http, jobs, files))
    if path.startswith(f"{_FILES}/"):
        return Response(_file(path.removeprefix(f"{_FILES}/"), jobs, files))
    if path == _BATCHES:
        return (
            _created(http, jobs, files)
            if http.method == "POST"
            else Response({"object": "list", **jobs.page(query, "after", lambda job: _batch(job, jobs))})
        )
    if not path.startswith(f"{_BATCHES}/"):
        return None
    name, _, action = path.removeprefix(f"{_BATCHES}/").partition("/")
    job = jobs.get(name)
    if job is None:
        raise _refused(404, f"No batch found with id '{name}'.")
    if action == "cancel":
        job.cancelled = True
    return Response(_batch(job, jobs))


def _uploaded(http: HttpRequest, jobs: Jobs, files: dict[str, bytes]) -> dict[str, Any]:
    head = f"content-type: {http.headers['content-type']}\r\n\r\n".encode()
    parts: dict[str, Any] = {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in BytesParser(policy=HTTP).parsebytes(head + http.body).iter_parts()
    }
    content: bytes = parts["file"]
    if len(content) > jobs.behaviour.most_bytes:
        raise _refused(413, "The file is too large.")
    name = jobs.new_id("file-")
    files[name] = content
    return _about_file(name, content)


def _file(path: str, jobs: Jobs, files: dict[str, bytes]) -> Any:
    name, _, action = path.partition("/")
    content = files.get(name)
    for job in jobs.all.values() if content is None else ():
        if name in (f"{job.id}-output", f"{job.id}-error"):
            content = json_lines(_results(job, good=name.endswith("-output")))
    if content is None:
        raise _refused(404, f"No such File object: {name}")
    return content if action == "content" else _about_file(name, content)


def _about_file(name: str, content: bytes) -> dict[str, Any]:
    return {
        "id": name,
        "object": "file",
        "bytes": len(content),
        "created_at": 0,
        "filename": f"{name}.jsonl",
        "purpose": "batch",
        "status": "processed",
    }


def _created(http: HttpRequest, jobs: Jobs, files: Mapping[str, bytes]) -> Response:
    asked = json.loads(http.body)
    content = files.get(asked.get("input_file_id"))
    if content is None or asked.get("endpoint") not in _ENDPOINTS:
        raise _refused(400, "Invalid input_file_id or endpoint.")
    records = [json.loads(line) for line in content.splitlines()]
    problems = _problems(records, asked["endpoint"], jobs.behaviour.most_requests)
    lines = [] if problems else [Line(r["custom_id"], r["url"], r["body"]) for r in records]
    about = {"asked": asked, "problems": problems}
    label = (asked.get("metadata") or {}).get("llmdag")
    job = jobs.add(lines, http.headers, label=label, about=about)
    return Response(_batch(job, jobs), is_creation=True)


def _problems(records: Sequence[Any], endpoint: str, most: int) -> list[dict[str, Any]]:
    ids = Counter(record.get("custom_id") for record in records)
    told = [f"duplicate custom_id {name}" for name, times in ids.items() if times > 1]
    told += [f"url {r.get('url')} is not {endpoint}" for r in records if r.get("url") != endpoint]
    told += [f"the file has more than {most} requests"] if len(records) > most else []
    return [{"code": "invalid_request", "message": message, "line": None, "param": None} for message in told]


def _batch(job: Job, jobs: Jobs) -> dict[str, Any]:
    asked, problems = job.about["asked"], job.about["problems"]
    good, bad = _results(job, good=True), _results(job, good=False)
    runs = jobs.runs(job)
    return {
        "id": job.id,
        "object": "batch",
        "endpoint": asked["endpoint"],
        "errors": {"object": "list", "data": problems} if problems else None,
        "input_file_id": asked["input_file_id"],
        "completion_window": asked.get("completion_window", "24h"),
        "status": _status(job, runs=runs),
        "output_file_id": f"{job.id}-output" if good and not runs else None,
        "error_file_id": f"{job.id}-error" if bad and not runs else None,
        "created_at": int(job.created_at),
        "request_counts": {
            "total": len(job.lines),
            "completed": 0 if runs else len(good),
            "failed": 0 if runs else len(bad),
        },
        "metadata": asked.get("metadata"),
    }


def _status(job: Job, *, runs: bool) -> str:
    if job.about["problems"]:
        return "failed"
    if runs:
        return "cancelling" if job.cancelled else "in_progress"
    if job.cancelled:
        return "cancelled"
    return "expired" if job.count("expired") else "completed"


def _results(job: Job, *, good: bool) -> list[dict[str, Any]]:
    made = []
    for line, outcome, answer in job.results or ():
        if (answer is not None and answer.status < 400) != good:
            continue
        record: dict[str, Any] = {"id": f"batch_req_{line.custom_id[:24]}", "custom_id": line.custom_id}
        if answer is not None:
            body = answer.body or {"error": {"message": "The server had an error.", "type": "server_error"}}
            record["response"] = {"status_code": answer.status, "request_id": answer.request_id, "body": body}
            record["error"] = None
        else:
            code = "batch_expired" if outcome == "expired" else "batch_cancelled"
            record["response"] = None
            record["error"] = {"code": code, "message": "This request could not be executed before its batch ended."}
        made.append(record)
    return made


def _refused(status: int, message: str) -> Refused:
    return Refused(
        status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    )
