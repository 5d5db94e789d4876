"""The prompts of a graph that can be built before any call: how long they are, and which items ask the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from beam_llmdag.calls.prompt import estimated_tokens, readable
from beam_llmdag.graph.dimension import Dimension
from beam_llmdag.graph.graph import Graph
from beam_llmdag.records.item import Item
from beam_llmdag.run.evaluate import check_skip_if, read_prompt
from beam_llmdag.run.user_code import Failed, Skipped, Values, call_user, own_item

__all__ = ["FirstPrompts", "first_dimensions"]


def first_dimensions(graph: Graph) -> list[Dimension]:
    """The dimensions that ask about an item and need no answer for it."""
    return [
        dimension
        for dimension in graph.item_dimensions(None).values()
        if not dimension.is_computed and not graph.needs(dimension.name)
    ]


@dataclass(slots=True)
class FirstPrompts:
    """The prompts of the first dimensions about some items.

    Attributes:
        items: one for each of those that ask something else, in order: the others ask what one of these asks.
        tokens: for each of them, how many tokens its first prompts have, estimated.
        by_dimension: dimension -> the same for its prompts alone; those that it does not ask are left out.
    """

    items: list[Item] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    by_dimension: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, items: Iterable[Item], *, apart: bool) -> FirstPrompts:
        """Builds them.

        Args:
            apart: whether items that ask the same are each asked, since no answers are kept.
        """
        dimensions = first_dimensions(graph)
        found, seen = cls(by_dimension={dimension.name: [] for dimension in dimensions}), set[bytes]()
        for item in items:
            prompts = [_prompt(dimension, item) for dimension in dimensions]
            print_ = _fingerprint(item, prompts)
            if not apart and print_ in seen:
                continue
            seen.add(print_)
            found.items.append(item)
            found.tokens.append(sum(tokens for _, tokens in prompts))
            for dimension, (text, tokens) in zip(dimensions, prompts, strict=True):
                if text is not None:
                    found.by_dimension[dimension.name].append(tokens)
        return found


def _prompt(dimension: Dimension, item: Item) -> tuple[str | None, int]:
    """The prompt of a dimension about an item and its estimated tokens; None where it does not ask."""
    values = Values(subject=item.id, arguments={"item": own_item(item)})
    try:
        check_skip_if(dimension, values)
        messages, system = read_prompt(call_user(dimension.function, values))
    except (Failed, Skipped):  # the run says so
        return None, 0
    systems = "\n\n".join(text for text in (dimension.system, system) if text)
    return readable(messages, systems), estimated_tokens(messages, systems)


def _fingerprint(item: Item, prompts: Sequence[tuple[str | None, int]]) -> bytes:
    asked = [text for text, _ in prompts if text is not None] or [repr((item.content, item.metadata))]
    return hashlib.sha256("\0".join(asked).encode("utf-8", "replace")).digest()
