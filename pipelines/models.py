"""The models that a user of the example pipelines chooses by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from beam_llmdag.beam.io.bigquery.names import is_bigquery
from beam_llmdag.calls.store.place import default_store, is_on_a_server
from beam_llmdag.errors import GraphError
from beam_llmdag.model import Model
from beam_llmdag.providers.base import ProviderFactory, find_provider
from beam_llmdag.providers.gguf import DEFAULT_MODEL
from beam_llmdag.testing import Simulator, load_rules
from pipelines.options import Settings

__all__ = ["Models", "chosen_models", "gold_path"]

_CHEAP = "anthropic:claude-haiku-4-5"
_STRONG = "anthropic:claude-sonnet-4-5"
_OTHER_VENDOR = "openai:gpt-5-mini"


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The models of a pipeline.

    Attributes:
        first: of the first dimension, which sees every item.
        main: of all others.
        store: the answer store: a place, None for where the environment says, or False for none. Simulated answers have
            one of their own, since they cost nothing.
        providers: those of the simulated models.
    """

    first: Model
    main: Model
    store: str | Literal[False] | None = None
    providers: Mapping[str, ProviderFactory] = field(default_factory=dict)


@contextmanager
def chosen_models(settings: Settings) -> Iterator[Models]:
    """The models that `settings` name; while the context lasts, `simulated` answers.

    The simulator is a server on this machine's loopback address, so all workers must be on this machine. It gives the
    gold answers that lie beside the input file, if there are any, and makes up answers that fit the schema if not.

    Raises:
        GraphError: a name is no model, or a secret is for none of them.
    """
    if settings.model != "simulated":
        yield _models(settings)
        return
    gold = None if is_bigquery(settings.input) else gold_path(settings.input)
    rules = gold if gold and gold.exists() else None
    with Simulator(answers=load_rules(rules) if rules else None) as simulator:
        models = _models(settings)
        first, main = _simulated(models.first, simulator), _simulated(models.main, simulator)
        known = {model.provider for each in (first, main) for model in each.chain() if model.provider != "local"}
        name = f"simulated {sha256(rules.read_bytes()).hexdigest() if rules else 'without gold answers'}"
        providers = {provider: partial(_Simulated, name) for provider in sorted(known)}
        yield Models(first=first, main=main, store=_simulated_store(settings), providers=providers)


def gold_path(input_path: str) -> Path:
    """Where the gold answers of an input file are: `reviews.gold.jsonl` beside `reviews.jsonl`."""
    return Path(input_path).with_suffix(".gold.jsonl")


def _models(settings: Settings) -> Models:
    if settings.model in ("cloud", "simulated"):
        first, main, fallback = _CHEAP, _STRONG, _OTHER_VENDOR
    else:
        name = f"local:{DEFAULT_MODEL}" if settings.model == "local" else settings.model
        first, main, fallback = name, name, ""
    last = settings.fallback_model or fallback
    fallbacks = [_model(last)] if last else []
    first_model, main_model = _model(settings.filter_model or first), _model(main)
    chosen = [replace(model, fallbacks=fallbacks) for model in (first_model, main_model)]
    vendors = {_vendor(model) for each in chosen for model in each.chain()}
    for vendor in settings.key_secrets:
        if vendor not in vendors:
            raise GraphError(f"--key-secrets names {vendor!r}, but the models are of {', '.join(sorted(vendors))}")
    first_model, main_model = (_with_secrets(model, settings.key_secrets) for model in chosen)
    return Models(first=first_model, main=main_model, store=settings.store)


def _vendor(model: Model) -> str:
    return model.provider.partition("-")[0]


def _with_secrets(model: Model, secrets: Mapping[str, str]) -> Model:
    """`model` and its fallbacks, with their keys in Secret Manager where `secrets` says so."""
    fallbacks = [_with_secrets(fallback, secrets) for fallback in model.chain()[1:]]
    return replace(model, api_key_env=secrets.get(_vendor(model)), fallbacks=fallbacks)


def _model(name: str) -> Model:
    """A model; a local one, which is small, says what it finds most likely."""
    return Model(name, temperature=0.0 if name.startswith("local:") else None)


def _simulated(model: Model, simulator: Simulator) -> Model:
    """`model` and its fallbacks, answered by the simulator; a local one stays what it is."""
    vendor = _vendor(model)
    if vendor == "local":
        return model
    return replace(
        model,
        base_url=simulator.base_url(vendor),
        # A variable of its own, so that a real key of the user's is not sent to a server that logs requests.
        api_key_env="SIMULATED_API_KEY",
        fallbacks=[_simulated(fallback, simulator) for fallback in model.chain()[1:]],
    )


def _simulated_store(settings: Settings) -> str | Literal[False]:
    """The store of simulated answers, beside that of the others: it counts no money that was never spent."""
    place = default_store(settings.store, local=True)
    if place is None:
        return False
    if is_on_a_server(place):  # what the environment names is for real answers
        return place if place == settings.store else False
    return str(Path(place).with_suffix(f".simulated{Path(place).suffix}"))


class _Simulated:
    """A provider whose answers are the simulator's, whichever port that has today.

    Args:
        name: what answers, for the keys of the answer store.
        model: as any provider's.
    """

    def __init__(self, name: str, model: Model) -> None:
        self.endpoint = name
        self._provider = find_provider(model.provider, {})(model)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)
