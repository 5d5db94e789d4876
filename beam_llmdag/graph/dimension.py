"""What a user declares: a Dimension, a Regroup, and the functions of both, whose parameters name what they need."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from beam_llmdag.errors import GraphError
from beam_llmdag.model import Effort, LaneName, Model, as_model
from beam_llmdag.outputs.output import Output

__all__ = ["ABSENT", "RESERVED", "Dimension", "Function", "OnMissing", "Regroup", "Scope", "Step"]

Scope = Literal["item", "global"]
OnMissing = Literal["run", "skip", "fail"]

RESERVED = frozenset({"item", "items", "error", "parts"})
"""Parameter names that are no dimensions: the item, all items, the failure, partial answers."""


class _Absent:
    """Where None is a value that a user may mean."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A user's function and the names of its parameters.

    Attributes:
        call: the function.
        label: what it is called in errors, for example `"prompt of dimension 'topics'"`.
        parameters: names of the parameters that it is called with.
        fixed: names of the parameters with a default value: the function's own business, as in
            `lambda item, labels=LABELS: …`. They are no dependencies.
    """

    call: Callable[..., Any]
    label: str
    parameters: tuple[str, ...]
    fixed: tuple[str, ...] = ()

    @classmethod
    def of(cls, call: Callable[..., Any], label: str) -> Function:
        """Reads the parameters of `call`.

        Raises:
            GraphError: `call` is no function, or an async one, or takes `*args`, `**kwargs` or positional-only
                parameters.
        """
        if not callable(call) or isinstance(call, type):
            raise GraphError(f"{label} must be a function, not {type(call).__name__}: {call!r}")
        if inspect.iscoroutinefunction(call):
            raise GraphError(f"{label} is async: write it with a plain 'def'; the library makes the calls itself")
        try:
            parameters = inspect.signature(call).parameters
        except ValueError:  # some functions written in C tell nothing
            raise GraphError(
                f"{label}: Python does not know its parameters; wrap it in a lambda that names them"
            ) from None
        for parameter in parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                shown = str(parameter) if parameter.kind != parameter.POSITIONAL_ONLY else f"{parameter}, /"
                raise GraphError(f"{label} takes {shown}: its parameters name what it needs, so each must have a name")
        fixed = tuple(name for name, parameter in parameters.items() if parameter.default is not parameter.empty)
        return cls(call=call, label=label, parameters=tuple(n for n in parameters if n not in fixed), fixed=fixed)

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the dimensions it asks for."""
        return tuple(name for name in self.parameters if name not in RESERVED)


@dataclass(eq=False, kw_only=True)
class Dimension:
    """One analysis: a prompt, an output, a model, dependencies. Made by `Dag.dimension`, which documents the fields.

    A computed step (`Dag.compute`) is one as well, with no model: its function returns the answer and no prompt. All
    else that holds for dimensions holds for it.

    Attributes:
        function: what the user declared: it returns the prompt, or the answer of a computed step.
        output: what its results are: an answer, a list of answers, or what `vote` makes of them.
        asked: what one call is asked for.
    """

    name: str
    function: Function
    output: Output
    asked: Output
    scope: Scope = "item"
    over: str | None = None
    per: Function | None = None
    model: Model | Function | None
    samples: int = 1
    vote: Function | None = None
    skip_if: Function | None = None
    on_failure: Any = ABSENT
    after: tuple[str, ...] = ()
    on_missing: OnMissing = "skip"
    system: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    effort: Effort | None = None
    timeout_seconds: float | None = None
    deadline_seconds: float | None = None
    attempts: int | None = None
    max_prompt_tokens: int | None = None
    lane: LaneName | None = None
    version: str | None = None
    budget_usd: float | None = None
    merge_prompt: Function | None = field(default=None, init=False)

    def merge(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Declares, as a decorator, how partial answers join when the rows of a global do not fit one prompt.

        Args:
            function: takes `parts`, the list of partial answers. It returns a prompt (a text or messages) for one more
                call with the same output, or the joined answer itself. For a plain text output a text is a prompt.

        Raises:
            GraphError: this dimension is not global, or the function does not take `parts` alone.
        """
        where = f"merge of {self.title}"
        if self.is_computed:
            raise GraphError(f"{where}: nothing is asked, so its function sees all rows at once")
        if self.scope != "global":
            raise GraphError(f"{where}: only a global dimension has parts to merge")
        merged = Function.of(function, where)
        if merged.parameters != ("parts",):
            raise GraphError(f"{where} takes one parameter, 'parts', not {', '.join(merged.parameters) or 'none'}")
        self.merge_prompt = merged
        return function

    @property
    def is_computed(self) -> bool:
        """Whether its function makes the answer, without a call."""
        return self.model is None

    @property
    def title(self) -> str:
        """What it is called in errors."""
        return f"{'computed step' if self.is_computed else 'dimension'} {self.name!r}"

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        """All functions whose parameters are dependencies."""
        declared = (self.function, self.skip_if, self.model, self.per, self.on_failure)
        return tuple(function for function in declared if isinstance(function, Function))

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Dimensions that must have a value before this one runs, unless `on_missing` says otherwise."""
        functions = [function for function in self.functions if function is not self.on_failure]
        return tuple(dict.fromkeys(name for function in functions for name in function.needs))

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """All dimensions that must have ended before this one starts, each once, in order of declaration."""
        return tuple(dict.fromkeys((*self.read, *self.after)))

    @cached_property
    def read(self) -> tuple[str, ...]:
        """Dimensions whose answers its functions are called with."""
        return tuple(dict.fromkeys(name for function in self.functions for name in function.needs))

    @cached_property
    def models(self) -> tuple[Model, ...] | None:
        """The models to ask, in order: none for a computed step; None if a function picks them."""
        if self.model is None:
            return ()
        return self.tuned(self.model).chain() if isinstance(self.model, Model) else None

    def tuned(self, model: Model) -> Model:
        """`model` and its fallbacks with what this dimension says of its parameters."""
        own = {
            name: value
            for name in ("temperature", "max_tokens", "effort", "timeout_seconds", "attempts", "lane")
            if (value := getattr(self, name)) is not None
        }
        if not own:
            return model
        return replace(model, **own, fallbacks=[self.tuned(as_model(fallback)) for fallback in model.fallbacks])


@dataclass(eq=False, kw_only=True)
class Regroup:
    """A step that makes M items of N after a global. Made by `Dag.regroup`."""

    name: str
    function: Function
    over: str | None = None

    @property
    def title(self) -> str:
        """What it is called in errors."""
        return f"regroup {self.name!r}"

    @property
    def scope(self) -> Literal["regroup"]:
        """Stands where a dimension has its scope."""
        return "regroup"

    @property
    def functions(self) -> tuple[Function, ...]:
        """All functions whose parameters are dependencies."""
        return (self.function,)

    @property
    def needs(self) -> tuple[str, ...]:
        """All dimensions that must have ended before this step."""
        return self.function.needs


Step = Dimension | Regroup
"""What a dag is made of."""
