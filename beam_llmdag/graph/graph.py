"""Dimensions together: declared here, validated here, drawn here. A graph does not run: a `Dag` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

from beam_llmdag.errors import GraphError
from beam_llmdag.graph import drawing, rules
from beam_llmdag.graph.dimension import ABSENT, Dimension, Function, OnMissing, Regroup, Scope, Step
from beam_llmdag.graph.explain import explain
from beam_llmdag.graph.names import new_name, written_name
from beam_llmdag.graph.order import step_needs
from beam_llmdag.graph.plan import Plan, PlanKind, make_plan
from beam_llmdag.model import Effort, LaneName, Model, as_model
from beam_llmdag.outputs.output import Output
from beam_llmdag.providers.base import ProviderFactory, asked_schema, check_provider
from beam_llmdag.providers.prices import Price, PriceTable

__all__ = ["Graph"]


class Graph:
    """A graph of dimensions.

    Args:
        name: what the dag is called in logs, pictures and labels.
        model: model of every dimension that names none.
        prices: the user's own prices, by model as `"provider:name"` or bare name; a `Price` or dated ones. They come
            before the kept price library.
        providers: the user's own providers, by the name before the colon of a model: a class or function that takes the
            `Model` and returns a `Provider`.
    """

    def __init__(
        self,
        name: str,
        *,
        model: Model | str | None = None,
        prices: Mapping[str, Price | Sequence[Price]] | None = None,
        providers: Mapping[str, ProviderFactory] | None = None,
    ) -> None:
        self.name = name
        self.model = None if model is None else as_model(model)
        self.prices = PriceTable(prices or {})
        self.providers: dict[str, ProviderFactory] = dict(providers or {})
        self.steps: dict[str, Step] = {}
        for named in () if self.model is None else self.model.chain():
            try:
                check_provider(named.provider, self.providers)
            except GraphError as error:
                raise GraphError(f"dag {name!r}, model {named.spec!r}: {error}") from None

    def __copy__(self) -> Self:
        """A dag of the same steps, which keeps them whatever is declared in this one later."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, steps=dict(self.steps))
        return copied

    def dimension(
        self,
        function: Callable[..., Any] | None = None,
        *,
        output: Any = str,
        name: str | None = None,
        scope: Scope = "item",
        over: Regroup | str | None = None,
        per: Callable[..., Any] | None = None,
        model: Model | str | Callable[..., Any] | None = None,
        skip_if: Callable[..., Any] | None = None,
        on_failure: Any = ABSENT,
        after: Iterable[Dimension | Regroup | str] = (),
        on_missing: OnMissing = "skip",
        system: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        effort: Effort | None = None,
        timeout_seconds: float | None = None,
        deadline_seconds: float | None = None,
        attempts: int | None = None,
        max_prompt_tokens: int | None = None,
        lane: LaneName | None = None,
        version: str | None = None,
        budget_usd: float | None = None,
        samples: int = 1,
        vote: Callable[..., Any] | Literal["majority"] | None = None,
    ) -> Any:
        """Declares a dimension, as a decorator of its prompt function.

        The parameters of the function name what it needs: `item` (in a global: `items`, a list) and other dimensions.
        An item dimension gets the answer of another one about the same item, or of a global. A global gets an aligned
        list per item dimension. It returns the prompt: a text, or a list of texts, `Image`s and `Message`s.

        Args:
            output: pydantic class, JSON schema, Enum, Literal, any type pydantic knows, or `str` for plain text.
            name: name of the dimension; the function's own by default.
            scope: `"item"`: one answer per item. `"global"`: one over all of them.
            over: the regroup whose items it is about. Known from the parameters where they name a dimension over it.
            per: for a global: one answer per group instead; a function of an item's dimensions that names its group.
            model: a model, or a function that picks one per item; the dag's model by default.
            skip_if: a function; where it returns something true the dimension is skipped and nothing is paid.
            on_failure: a value, or a function of the same kind of parameters (and `error`), used when the dimension
                failed; the result is marked `fallback`.
            after: dimensions that must have ended before, whatever came of them.
            on_missing: what to do if a dependency failed or was skipped: `"skip"` this one too, `"fail"`, or `"run"`
                with None in its place. In a global: leave the item out, fail, or run with None for the item.
            system: system text, behind the model's own.
            temperature, max_tokens, effort, timeout_seconds, attempts, lane: over those of the model.
            deadline_seconds: longest time for all tries and fallbacks together.
            max_prompt_tokens: longest prompt of a global (estimated); longer ones are split, see `Dimension.merge`. By
                default what the model's context holds.
            budget_usd: dollars that the calls of this dimension may cost in a run; the run and models may have theirs.
            version: a name of yours for code that the answer store cannot see, such as a validator: with another one
                stored answers are not used, and all is asked again. Prompts, models and schemas need none: they are
                compared as they are.
            samples: how often the same is asked, on purpose. The answer is then the list of the answers in the order of
                the samples, without those that failed; the dimension has failed if all have.
            vote: makes one answer of that list: a function of one parameter, or `"majority"`: the most common answer,
                the first of equally common ones.

        Returns:
            The `Dimension`.

        Raises:
            GraphError: the declaration cannot be right; the message names the dimension and the remedy.
        """

        def declare(prompt: Callable[..., Any]) -> Dimension:
            step_name = new_name(name, prompt, "dimension", self.steps, self.name)
            where = f"dimension {step_name!r}"
            asked = _output_of(output, where)
            dimension = Dimension(
                name=step_name,
                function=Function.of(prompt, f"prompt of {where}"),
                output=asked.listed() if samples != 1 and vote is None else asked,
                asked=asked,
                scope=scope,
                over=None if over is None else _name_of(over, f"over of {where}"),
                per=None if per is None else Function.of(per, f"per of {where}"),
                model=self._model_of(model, where),
                skip_if=None if skip_if is None else Function.of(skip_if, f"skip_if of {where}"),
                on_failure=Function.of(on_failure, f"on_failure of {where}") if callable(on_failure) else on_failure,
                after=_names_of(after, f"after of {where}"),
                on_missing=on_missing,
                system=system,
                temperature=temperature,
                max_tokens=max_tokens,
                effort=effort,
                timeout_seconds=timeout_seconds,
                deadline_seconds=deadline_seconds,
                attempts=attempts,
                max_prompt_tokens=max_prompt_tokens,
                lane=lane,
                version=version,
                budget_usd=budget_usd,
                samples=samples,
                vote=None if vote is None else _vote_of(vote, where),
            )
            rules.check_dimension(dimension)
            self._check_models(dimension)
            self._add(dimension)
            return dimension

        return declare if function is None else declare(function)

    def compute(
        self,
        function: Callable[..., Any] | None = None,
        *,
        output: Any = Any,
        name: str | None = None,
        scope: Scope = "item",
        over: Regroup | str | None = None,
        per: Callable[..., Any] | None = None,
        skip_if: Callable[..., Any] | None = None,
        after: Iterable[Dimension | Regroup | str] = (),
        on_missing: OnMissing = "skip",
    ) -> Any:
        """Declares, as a decorator, a step whose function makes the answer of others, without a call.

        The parameters of the function name what it needs, as those of a prompt function do. It returns the answer.
        Everything else about the step is as if a model had answered: it has a column, others may need it, and it is
        skipped with what it needs. With `on_missing="run"` it can join branches of which one was skipped.

        Args:
            output: what the answer must look like, and what others that need it see; see `dimension`. By default any
                JSON-like data; an object of a pydantic class becomes a dict then.
            name, scope, over, per, skip_if, after, on_missing: see `dimension`.

        Returns:
            The `Dimension`.

        Raises:
            GraphError: as for `dimension`.
        """

        def declare(compute: Callable[..., Any]) -> Dimension:
            step_name = new_name(name, compute, "compute", self.steps, self.name)
            where = f"computed step {step_name!r}"
            made = _output_of(output, where)
            step = Dimension(
                name=step_name,
                function=Function.of(compute, where),
                output=made,
                asked=made,
                scope=scope,
                over=None if over is None else _name_of(over, f"over of {where}"),
                per=None if per is None else Function.of(per, f"per of {where}"),
                model=None,
                skip_if=None if skip_if is None else Function.of(skip_if, f"skip_if of {where}"),
                after=_names_of(after, f"after of {where}"),
                on_missing=on_missing,
            )
            rules.check_dimension(step)
            self._add(step)
            return step

        return declare if function is None else declare(function)

    def regroup(
        self, function: Callable[..., Any] | None = None, *, name: str | None = None, over: Regroup | str | None = None
    ) -> Any:
        """Declares, as a decorator, a step that makes new items of old ones after a global.

        The function takes `items` and dimensions, as a global does, and returns a dict: new id -> ids of the source
        items (its content is theirs, joined by blank lines), or new id -> a new `Item`. A list of `Item`s does as well.
        Ids that are unknown, left out or in several groups are reported in `results.globals`, never guessed.

        Returns:
            The `Regroup`, for `over=`.

        Raises:
            GraphError: as for `dimension`.
        """

        def declare(regroup: Callable[..., Any]) -> Regroup:
            step_name = new_name(name, regroup, "regroup", self.steps, self.name)
            step = Regroup(
                name=step_name,
                function=Function.of(regroup, f"regroup {step_name!r}"),
                over=None if over is None else _name_of(over, f"over of regroup {step_name!r}"),
            )
            rules.check_regroup(step)
            self._add(step)
            return step

        return declare if function is None else declare(function)

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """The dimensions by name, in order of declaration; computed steps are among them."""
        return {name: step for name, step in self.steps.items() if isinstance(step, Dimension)}

    @property
    def models(self) -> list[Model]:
        """The models of all dimensions, fallbacks among them, but for those that functions pick."""
        return [model for dimension in self.dimensions.values() for model in dimension.models or ()]

    @property
    def dimension_budgets(self) -> dict[str, float]:
        """Dollars that the calls of a dimension may cost, by name, where there is a limit."""
        known = ((name, dimension.budget_usd) for name, dimension in self.dimensions.items())
        return {name: usd for name, usd in known if usd is not None}

    def validate(self) -> None:
        """Checks the graph as a whole. Whatever runs or draws the dag does it first.

        Raises:
            GraphError: empty, unknown or misused dependency, cycle; the message names the dimension and the remedy.
        """
        rules.check_dag(self.name, self.steps)

    @property
    def spaces(self) -> dict[str, str | None]:
        """Step -> regroup whose items it is about; None for those that went in."""
        return rules.item_spaces(self.steps)

    def item_dimensions(self, space: str | None) -> dict[str, Dimension]:
        """The item dimensions about the items of a regroup, or about those that went in (None), by name."""
        spaces = self.spaces
        return {n: d for n, d in self.dimensions.items() if d.scope == "item" and spaces[n] == space}

    def plan(self, kind: PlanKind) -> Plan:
        """The steps that a run takes."""
        return make_plan(self.steps, kind)

    def needs(self, name: str) -> tuple[str, ...]:
        """Names of all steps that must have ended before step `name` starts."""
        return tuple(step_needs(self.steps[name]))

    def levels(self) -> list[list[str]]:
        """Steps that can run at the same time, level by level."""
        self.validate()
        return drawing.levels(self.steps)

    def critical_path(self) -> list[str]:
        """The longest chain of dimensions: no run is faster than its calls one after the other."""
        self.validate()
        return drawing.critical_path(self.steps)

    def to_mermaid(self) -> str:
        """The graph as a Mermaid flowchart."""
        self.validate()
        return drawing.to_mermaid(self.name, self.steps)

    def to_dot(self) -> str:
        """The graph in Graphviz' language."""
        self.validate()
        return drawing.to_dot(self.name, self.steps)

    def to_json(self) -> str:
        """The graph as JSON: every step with its needs, scope, models and output schema."""
        self.validate()
        return drawing.to_json(self.name, self.steps)

    def explain(self, plan: PlanKind = "pipelined") -> str:
        """What will run, in words: the steps of the plan, and what each model's API cannot express of an output.

        Args:
            plan: `"pipelined"` or `"staged"`.
        """
        self.validate()
        return explain(self.name, self.steps, plan, self.providers)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        try:
            return {"text/plain": repr(self), "text/vnd.mermaid": self.to_mermaid()}
        except GraphError:  # a notebook shows dags that are not finished, too
            return {"text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}: {', '.join(self.steps) or 'no dimensions yet'})"

    def _add(self, step: Step) -> None:
        """Adds a step, or puts it in the place of the one that was declared by that name before."""
        old = self.steps.get(step.name)
        if isinstance(old, Dimension) and isinstance(step, Dimension) and step.scope == "global":
            step.merge_prompt = old.merge_prompt  # which may stand in another cell of a notebook
        self.steps[step.name] = step

    def _model_of(self, model: Model | str | Callable[..., Any] | None, where: str) -> Model | Function:
        chosen = self.model if model is None else model
        if chosen is None:
            raise GraphError(f"{where} has no model: give it one, or give one to the dag")
        if isinstance(chosen, (Model, str)):
            try:
                return as_model(chosen)
            except GraphError as error:
                raise GraphError(f"{where}: {error}") from None
        return Function.of(chosen, f"model of {where}")

    def _check_models(self, dimension: Dimension) -> None:
        """Asks the provider of every known model whether it can be asked for the output, before any call."""
        for model in dimension.models or ():
            try:
                asked_schema(dimension.asked.schema, model, self.providers)
            except GraphError as error:
                raise GraphError(f"dimension {dimension.name!r}, model {model.spec!r}: {error}") from None


def _output_of(output: Any, where: str) -> Output:
    try:
        return Output(output)
    except GraphError as error:
        raise GraphError(f"{where}: {error}") from None


def _vote_of(vote: Any, where: str) -> Function:
    label = f"vote of {where}"
    if isinstance(vote, str):
        if vote != "majority":
            raise GraphError(f"{label} is a function of the answers, or 'majority', not {vote!r}")
        vote = _majority
    function = Function.of(vote, label)
    if len(function.parameters) != 1:
        raise GraphError(
            f"{label} takes one parameter, the list of answers, not {', '.join(function.parameters) or 'none'}"
        )
    return function


def _majority(answers: Sequence[Any]) -> Any:
    return max(answers, key=answers.count)


def _name_of(step: Dimension | Regroup | str, where: str) -> str:
    if isinstance(step, (Dimension, Regroup)):
        return step.name
    if isinstance(step, str):
        return written_name(step)
    raise GraphError(f"{where}: name a declared step, or give it, not {type(step).__name__}: {step!r:.100}")


def _names_of(steps: Iterable[Dimension | Regroup | str], where: str) -> tuple[str, ...]:
    if isinstance(steps, (str, Dimension, Regroup)):
        raise GraphError(f"{where} is a list: write [{_name_of(steps, where)!r}]")
    return tuple(_name_of(step, where) for step in steps)
