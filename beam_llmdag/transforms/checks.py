"""What is checked when a dag becomes part of a pipeline."""

from __future__ import annotations

import time
from importlib.util import find_spec

from beam_llmdag.dag import Dag
from beam_llmdag.errors import GraphError

__all__ = ["check_budget", "check_shared_limits"]


def check_budget(dag: Dag, budget_usd: float | None) -> None:
    """Checks that a budget can be kept.

    Raises:
        GraphError: it is not positive, or a model named in the dag has no price.
    """
    if budget_usd is None:
        return
    if budget_usd <= 0:
        raise GraphError(f"budget_usd must be positive, not {budget_usd:g}")
    for name, dimension in dag.dimensions.items():
        for model in dimension.models or ():  # those that a function picks are checked when they are asked
            if not dag.prices.knows(model.spec, at=time.time()):
                raise GraphError(
                    f"dimension {name!r}: a budget cannot be kept with model {model.spec!r}, which has no known price; "
                    f"give the dag one: prices={{{model.spec!r}: Price(…)}}"
                )


def check_shared_limits(url: str | None) -> None:
    """Checks that there is a client for the place where limits are counted.

    Raises:
        GraphError: the URL is none of Redis, or the extra is not installed.
    """
    if url is None:
        return
    if not url.startswith(("redis://", "rediss://", "$")):
        raise GraphError("shared_limits is the URL of a Redis server, such as 'redis://host:6379/0'")
    if find_spec("redis") is None:
        raise GraphError("shared_limits needs a client for Redis: pip install 'beam-llmdag[redis]'")
