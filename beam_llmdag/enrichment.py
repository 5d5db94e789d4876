"""One line for a table: questions about its rows in, the table with their answers out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, Unpack

from beam_llmdag.dag import Dag
from beam_llmdag.errors import GraphError, InputError
from beam_llmdag.model import Model
from beam_llmdag.providers.base import ProviderFactory
from beam_llmdag.providers.prices import Price
from beam_llmdag.records.frame import named_index
from beam_llmdag.records.in_memory import frame_kind, records_of
from beam_llmdag.records.item import Item
from beam_llmdag.records.plain import plain
from beam_llmdag.run.frames import enriched
from beam_llmdag.run.given import Given
from beam_llmdag.run.options import RunOptions
from beam_llmdag.telling import listed, quoted

__all__ = ["enrich"]

_PARTS = re.compile(r"(\{\{|\}\}|\{[^{}]*\}|[{}])")
_BRACES = {"{{": "{", "}}": "}"}

T = TypeVar("T")


def enrich(
    table: T,
    prompt: str | Mapping[str, str],
    *,
    model: Model | str,
    output: Any = str,
    name: str | None = None,
    system: str | None = None,
    providers: Mapping[str, ProviderFactory] | None = None,
    prices: Mapping[str, Price] | None = None,
    progress: bool | None = None,
    **options: Unpack[RunOptions],
) -> T:
    """A table with what a model says about each of its rows.

    Args:
        table: a pandas or polars data frame, a pyarrow table, or a list of dicts.
        prompt: what is asked about a row, with names of columns in braces: `"Sentiment of: {review}"`. A cell is put in
            as it is, and never looked at for braces; an empty one is an empty text, and a row whose cells are all
            empty is not asked. `{{` and `}}` stand for braces. Several questions at once: name -> prompt.
        model: who is asked.
        output: what an answer must be, as in `Dag.dimension`; for several questions one for all, or name -> output.
        name: of the one question: its columns are called like it. By default that of the output class in lower
            case, else `answer`.
        system: system text.
        providers, prices: as for `Dag`.
        progress, options: as for `Dag.run`. Answers are kept in the store: run again, what is known costs nothing, and
            what failed is asked again.

    Returns:
        A new table of the same kind with the columns of `Report.to_pandas` behind its own: one for each field of an
        answer (`sentiment.label`), empty where there is none, and `sentiment.status` and `sentiment.error` where some
        row has none. Own columns, rows and index stay as they are.

    Raises:
        GraphError: a name in braces is no column, or the questions cannot be right.
        InputError: `table` is none, or has cells that are no data.
        As `Dag.run`.

    Example:
        >>> from beam_llmdag.testing import ScriptedProvider
        >>> said = ScriptedProvider(lambda request: "good" if "love" in request.messages[0].content else "bad")
        >>> rows = [{"review": "I love it"}, {"review": "It broke"}]
        >>> enrich(rows, "Mood of: {review}", model="own:m", name="mood", providers={"own": said}, store=False)
        [{'review': 'I love it', 'mood': 'good'}, {'review': 'It broke', 'mood': 'bad'}]
    """
    records = _records(table)
    dag = Dag("enrich", model=model, providers=providers, prices=prices)
    for question, text in _named(prompt, output, name).items():
        template = _Template(text, records, question)
        asked = output[question] if isinstance(output, Mapping) and not isinstance(prompt, str) else output
        dag.dimension(template.prompt(), name=question, output=asked, system=system, skip_if=template.is_empty())
    items = [Item(str(number), "", record) for number, record in enumerate(records)]
    report = dag.run(items, progress=progress, **options)
    schemas = {question: dimension.output.data_schema for question, dimension in dag.dimensions.items()}
    made: T = enriched(Given(table), report.items, schemas)
    return made


class _Template:
    """A prompt with names of columns in it."""

    def __init__(self, text: str, records: Sequence[Mapping[str, Any]], question: str) -> None:
        self._parts = [part for part in _PARTS.split(text) if part]
        known = dict.fromkeys(name for record in records for name in record)
        for part in self._parts:
            if part in ("{", "}"):
                raise GraphError(f"{quoted(question)}: a single {part} in the prompt; write {part * 2} for a brace")
            if (column := _column(part)) is not None and records and column not in known:
                raise GraphError(
                    f"{quoted(question)}: {part} is no column; there are {listed(known)}. "
                    "Write {{ and }} for braces"
                )

    def prompt(self) -> Callable[[Item], str]:
        """What asks about a row."""

        def ask(item: Item) -> str:
            return "".join(self._filled(part, item.metadata) for part in self._parts)

        return ask

    def is_empty(self) -> Callable[[Item], bool] | None:
        """What tells that a row has nothing to ask about; None where the prompt has no columns."""
        columns = [column for part in self._parts if (column := _column(part)) is not None]
        if not columns:
            return None

        def all_cells_are_empty(item: Item) -> bool:
            return all(item.metadata.get(column) in (None, "") for column in columns)

        return all_cells_are_empty

    @staticmethod
    def _filled(part: str, record: Mapping[str, Any]) -> str:
        column = _column(part)
        if column is None:
            return _BRACES.get(part, part)
        value = record.get(column)
        return "" if value is None else str(value)


def _column(part: str) -> str | None:
    """The column that a part of a prompt names; None for text."""
    return part[1:-1] if part[0] == "{" and part[-1] == "}" else None


def _named(prompt: str | Mapping[str, str], output: Any, name: str | None) -> Mapping[str, str]:
    """The questions by name."""
    if not isinstance(prompt, str):
        if not isinstance(prompt, Mapping) or not all(isinstance(text, str) for text in prompt.values()):
            raise GraphError("a prompt is a text, and several are a dict of names and texts")
        if name is not None:
            raise GraphError("several prompts have their own names: leave out name=")
        if isinstance(output, Mapping) and output.keys() != prompt.keys():
            raise GraphError(f"there are prompts for {listed(prompt)}, and outputs for {listed(output)}")
        return prompt
    is_own = isinstance(output, type) and output.__module__ != "builtins"
    return {name or (output.__name__.lower() if is_own else "answer"): prompt}


def _records(table: Any) -> list[dict[str, Any]]:
    """The rows of a table as JSON-like data."""
    kind = frame_kind(table)
    if kind is None and not (isinstance(table, list) and all(isinstance(record, Mapping) for record in table)):
        raise InputError(
            f"enrich takes a pandas or polars frame, an Arrow table or a list of dicts, not {_kind(table)}"
        )
    if kind == "pandas" and not named_index(table):
        table = table.reset_index(drop=True)
    return [plain(record, f"row {number}") for number, record in enumerate(records_of(table, "id"))]


def _kind(table: Any) -> str:
    return "a list with other things in it" if isinstance(table, list) else f"a {type(table).__name__}"
