"""The parts of a pane come one by one, and are put together where the rows of their window are kept."""

from typing import Any

from beam_llmdag.beam.items import Placed
from beam_llmdag.beam.windows.accumulated import Part, whole_pane
from beam_llmdag.records.item import Item
from beam_llmdag.records.result import Row

PLACE = (0, 0, 0, 0)


class Bag:
    """A state of Beam, as far as it is used here."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any) -> None:
        self.values.append(value)

    def read(self) -> Any:
        return iter(self.values)

    def clear(self) -> None:
        self.values = []


class Count(Bag):
    def read(self) -> Any:
        return len(self.values)


def placed(name: str) -> Placed:
    return PLACE, Row(item=Item(name, ""))


def parts(pane: bytes, *names: str) -> list[Part]:
    return [(pane, PLACE, len(names), [placed(name)]) for name in names]


def ids(pane: list[Placed] | None) -> list[str] | None:
    return None if pane is None else [row.item.id for _, row in pane]


def panes_of(arriving: list[Part]) -> list[list[str]]:
    waiting, arrived = Bag(), Count()
    panes = [ids(whole_pane(part, waiting, arrived)) for part in arriving]
    assert (waiting.values, arrived.values) == ([], [])
    return [pane for pane in panes if pane is not None]


def test_a_pane_is_whole_with_the_last_of_its_parts():
    first, second = parts(b"1", "a", "b"), parts(b"2", "c")
    assert panes_of([*first, *second]) == [["a", "b"], ["c"]]


def test_parts_of_two_panes_may_come_in_any_order():
    (a, b, c), (d, e) = parts(b"1", "a", "b", "c"), parts(b"2", "d", "e")
    assert panes_of([a, d, b, e, c]) == [["d", "e"], ["a", "b", "c"]]


def test_a_pane_without_rows_is_whole_at_once():
    (a, b) = parts(b"1", "a", "b")
    assert panes_of([a, (b"2", PLACE, 0, []), b]) == [[], ["a", "b"]]
