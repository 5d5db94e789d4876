"""What the simulated model says: rules with gold answers, or made-up values that fit the schema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from beam_llmdag.testing.simulator.reply import AnswerValue, Reply
from beam_llmdag.testing.simulator.request import SimulatedRequest
from beam_llmdag.testing.simulator.sample import sample_value

__all__ = ["AnswerFunction", "Answers", "Rule", "RuleBook", "answer_function", "load_rules", "sample_answer"]

AnswerFunction = Callable[[SimulatedRequest], AnswerValue]

_ENCODER = json.JSONEncoder(ensure_ascii=False)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Rule:
    """An answer for the requests that contain some texts.

    Args:
        when: texts that must all occur in the request's system text and messages; none means any request.
        answer: the answer, as text, JSON data or a `Reply`; None means one that is made up to fit the schema.
    """

    when: Sequence[str]
    answer: AnswerValue | None = field(default=None, kw_only=True)


Answers = AnswerFunction | Sequence[Rule]


def answer_function(answers: Answers | None, seed: int) -> AnswerFunction:
    """The function behind any form of answers; made-up ones for None."""
    if answers is None:
        return lambda request: sample_answer(request, seed)
    return answers if callable(answers) else RuleBook(answers, seed=seed).answer


def sample_answer(request: SimulatedRequest, seed: int = 0) -> AnswerValue:
    """A made-up answer: a value that satisfies the schema of the request, or a short text.

    The same request and seed give the same answer.
    """
    if request.schema is None:
        return f"Simulated answer {request.fingerprint[:8]}."
    random = Random(int(request.fingerprint, 16) + seed)
    return _ENCODER.encode(sample_value(request.schema, random))


class RuleBook:
    """Rules of which the first that matches answers.

    A rule that requires whole words is found through an index of one of them, so that hundreds of rules cost hardly
    more than a few. A request that no rule matches gets HTTP 400 and a message that says so: a made-up answer in its
    place would look like a wrong one.

    Args:
        rules: in order of precedence.
        seed: for rules whose answers are made up.
    """

    def __init__(self, rules: Sequence[Rule], *, seed: int = 0) -> None:
        self._rules = tuple(rules)
        self._seed = seed
        self._by_word: dict[str, list[int]] = {}
        self._always: list[int] = []
        for number, rule in enumerate(self._rules):
            self._index(number, rule)

    def answer(self, request: SimulatedRequest) -> AnswerValue:
        """The answer of the first matching rule."""
        rule = self.find(request.text)
        if rule is None:
            return Reply(status=400, message=f"None of the simulator's {len(self._rules)} rules matches this request.")
        return sample_answer(request, self._seed) if rule.answer is None else rule.answer

    def find(self, text: str) -> Rule | None:
        """The first rule whose texts all occur in `text`."""
        numbers = set(self._always)
        for word in self._by_word.keys() & set(_WORD.findall(text)):
            numbers.update(self._by_word[word])
        for number in sorted(numbers):
            if all(part in text for part in self._rules[number].when):
                return self._rules[number]
        return None

    def _index(self, number: int, rule: Rule) -> None:
        words = {word for part in rule.when for word in _inner_words(part)}
        if words:
            # the word that fewest rules before this one chose; the longest of those, since long words are rare in texts
            word = min(words, key=lambda word: (len(self._by_word.get(word, ())), -len(word), word))
            self._by_word.setdefault(word, []).append(number)
        else:
            self._always.append(number)


def _inner_words(part: str) -> list[str]:
    """Words that are whole words of every text that contains `part`: those that do not touch its ends."""
    return [match.group() for match in _WORD.finditer(part) if match.start() > 0 and match.end() < len(part)]


def load_rules(path: str | Path) -> list[Rule]:
    """Rules from a JSON Lines file: `{"when": ["text", …], "answer": {…} or "text"}`; no answer means a made-up one.

    Raises:
        ValueError: a line is no rule; the message has file and line.
    """
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    return list(_rules(lines, str(path)))


def _rules(lines: Iterable[str], name: str) -> Iterable[Rule]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name}:{number}: not JSON: {error}") from error
        yield _rule(data, f"{name}:{number}")


def _rule(data: Any, where: str) -> Rule:
    if not isinstance(data, Mapping) or not {"when"} <= data.keys() <= {"when", "answer"}:
        raise ValueError(f'{where}: a rule is {{"when": ["text", …], "answer": …}}')
    when, answer = data["when"], data.get("answer")
    if not isinstance(when, list) or not all(isinstance(part, str) for part in when):
        raise ValueError(f"{where}: `when` is a list of texts, not {when!r}")
    if answer is not None and not isinstance(answer, (str, dict, list)):
        answer = json.dumps(answer)
    return Rule(when, answer=answer)
