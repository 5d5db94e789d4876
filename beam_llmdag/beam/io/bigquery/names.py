"""What a user calls a place in BigQuery: a table, a query, a dataset with a prefix."""

from __future__ import annotations

import re
from dataclasses import dataclass

from beam_llmdag.errors import InputError

__all__ = ["SCHEME", "Dataset", "Query", "Table", "is_bigquery", "parse_dataset", "parse_destination", "parse_source"]

SCHEME = "bigquery:"

_PROJECT = r"(?:[a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]*[a-z0-9]"  # the part before a colon is a company's domain
_NAME = r"[A-Za-z0-9_]+"
_TABLE = re.compile(rf"({_PROJECT})\.({_NAME})\.([\w-]+)")
_DESTINATION = re.compile(rf"({_PROJECT})\.({_NAME})(?:\.({_NAME}))?")
_QUERY = re.compile(r"\s*(?:select|with|\()\b|\s*--", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table or view."""

    project: str
    dataset: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.name}"

    @property
    def beam_name(self) -> str:
        """As Beam writes it."""
        return f"{self.project}:{self.dataset}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query in GoogleSQL."""

    sql: str

    def __str__(self) -> str:
        return "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset, and what the names of the tables in it begin with.

    Attributes:
        project: its project.
        name: its name.
        prefix: what stands before the name of each table, with an underscore between; empty for nothing.
    """

    project: str
    name: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.project}.{self.name}"

    def table(self, name: str) -> Table:
        """The table `name` of this destination: `prefix_name`, or `name` where there is no prefix."""
        return Table(project=self.project, dataset=self.name, name=f"{self.prefix}_{name}" if self.prefix else name)


def is_bigquery(place: str) -> bool:
    """Whether a user means BigQuery and not a file: `bigquery:…`."""
    return place.startswith(SCHEME)


def parse_source(text: str) -> Table | Query:
    """What `project.dataset.table` or `SELECT …` names, with or without `bigquery:` in front.

    Raises:
        InputError: it is neither.
    """
    name = text.removeprefix(SCHEME)
    if _QUERY.match(name):
        return Query(sql=name)
    match = _TABLE.fullmatch(name.strip().strip("`"))
    if match is None:
        raise InputError(f"{text}: no table and no query; write bigquery:project.dataset.table or 'bigquery:SELECT …'")
    project, dataset, table = match.groups()
    return Table(project=project, dataset=dataset, name=table)


def parse_destination(text: str) -> Dataset:
    """What `project.dataset` or `project.dataset.prefix` names, with or without `bigquery:` in front.

    Raises:
        InputError: it is neither.
    """
    match = _DESTINATION.fullmatch(text.removeprefix(SCHEME).strip())
    if match is None:
        raise InputError(
            f"{text}: no dataset; write bigquery:project.dataset, or bigquery:project.dataset.prefix to begin the "
            "names of all tables with prefix_ (letters, digits and underscores)"
        )
    project, dataset, prefix = match.groups()
    return Dataset(project=project, name=dataset, prefix=prefix or "")


def parse_dataset(text: str) -> Dataset:
    """What `project.dataset` names.

    Raises:
        InputError: it is no dataset.
    """
    found = parse_destination(text)
    if found.prefix:
        raise InputError(f"{text}: no dataset; write project.dataset")
    return found
