"""The models that a user of the example pipelines chooses by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from beam_llmdag.model import Model
from beam_llmdag.providers.gguf import DEFAULT_MODEL
from beam_llmdag.testing import Simulator, load_rules
from pipelines.options import Settings

__all__ = ["Models", "chosen_models", "gold_path"]

_LOCAL = f"local:{DEFAULT_MODEL}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The models of a pipeline.

    Attributes:
        main: of every dimension but the first.
        first: of the first dimension, which sees every item.
        store: the answer store: where the user's environment says, or False where all answers are simulated.
    """

    main: Model
    first: Model
    store: Literal[False] | None


@contextmanager
def chosen_models(settings: Settings) -> Iterator[Models]:
    """The models that `settings` name; while the context lasts, `simulated` answers.

    The simulated model is a server on this machine's loopback address, so all workers must be on this machine. It
    gives the gold answers that lie beside the input, if there are any, and makes up answers that fit the schema if not.

    Raises:
        GraphError: a name is no model.
    """
    names = {name for name in (settings.model, settings.filter_model, settings.fallback_model) if name}
    if "simulated" not in names:
        yield _models(settings, simulated=None)
        return
    gold = gold_path(settings.input)
    with Simulator(answers=load_rules(gold) if gold.exists() else None) as simulator:
        yield _models(settings, simulated=simulator.base_url("openai"))


def gold_path(input_path: str) -> Path:
    """Where the gold answers of an input file are: `reviews.gold.jsonl` beside `reviews.jsonl`."""
    return Path(input_path).with_suffix(".gold.jsonl")


def _models(settings: Settings, simulated: str | None) -> Models:
    main = _model(settings.model, simulated)
    first = _model(settings.filter_model, simulated) if settings.filter_model else main
    if settings.fallback_model:
        fallback = _model(settings.fallback_model, simulated)
        main, first = replace(main, fallbacks=[fallback]), replace(first, fallbacks=[fallback])
    asked = (*main.chain(), *first.chain())
    only_simulated = all(simulated is not None and model.base_url == simulated for model in asked)
    return Models(main=main, first=first, store=False if only_simulated else None)


def _model(name: str, simulated: str | None) -> Model:
    if name == "simulated":
        # A variable of its own, so that a real key of the user's is not sent to a server that logs requests.
        return Model("openai:simulated", base_url=simulated, api_key_env="SIMULATED_API_KEY")
    return Model(_LOCAL if name == "local" else name)
