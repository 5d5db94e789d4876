"""A dag file → the `Dag` that the Python API would have made."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import ValidationError

from beam_llmdag.dag import Dag
from beam_llmdag.errors import GraphError
from beam_llmdag.graph.dimension import RESERVED
from beam_llmdag.graph.names import written_name
from beam_llmdag.model import Message, Model
from beam_llmdag.providers.prices import Price
from beam_llmdag.yaml.document import Document, Path, parse_yaml
from beam_llmdag.yaml.dotted import import_dotted
from beam_llmdag.yaml.environment import GLOBALS, SELF
from beam_llmdag.yaml.fields import check_fields, shapes_of
from beam_llmdag.yaml.file_model import (
    ChoiceFile,
    ComputeFile,
    DagFile,
    DimensionFile,
    FunctionFile,
    MessageFile,
    ModelFile,
    PriceFile,
)
from beam_llmdag.yaml.template import Expression, Template, Text

__all__ = ["parse_dag"]

T = TypeVar("T", Template, Expression)

_PLAIN = (
    "scope",
    "over",
    "on_failure",
    "after",
    "on_missing",
    "system",
    "temperature",
    "max_tokens",
    "effort",
    "timeout_seconds",
    "deadline_seconds",
    "attempts",
    "lane",
    "version",
    "budget_usd",
    "max_prompt_tokens",
    "samples",
)
"""Keys of a dimension that `Dag.dimension` takes as they are."""


def parse_dag(text: str, file: str) -> Dag:
    """The dag that a YAML text describes.

    Args:
        text: the YAML.
        file: its name, for errors.

    Raises:
        GraphError: the text is no dag, or the dag cannot run; the message names file, line and dimension.
    """
    document = parse_yaml(text, file)
    return _Builder(document, _validated(document)).build()


class _Builder:
    def __init__(self, document: Document, file: DagFile) -> None:
        self._document = document
        self._file = file
        self._names = [written_name(name) for name in (*file.dimensions, *file.regroups)]
        self._templates: list[tuple[Template | Expression, Path]] = []
        for section in ("dimensions", "regroups"):
            for name in (GLOBALS | {SELF}) & getattr(file, section).keys():
                path: Path = (section, name)
                raise document.error(path, f"{_label(path)}: templates have a function of that name; choose another")

    def build(self) -> Dag:
        file = self._file
        with self._at(("prices",)):
            prices = {model: _prices(price) for model, price in file.prices.items()}
        providers = {name: self._callable(path, ("providers", name)) for name, path in file.providers.items()}
        with self._at(("model",)):
            dag = Dag(file.name, model=_model(file.model), prices=prices, providers=providers)
        for name, declared in file.dimensions.items():
            if isinstance(declared, ComputeFile):
                self._compute(dag, name, declared)
            else:
                self._declare(dag, name, declared)
        for name, regroup in file.regroups.items():
            function = self._callable(regroup.function, ("regroups", name, "function"))
            with self._at(("regroups", name)):
                dag.regroup(function, name=name, over=regroup.over)
        with self._at(()):
            dag.validate()
        for template, path in self._templates:
            step = dag.dimensions[written_name(str(path[1]))]
            about_all = step.scope == "global" and path[2] != "per"
            check_fields(template, shapes_of(step, dag.steps, about_all=about_all))
        return dag

    def _declare(self, dag: Dag, name: str, file: DimensionFile) -> None:
        path: Path = ("dimensions", name)
        _check_plain_texts(self._document, path, file)
        options = self._options(file, path)
        options["model"] = self._model(file, path)
        options["output"] = self._output(file.output, (*path, "output"))
        if file.vote is not None:
            options["vote"] = self._vote(file.vote, (*path, "vote"))
        prompt = self._prompt(file.prompt, (*path, "prompt"))
        with self._at(path):
            dimension = dag.dimension(prompt, name=name, **options)
        if file.merge is not None:
            merge = self._merge(file, (*path, "merge"))
            with self._at((*path, "merge")):
                dimension.merge(merge)

    def _compute(self, dag: Dag, name: str, file: ComputeFile) -> None:
        path: Path = ("dimensions", name)
        options = self._options(file, path)
        if file.output is not None:
            options["output"] = self._output(file.output, (*path, "output"))
        place = (*path, "compute")
        if isinstance(file.compute, str):
            function: Any = self._checked(Expression(self._text(file.compute, place)), place)
        else:
            function = self._callable(file.compute.function, (*place, "function"))
        with self._at(path):
            dag.compute(function, name=name, **options)

    def _options(self, file: DimensionFile | ComputeFile, path: Path) -> dict[str, Any]:
        """What `Dag.dimension` and `Dag.compute` take as it is, and the expressions of both."""
        options = {key: getattr(file, key) for key in _PLAIN if key in file.model_fields_set}
        for key in ("skip_if", "per"):
            if (source := getattr(file, key)) is not None:
                options[key] = self._checked(Expression(self._text(source, (*path, key))), (*path, key))
        return options

    def _vote(self, vote: str | FunctionFile, path: Path) -> Any:
        return vote if isinstance(vote, str) else self._callable(vote.function, (*path, "function"))

    def _prompt(self, prompt: str | list[MessageFile], path: Path) -> Callable[..., Any]:
        if isinstance(prompt, str):
            return self._checked(Template(self._text(prompt, path)), path)
        parts = []
        for index, message in enumerate(prompt):
            place = (*path, index, "content")
            parts.append((message.role, self._checked(Template(self._text(message.content, place)), place)))
        return _Messages(parts)

    def _merge(self, file: DimensionFile, path: Path) -> Any:
        if isinstance(file.merge, str):
            return self._kept(Template(self._text(file.merge, path)), path)
        assert file.merge is not None
        return self._callable(file.merge.function, (*path, "function"))

    def _model(self, file: DimensionFile, path: Path) -> Any:
        if not isinstance(file.model, list):
            with self._at((*path, "model")):
                return _model(file.model)
        return self._choice(file.model, (*path, "model"))

    def _choice(self, choices: list[ChoiceFile], path: Path) -> _Choice:
        found = []
        for index, choice in enumerate(choices):
            place = (*path, index)
            if (choice.if_ is None) != (index == len(choices) - 1):
                raise self._document.error(
                    place, f"{_label(place)}: every choice of a model has an 'if', except for the last one"
                )
            with self._at((*place, "use")):
                model = _model(choice.use)
            test = (*place, "if")
            condition = None if choice.if_ is None else self._checked(Expression(self._text(choice.if_, test)), test)
            found.append((condition, model))
        if not found:
            raise self._document.error(path, f"{_label(path)}: the list of choices is empty")
        return _Choice(found)

    def _output(self, output: str | dict[str, Any], path: Path) -> Any:
        if isinstance(output, dict):
            return output
        return str if output == "text" else self._imported(output, path)

    def _imported(self, dotted: str, path: Path) -> Any:
        with self._at(path, _label(path)):
            return import_dotted(dotted)

    def _callable(self, dotted: str, path: Path) -> Any:
        found = self._imported(dotted, path)
        if not callable(found):
            kind = type(found).__name__
            raise self._document.error(path, f"{_label(path)}: {dotted!r} is a {kind}, and nothing that can be called")
        return found

    def _text(self, source: str, path: Path) -> Text:
        document = self._document
        line = document.first_lines.get(path, document.line(path))
        return Text(source=source, file=document.file, line=line, label=_label(path))

    def _kept(self, template: T, path: Path) -> T:
        """`template`, whose fields are checked when all dimensions are known."""
        self._templates.append((template, path))
        return template

    def _checked(self, template: T, path: Path) -> T:
        """`template`, if all its variables are something that a dimension can ask for."""
        for name, line in template.lines.items():
            if name not in self._names and name not in RESERVED:
                close = difflib.get_close_matches(name, [*self._names, *RESERVED], n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(self._names)}"
                text = template.text
                raise text.error(f"{name!r} is no dimension of this file; {hint}", line - text.line + 1)
        return self._kept(template, path)

    @contextmanager
    def _at(self, path: Path, label: str = "") -> Iterator[None]:
        """Adds file and line to errors of the graph: those of `path`, or of what the message names inside it."""
        try:
            yield
        except GraphError as error:
            named = self._named(str(error), path)
            raise self._document.error(named, f"{label}: {error}" if label else str(error)) from error.__cause__

    def _named(self, message: str, path: Path) -> Path:
        if not path:  # an error of the whole graph quotes the step, or shows a cycle of several behind a colon
            words = [*re.findall(r"'(\w+)'", message), *re.findall(r"\w+", message.partition(": ")[2])]
            step = next((word for word in words if word in self._names), None)
            section = "dimensions" if step in self._file.dimensions else "regroups"
            path = () if step is None else (section, step)
        unquoted = re.sub(r"'[^']*'", "", message)
        keys = (key for key in re.findall(r"\w+", unquoted) if (*path, key) in self._document.lines)
        key = next(keys, None)
        return path if key is None or not path else (*path, key)


class _Messages:
    """Templates of messages as one function."""

    def __init__(self, parts: list[tuple[Any, Template]]) -> None:
        self._parts = parts

    @property
    def __signature__(self) -> inspect.Signature:
        return _joined([template for _, template in self._parts])

    def __call__(self, **values: Any) -> list[Message]:
        return [Message(role, _called(template, values)) for role, template in self._parts]


class _Choice:
    """Choices between models as one function."""

    def __init__(self, choices: list[tuple[Expression | None, Model | str | None]]) -> None:
        self._choices = choices

    @property
    def __signature__(self) -> inspect.Signature:
        return _joined([condition for condition, _ in self._choices if condition is not None])

    def __call__(self, **values: Any) -> Any:
        for condition, model in self._choices:
            if condition is None or _called(condition, values):
                return model
        raise AssertionError("the last choice has no condition")


def _called(function: Template | Expression, values: Mapping[str, Any]) -> Any:
    return function(**{name: values[name] for name in function.lines})


def _joined(functions: list[Any]) -> inspect.Signature:
    names = dict.fromkeys(name for function in functions for name in function.lines)
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names])


def _validated(document: Document) -> DagFile:
    try:
        return DagFile.model_validate(document.value, by_alias=True)
    except ValidationError as error:
        said = [_said(document, found) for found in error.errors(include_url=False)]
        raise GraphError("\n".join(said)) from None


def _said(document: Document, error: Any) -> str:
    """What is wrong in the user's words; a missing or unknown key is a fault of what is around it."""
    path, kind = document.known(error["loc"]), error["type"]
    label = _label(path)
    message = _MESSAGES.get(kind, "{msg}").format(msg=error["msg"], key=error["loc"][-1] if error["loc"] else "")
    line = document.line((*path, error["ctx"]["key"])) if kind == "unknown_key" else None
    return str(document.error(path, f"{label}: {message}" if label else message, line=line))


_MESSAGES = {
    "missing": "{key!r} is missing",
    "model_type": "a mapping is asked for: keys with their values",
    "dict_type": "a mapping is asked for: keys with their values",
}
"""Errors of pydantic in words for those who know nothing of it."""


def _label(path: Path) -> str:
    """What a place of the file is called in errors, for example `"prompt of dimension 'topics'"`."""
    if len(path) < 2 or path[0] not in ("dimensions", "regroups"):
        return ".".join(map(str, path))
    step = f"{str(path[0]).removesuffix('s')} {path[1]!r}"
    return f"{path[2]} of {step}" if len(path) > 2 else step


def _check_plain_texts(document: Document, path: Path, file: DimensionFile) -> None:
    """Whether nobody takes for a template what is none."""
    remedies = {
        "system": "write a message with the role 'system' in the prompt",
        "on_failure": "give a value, or declare this dimension in Python with a function",
    }
    for key, remedy in remedies.items():
        value = getattr(file, key)
        if isinstance(value, str) and ("{{" in value or "{%" in value):
            place = (*path, key)
            raise document.error(place, f"{_label(place)} is no template, it is the same for all items; {remedy}")


def _model(file: str | ModelFile | None) -> Model | str | None:
    if not isinstance(file, ModelFile):
        return file
    options = {name: getattr(file, name) for name in file.model_fields_set - {"spec", "fallbacks"}}
    fallbacks = [fallback for each in file.fallbacks if (fallback := _model(each)) is not None]
    return Model(file.spec, fallbacks=fallbacks, **options)


def _prices(file: PriceFile | list[PriceFile]) -> Price | list[Price]:
    if isinstance(file, list):
        return [Price(**price.model_dump()) for price in file]
    return Price(**file.model_dump())
