"""Which batch API a request is for, and what is sent back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from beam_llmdag.clock import Clock
from beam_llmdag.testing.simulator.batch import anthropic, google, openai
from beam_llmdag.testing.simulator.batch.behaviour import BatchBehaviour
from beam_llmdag.testing.simulator.batch.jobs import Job, Jobs, Line, LineAnswer
from beam_llmdag.testing.simulator.batch.response import Refused, Response
from beam_llmdag.testing.simulator.http import HttpReply, HttpRequest, encode_response

__all__ = ["BatchApi"]

_OK = 200


class BatchApi:
    """The batch APIs of all vendors.

    Args:
        behaviour: how batches fare.
        answer: answers a line as if it had come on its own.
        clock: time.
        seed: of all that is left to chance.

    Attributes:
        calls: method and path of every request to these APIs.
    """

    def __init__(
        self,
        behaviour: BatchBehaviour,
        answer: Callable[[Line, Mapping[str, str]], LineAnswer],
        clock: Clock,
        seed: int,
    ) -> None:
        self._behaviour = behaviour
        self._new = lambda prefix: Jobs(behaviour, answer, clock, seed, prefix)
        self.reset()

    def reset(self) -> None:
        """Forgets all batches."""
        self._anthropic, self._openai, self._google = map(self._new, ("msgbatch_", "batch_", "batches/"))
        self._files: dict[str, bytes] = {}
        self._lost = 0
        self.calls: list[tuple[str, str]] = []

    @property
    def jobs(self) -> list[Job]:
        """All batches, vendor by vendor, the oldest first."""
        return [job for jobs in self._all() for job in jobs.all.values()]

    def end_all(self) -> None:
        """All batches end now, whatever their delay."""
        for jobs in self._all():
            jobs.end_all()

    def handle(self, http: HttpRequest) -> HttpReply | None:
        """What to do with a request; None if it is for none of these APIs."""
        try:
            response = (
                anthropic.handle(http, self._anthropic)
                or google.handle(http, self._google, self._files)
                or openai.handle(http, self._openai, self._files)
            )
        except Refused as refused:
            response, status = Response(refused.body), refused.status
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            response, status = Response({"error": {"message": f"the request is not valid: {error!r}"}}), 400
        else:
            status = _OK
        if response is None:
            return None
        self.calls.append((http.method, http.path))
        if response.is_creation and self._lost < self._behaviour.loses_creations:
            self._lost += 1
            return HttpReply(drop=True, ended=_nothing)
        is_file = isinstance(response.body, bytes)
        body = response.body if is_file else json.dumps(response.body).encode()
        kind = "application/octet-stream" if is_file else "application/json"
        data = encode_response(status, {"content-type": kind, **response.headers}, body)
        return HttpReply(data=data, ended=_nothing)

    def _all(self) -> tuple[Jobs, Jobs, Jobs]:
        return self._anthropic, self._openai, self._google


def _nothing(_ending: object) -> None:
    pass
