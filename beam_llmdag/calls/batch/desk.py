"""Takes calls that wait to the vendors in batches, and brings their answers back to the store.

What is known stands in the store alone, and every step can be the last one of a process:

* Waiting for a batch is what is entered, has no reply, and is in no open batch.
* A batch is entered before it is sent. One of which no id is known was sent by a process that died, or not: the
  vendor's list tells.
* Replies are entered under the custom ids they came with, and then the batch is closed. Done twice, nothing changes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from beam_llmdag.calls.attempt import key_of
from beam_llmdag.calls.batch.entry import KeptWithClient, PendingCall
from beam_llmdag.calls.batch.lane import batches_of
from beam_llmdag.calls.batch.lease import Lease
from beam_llmdag.calls.store.answers import AnswerStore
from beam_llmdag.calls.store.documents import Documents
from beam_llmdag.clock import Clock
from beam_llmdag.errors import MEANING, CallError, LLMDagError
from beam_llmdag.model import Model
from beam_llmdag.providers.base import Provider, ProviderFactory, find_provider
from beam_llmdag.providers.batch.base import NOT_ASKED, Batches, BatchLine, BatchReply, BatchState, reply_of
from beam_llmdag.providers.http.secret_text import hidden
from beam_llmdag.providers.prices import PriceTable
from beam_llmdag.records.result import Attempt

__all__ = ["Desk", "OpenBatch"]

_AT_ONCE = 1000  # replies that are entered together
_CLOCKS_DIFFER_SECONDS = 300.0  # a vendor's clock and ours
_MOST_MISSES = 50  # looks at a batch that has ended, and has no results; with the pauses between them an hour or so
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBatch(KeptWithClient):
    """A batch, as the store keeps it.

    Attributes:
        label: our name of it.
        keys: custom ids of its calls; empty when it is closed.
        runs: for whom they were entered.
        id: the vendor's; None if it is not known that the vendor has it.
        status: the vendor's word, as last heard.
        requests, done: how many calls are in it, and how many of them have ended, as last heard.
        sent_at: in seconds since 1970-01-01 UTC.
        strangers: ids of batches that were taken for this one, and were others'.
        misses: how often it had ended, and its results were not there.
        ended: whether all that came of it is in the store.
    """

    label: str
    keys: Sequence[str]
    runs: Sequence[str]
    id: str | None = None
    status: str = "sending"
    requests: int = 0
    done: int = 0
    sent_at: float = 0.0
    strangers: Sequence[str] = ()
    misses: int = 0
    ended: bool = False


@dataclass(slots=True)
class _Load:
    """Calls that fit in one batch, and are going to be sent in one."""

    client: dict[str, Any]
    lines: list[BatchLine] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    bytes: int = 0


class Desk:
    """Belongs to one event loop, and to the thread that opened the documents.

    Args:
        documents: of the answer store.
        providers: a dag's own providers; for those of the package none are needed.
        clock: time.
    """

    def __init__(self, documents: Documents, providers: Mapping[str, ProviderFactory], clock: Clock) -> None:
        self._documents = documents
        self._factories = providers
        self._clock = clock
        self._providers: dict[Model, Provider] = {}
        self._lease = Lease(documents, "batches", clock)

    async def aclose(self) -> None:
        """Closes all clients."""
        providers, self._providers = self._providers, {}
        for provider in providers.values():
            await provider.aclose()

    def batches(self) -> list[OpenBatch]:
        """All batches that the store knows of, the oldest first."""
        known = (OpenBatch.read(text) for _, text in self._documents.all("batches"))
        return sorted((batch for batch in known if batch is not None), key=_age)

    def open_batches(self, run_id: str | None = None) -> list[OpenBatch]:
        """Those of a run (or of all) that have not ended."""
        return [batch for batch in self.batches() if not batch.ended and (run_id is None or run_id in batch.runs)]

    def batches_with(self, keys: Set[str]) -> list[OpenBatch]:
        """Those that have not ended and have calls with these custom ids in them, whichever run handed them in."""
        return [batch for batch in self.open_batches() if not keys.isdisjoint(batch.keys)]

    async def submit(self, run_id: str | None = None) -> list[OpenBatch]:
        """Sends what waits, in as few batches as the vendors allow.

        Args:
            run_id: only what this run waits for; None for all.

        Returns:
            The new batches.

        Raises:
            CallError: a vendor takes none now; what waits goes on waiting.
            StoreError: the store does not work.
        """
        async with self._lease.held():
            await self._find_lost()
            sent = []
            for load in self._loads(run_id):
                sent.append(await self._send(load))
            return [batch for batch in sent if batch is not None]

    async def collect(self, batches: Sequence[OpenBatch]) -> int:
        """Brings home what has ended.

        Args:
            batches: those that are looked at.

        Returns:
            How many batches have ended since the last time.

        Raises:
            CallError: a vendor will not say, and not later either.
            StoreError: the store does not work.
        """
        ended = 0
        async with self._lease.held():
            await self._find_lost()
            labels = {batch.label for batch in batches}
            for batch in self.open_batches():
                if batch.label not in labels or batch.id is None:
                    continue
                try:
                    ended += await self._fetch(batch)
                except CallError as error:
                    if not MEANING[error.error_class].retried:
                        raise
        return ended

    async def cancel(self, label: str) -> None:
        """Asks a vendor not to begin what has not begun in a batch; what was answered is paid, and collected.

        Raises:
            LLMDagError: no open batch has that name.
            CallError: the vendor does not do it.
        """
        for batch in self.open_batches():
            if label in (batch.label, batch.id) and batch.id is not None:
                await self._api(batch.model).cancel(batch.id)
                return
        raise LLMDagError(f"no open batch {label!r}: `llmdag batches list` names them")

    async def forget(self, run_id: str, store: AnswerStore, prices: PriceTable) -> None:
        """Removes what a run that has come to its end had entered, with what was said to it.

        What was answered and nobody has read, because its prompt was changed meanwhile, is paid: the ledger gets it,
        and so does whoever asks that way again.
        """
        taken = {key for batch in self.open_batches() for key in batch.keys}
        mine = []
        for key, text in self._documents.all("pending"):
            entry = PendingCall.read(text)
            if entry is not None and entry.run_id == run_id and key not in taken:
                mine.append(key)
                reply = None if entry.is_read else self._documents.get("replies", key)
                if reply is not None:
                    await self._enter_unread(entry, reply_of(reply), store, prices)
        self._documents.remove("pending", mine)
        self._documents.remove("replies", mine)

    async def _enter_unread(
        self, entry: PendingCall, reply: BatchReply, store: AnswerStore, prices: PriceTable
    ) -> None:
        if reply.status != _OK:
            return
        try:
            answer = self._api(entry.model).read(reply)
        except CallError:
            return
        usage = answer.usage if answer.usage is not None and answer.usage.is_possible else None
        attempt = Attempt(
            model=entry.client["spec"],
            usage=usage,
            cost_nano_usd=prices.cost(entry.client["spec"], usage, at=self._clock.now(), batched=True),
            request_id=answer.request_id,
            message="answered when nobody asked any more",
        )
        await store.end(entry.number, entry.asked, attempt, answer.text if answer.stop == "end" else None)

    def _loads(self, run_id: str | None) -> Iterator[_Load]:
        """What waits, in portions that vendors take."""
        taken = self._documents.keys("replies").union(*(batch.keys for batch in self.open_batches()))
        loads: dict[str, _Load] = {}
        for key, text in self._documents.all("pending"):
            entry = PendingCall.read(text)
            if entry is None or key in taken or (run_id is not None and entry.run_id != run_id):
                continue
            limits = self._api(entry.model).limits
            load = loads.setdefault(entry.client_text, _Load(entry.client))
            size = len(entry.body.encode())
            if load.lines and (len(load.lines) == limits.requests or load.bytes + size > limits.bytes):
                yield load
                load = loads[entry.client_text] = _Load(entry.client)
            load.lines.append(BatchLine(key, entry.body))
            load.runs.add(entry.run_id)
            load.bytes += size
        yield from (load for load in loads.values() if load.lines)

    async def _send(self, load: _Load) -> OpenBatch | None:
        batch = OpenBatch(
            label=f"llmdag-{uuid.uuid4().hex}",
            client=load.client,
            keys=[line.custom_id for line in load.lines],
            runs=sorted(load.runs),
            requests=len(load.lines),
            sent_at=self._clock.now(),
        )
        self._documents.add("batches", {batch.label: batch.text})
        try:
            state = await self._api(batch.model).create(batch.label, batch.model.name, load.lines)
        except CallError as error:
            if error.error_class in ("bad_request", "too_long"):  # of this batch: the same would be said again
                await self._close(batch, [(key, BatchReply(400, _error_body(error))) for key in batch.keys], "refused")
                return None
            if error.http_status is not None or not error.sent:
                self._documents.remove("batches", [batch.label])
            raise  # else it may have arrived: the vendor's list will tell, before another one is sent
        return self._change(batch, id=state.id or None, status=state.status)

    async def _find_lost(self) -> None:
        """Finds out what became of batches of which the vendor's id did not come back."""
        known = self.batches()
        for batch in known:
            if batch.id is not None or batch.ended:
                continue
            try:
                api = self._api(batch.model)
            except LLMDagError:  # a provider of another dag, who will look for it
                continue
            theirs = await api.recent()
            ids = {other.id for other in known}.union(batch.strangers)
            state = next((state for state in theirs if state.id not in ids and _may_be(batch, state, api)), None)
            if state is None:
                self._documents.remove("batches", [batch.label])
            else:
                self._change(batch, id=state.id, status=state.status)

    async def _fetch(self, batch: OpenBatch) -> bool:
        """Brings home what came of a batch, if it has ended."""
        api = self._api(batch.model)
        assert batch.id is not None
        try:
            state = await api.state(batch.id)
        except CallError as error:
            if error.http_status != 404:
                raise
            # deleted there, or the key is of another account: then it would be paid twice
            return await self._missed(batch, f"not found: {error.message}")
        if not state.ended:
            self._change(batch, status=state.status, done=state.done or 0)
            return False
        if state.passes:
            self._change(batch, status=f"{state.status}: {state.problem}", ended=True, keys=[])
            return False
        said = () if state.problem is not None else await api.replies(batch.id)
        replies = None if said is None else list(said)
        if replies is None or (state.problem is None and len(replies) < (state.done or 0)):
            # the vendor may need a while to lay out its files
            return await self._missed(batch, f"{state.status}, without its results", replies or ())
        if not api.keeps_labels and replies and not {key for key, _ in replies}.intersection(batch.keys):
            self._change(batch, id=None, strangers=[*batch.strangers, batch.id])
            return False
        await self._close(batch, replies, state.status, state.problem)
        return True

    async def _missed(self, batch: OpenBatch, status: str, replies: Iterable[tuple[str, BatchReply]] = ()) -> bool:
        """Looks at a batch again later whose answers should be there; at last takes what is there for all there is."""
        batch = self._change(batch, status=status, misses=batch.misses + 1)
        if batch.misses < _MOST_MISSES:
            return False
        await self._close(batch, replies, status)
        return True

    async def _close(
        self, batch: OpenBatch, replies: Iterable[tuple[str, BatchReply]], status: str, problem: str | None = None
    ) -> None:
        """Enters what was said, and of the other calls that nothing was."""
        secret = key_of(self._provider(batch.model))
        left = set(batch.keys)
        texts: dict[str, str] = {}
        for key, reply in replies:
            if key in left:  # what is not ours, or comes twice, is nothing to us
                left.remove(key)
                texts[key] = hidden(json.dumps(reply), secret)
            if len(texts) == _AT_ONCE:
                self._documents.add("replies", texts)
                texts = {}
        why = problem or f"the batch has ended as {status!r}"
        for key in left:
            texts[key] = json.dumps(BatchReply(NOT_ASKED, {"error": {"message": why}}))
        self._documents.add("replies", texts)
        self._change(batch, status=status, ended=True, keys=[], done=len(batch.keys) - len(left))

    def _change(self, batch: OpenBatch, **changes: Any) -> OpenBatch:
        changed = replace(batch, **changes)
        if changed != batch:
            self._documents.swap("batches", batch.label, batch.text, changed.text)
        return changed

    def _provider(self, model: Model) -> Provider:
        provider = self._providers.get(model)
        if provider is None:
            provider = self._providers[model] = find_provider(model.provider, self._factories)(model)
        return provider

    def _api(self, model: Model) -> Batches:
        api = batches_of(self._provider(model))
        if api is None:
            raise LLMDagError(f"{model.spec} has no batch API")
        return api


def _age(batch: OpenBatch) -> tuple[float, str]:
    return batch.sent_at, batch.label


def _may_be(batch: OpenBatch, state: BatchState, api: Batches) -> bool:
    """Whether a vendor's batch is the one that we sent. Where it has no name of ours, its size and age tell."""
    if api.keeps_labels:
        return state.label == batch.label
    fresh = state.created_at is None or state.created_at >= batch.sent_at - _CLOCKS_DIFFER_SECONDS
    return fresh and state.requests in (None, len(batch.keys))


def _error_body(error: CallError) -> dict[str, Any]:
    return {"error": {"message": error.message}}
