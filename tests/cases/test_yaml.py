"""The kind `yaml`: misspelt fields, files that grow, templates without end."""

from __future__ import annotations

import re
import tracemalloc
import unicodedata
from pathlib import Path

import pytest

from beam_llmdag import Dag, GraphError, Item
from beam_llmdag.cli import main
from beam_llmdag.run.user_code import Failed
from beam_llmdag.yaml.build import parse_dag
from beam_llmdag.yaml.template import Expression, Template, Text

SHOP = """name: shop
model: openai:any
dimensions:
  reply:
    prompt: |
      Reply.
      {PROMPT}
    {OPTION}
  triage:
    prompt: "{{ item.content }}"
    output: {OUTPUT}
"""
PROMPT_LINE, OPTION_LINE = 7, 8

TRIAGE = """
      type: object
      required: [severity, parts]
      properties:
        severity: {enum: [low, high]}
        parts: {type: array, items: {$ref: "#/$defs/Part"}}
        counts: {type: object, additionalProperties: {type: integer}}
        extra: {type: object}
        either: {anyOf: [{$ref: "#/$defs/Part"}, {type: "null"}]}
        open: {anyOf: [{$ref: "#/$defs/Part"}, {type: object}]}
        wide: {type: object, properties: {known: {type: string}}, additionalProperties: true}
      $defs:
        Part:
          type: object
          required: [name]
          properties: {name: {type: string}, parts: {type: array, items: {$ref: "#/$defs/Part"}}}"""

TYPES = """
from __future__ import annotations
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple
from pydantic import BaseModel, ConfigDict, computed_field
from typing_extensions import TypedDict

class Severity(Enum):
    LOW = "low"
    HIGH = "high"

class Part(BaseModel):
    name: str
    parts: list[Part] = []

class Pair(NamedTuple):
    left: Part
    right: int

class Typed(TypedDict):
    name: str

@dataclass
class Plain:
    name: str

class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: str

class Triage(BaseModel):
    severity: Severity
    parts: list[Part]
    counts: dict[str, int]
    extra: Any
    either: Part | None
    open: Part | dict[str, Any]
    wide: Open
    pair: Pair
    typed: Typed
    plain: Plain
    level: Literal["a", "b"]

    @computed_field
    @property
    def first(self) -> Part:
        return self.parts[0]

    def told(self) -> str:
        return "x"
"""


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the user's with output classes."""
    (tmp_path / "shop_outputs.py").write_text(TYPES, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


def shop(prompt: str = "x", option: str = "on_missing: skip", output: str = TRIAGE) -> str:
    return SHOP.replace("{PROMPT}", prompt).replace("{OPTION}", option).replace("{OUTPUT}", output)


def loaded(text: str) -> Dag:
    return parse_dag(text, "shop.dag.yaml")


def error_of(text: str) -> str:
    with pytest.raises(GraphError) as caught:
        loaded(text)
    return str(caught.value)


READ = [
    ("{{ triage.sverity }}", "sverity", "severity"),
    ("{{ item.contnet }}", "contnet", "content"),
    ("{{ item['contnet'] }}", "contnet", "content"),
    ("{{ item.product }}", "product", "metadata.product"),
    ("{% for p in triage.parts %}{{ p.nmae }}{% endfor %}", "nmae", "name"),
    ("{% for p in triage.parts if p.nmae %}x{% endfor %}", "nmae", "name"),
    ("{% for p in triage.parts %}{% for q in p.parts %}{{ q.nmae }}{% endfor %}{% endfor %}", "nmae", "name"),
    ("{% for p in triage.parts %}{{ loop.indx }}{% endfor %}", "indx", "index"),
    ("{% for a, b in zip(triage.parts, triage.parts) %}{{ b.nmae }}{% endfor %}", "nmae", "name"),
    ("{{ triage.sverity | default('low') }}", "sverity", "severity"),
    ("{% if triage.sverity is defined %}x{% endif %}", "sverity", "severity"),
    ('{{ triage["sverity"] }}', "sverity", "severity"),
    ("{{ triage.parts[0].nmae }}", "nmae", "name"),
    ("{{ triage.parts[1:][0].nmae }}", "nmae", "name"),
    ("{{ (triage.parts | first).nmae }}", "nmae", "name"),
    ("{{ (triage.parts | sort(attribute='name') | reverse | list)[0].nmae }}", "nmae", "name"),
    ("{{ triage.either.nmae }}", "nmae", "name"),
    ("{% set p = triage.parts[0] %}{{ p.nmae }}", "nmae", "name"),
    ("{% set p = item %}{% if triage.counts %}{% set p = triage %}{% endif %}{{ p.contnet }}", "contnet", "content"),
    ("{% with p = triage %}{{ p.sverity }}{% endwith %}", "sverity", "severity"),
    ("{{ triage.sverity if triage.counts else 'x' }}", "sverity", "severity"),
    ("{{ 'x' if triage.sverity else 'y' }}", "sverity", "severity"),
    ("{{ (triage or item).sverity }}", "sverity", "severity"),
    ("{{ triage.counts.a ~ triage.sverity }}", "sverity", "severity"),
    ("{{ [item] | map(attribute='contnet') | list }}", "contnet", "content"),
    ("{{ triage.parts | map(attribute='nmae') | join }}", "nmae", "name"),
    ("{{ triage.parts | map(attribute='nmae', default='x') | join }}", "nmae", "name"),
    ("{{ triage.parts | selectattr('nmae') | list }}", "nmae", "name"),
    ("{{ triage.parts | rejectattr('nmae', 'equalto', 'x') | list }}", "nmae", "name"),
    ("{{ triage.parts | groupby('nmae') | length }}", "nmae", "name"),
    ("{{ triage.parts | groupby(attribute='nmae') | length }}", "nmae", "name"),
    ("{% for n, ps in triage.parts | groupby('name') %}{{ ps[0].nmae }}{% endfor %}", "nmae", "name"),
    ("{{ triage.parts | sum(attribute='nmae') }}", "nmae", "name"),
    ("{{ triage.parts | sort(attribute='name,nmae') | list }}", "nmae", "name"),
    ("{{ triage.parts | unique(attribute='nmae') | list }}", "nmae", "name"),
    ("{{ triage.parts | min(attribute='nmae') }}", "nmae", "name"),
    ("{{ (triage.parts | max(attribute='name')).nmae }}", "nmae", "name"),
    ("{{ [triage] | map(attribute='parts.0.nmae') | list }}", "nmae", "name"),
    ("{% macro shown(p) %}{{ triage.sverity }}{% endmacro %}{{ shown(1) }}", "sverity", "severity"),
    ("{% filter upper %}{{ triage.sverity }}{% endfilter %}", "sverity", "severity"),
]

FINE = [
    "{{ item.metadata.anything.at_all }}{{ item.metadata['x'] }}{{ item.content.field }}{{ item.source_ids[0] }}",
    "{{ triage.parts | length }}{{ triage | tojson }}",
    "{{ triage.counts.any_key }}{% for k, v in triage.counts.items() %}{{ k }}{% endfor %}",
    "{{ triage.extra.anything.at_all }}{{ triage.open.anything }}{{ triage.wide.anything }}",
    "{% for p in triage.parts recursive %}{{ p.name }}{{ loop(p.parts) }}{{ loop.index }}{% endfor %}",
    "{% macro shown(p) %}{{ p.anything }}{% endmacro %}{{ shown(triage) }}",
    "{% set p = triage %}{% if 1 %}{% set p = item %}{% endif %}{{ p.content }}{{ p.severity }}",
    "{% set ns = namespace(p=triage) %}{% set ns.p = item %}{{ ns.p.anything }}",
    "{% for group in triage.parts | groupby('name') %}{{ group.grouper }}{{ group.list[0].name }}{% endfor %}",
    "{{ triage.parts | map('upper') | list }}{{ triage.parts | map(attribute='name') | join(', ') }}",
    "{% for p in triage.parts | batch(2) %}{{ p[0].name }}{% endfor %}{{ triage.either.name }}",
]


@pytest.mark.parametrize("output", [TRIAGE, "shop_outputs.Triage"], ids=["json schema", "class"])
@pytest.mark.parametrize(("template", "field", "nearest"), READ)
def test_a_misspelt_field_fails_when_the_file_is_loaded(
    template: str, field: str, nearest: str, output: str, outputs: None
) -> None:
    """yaml-51-fields-that-no-output-has and yaml-53-undefined-through-a-filter, in prompts"""
    message = error_of(shop(template, output=output))
    assert message.startswith(f"shop.dag.yaml:{PROMPT_LINE}: prompt of dimension 'reply': ")
    assert f"{field!r}" in message
    assert f"did you mean {nearest!r}?" in message


@pytest.mark.parametrize("output", [TRIAGE, "shop_outputs.Triage"], ids=["json schema", "class"])
@pytest.mark.parametrize("template", FINE)
def test_a_field_that_may_be_there_is_no_error(template: str, output: str, outputs: None) -> None:
    """yaml-51-fields-that-no-output-has, fine"""
    loaded(shop(template, output=output))


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ("{{ triage.get('sverity') }}", "sverity"),
        ("{{ triage.severity.value }}", "value"),
        ("{{ triage.parts.name }}", "name"),
        ("{{ reply.anything }}", "anything"),
    ],
)
def test_texts_and_lists_have_no_fields_of_their_own(template: str, field: str) -> None:
    """yaml-51-fields-that-no-output-has, siblings"""
    other = "  last:\n    prompt: " + repr(template) + "\n"
    assert f"has no field {field!r}" in error_of(shop() + other)


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ("{{ triage.pair.lft.name }}", "lft"),
        ("{{ triage.pair[0].nmae }}", "nmae"),
        ("{{ triage.typed.nmae }}", "nmae"),
        ("{{ triage.typed.get('nmae') }}", "nmae"),
        ("{{ triage.plain.nmae }}", "nmae"),
        ("{{ triage.level.nmae }}", "nmae"),
        ("{{ triage.severity.vlaue }}", "vlaue"),
        ("{{ triage.frist.name }}", "frist"),
        ("{{ triage.tld() }}", "tld"),
    ],
)
def test_fields_of_all_kinds_of_classes_are_checked(template: str, field: str, outputs: None) -> None:
    """yaml-51-fields-that-no-output-has, siblings"""
    assert f"has no field {field!r}" in error_of(shop(template, output="shop_outputs.Triage"))


def test_computed_fields_and_methods_are_there(outputs: None) -> None:
    """yaml-51-fields-that-no-output-has, siblings"""
    loaded(shop("{{ triage.first.name }}{{ triage.told() }}{{ triage.severity.value }}", output="shop_outputs.Triage"))


@pytest.mark.parametrize(
    ("option", "what"),
    [
        ("skip_if: triage.sverity == 'low'", "skip_if"),
        ("model: [{if: triage.sverity == 'high', use: 'openai:b'}, {use: 'openai:a'}]", "model"),
        ("skip_if: \"'a' in triage.parts | map(attribute='sverity')\"", "skip_if"),
    ],
)
def test_a_misspelt_field_in_an_expression_fails_when_the_file_is_loaded(option: str, what: str) -> None:
    """yaml-51-fields-that-no-output-has, in expressions"""
    message = error_of(shop(option=option))
    assert message.startswith(f"shop.dag.yaml:{OPTION_LINE}: {what} of dimension 'reply': ")
    assert "'sverity'" in message


GLOBAL = """  overview:
    scope: global
    {OPTION}
    prompt: "{PROMPT}"
  last:
    scope: global
    prompt: "{{ overview }}"
"""


@pytest.mark.parametrize(
    ("prompt", "option", "said"),
    [
        (
            "{% for t in triage %}{{ t.sverity }}{% endfor %}",
            "",
            "'t' has no field 'sverity'; did you mean 'severity'?",
        ),
        ("{% for i, t in zip(items, triage) %}{{ i.contnet }}{% endfor %}", "", "did you mean 'content'?"),
        ("{{ triage.severity }}", "", "'triage' has no field 'severity'; it is a list, and its elements have it"),
        ("{{ items | map(attribute='nope') | join }}", "", "'nope'"),
        ("{{ triage }}", "per: item.product", "per of dimension 'overview': 'item' has no field 'product'; did you"),
        ("{{ triage }}", "per: triage.sverity", "did you mean 'severity'?"),
        ("{{ triage }}", "merge: '{{ parts[0].nope }}'", "merge of dimension 'overview': an element of 'parts' has no"),
    ],
)
def test_a_global_sees_lists_and_its_per_one_item(prompt: str, option: str, said: str) -> None:
    """yaml-51-fields-that-no-output-has, j"""
    assert said in error_of(shop() + GLOBAL.replace("{PROMPT}", prompt).replace("{OPTION}", option or "after: []"))


def test_answers_per_group_have_any_name_in_another_global() -> None:
    """yaml-51-fields-that-no-output-has, siblings"""
    text = shop() + GLOBAL.replace("{PROMPT}", "{{ triage }}").replace("{OPTION}", "per: triage.severity")
    loaded(text.replace("{{ overview }}", "{{ overview.high }}{{ overview.items() }}"))


def test_llmdag_show_says_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """yaml-51-fields-that-no-output-has, llmdag show"""
    (tmp_path / "shop.dag.yaml").write_text(shop("{{ triage.sverity }}"), encoding="utf-8")
    assert main(["show", str(tmp_path / "shop.dag.yaml")]) != 0
    assert f"shop.dag.yaml:{PROMPT_LINE}: prompt of dimension 'reply'" in capsys.readouterr().err


def bomb(levels: int = 6, width: int = 9) -> str:
    """Aliases of aliases: a few lines that stand for `width ** (levels + 1)` texts."""
    lines = [f"a0: &a0 [{', '.join('x' * width)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels + 1)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("levels", [6, 12, 40])
def test_aliases_of_aliases_are_too_large_before_they_fill_the_memory(levels: int) -> None:
    """yaml-52-files-that-grow-when-they-are-read, a"""
    tracemalloc.start()
    try:
        message = error_of(bomb(levels) + shop())
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
    assert re.match(
        r"shop.dag.yaml:\d: the file is too large: more than 50000 nodes with what its aliases name", message
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: x\nprompt: " + "[" * 5000, 2),
        ("name: x\n" + "\n".join(" " * n + f"k{n}:" for n in range(200)), 102),
        ("name: x\nprompt: " + "{a: " * 5000, 2),
        ("- " * 5000, 1),
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200)), 1),
    ],
    ids=["brackets", "mappings", "braces", "dashes", "aliases"],
)
def test_what_is_nested_too_deeply_is_told_with_its_line(text: str, line: int) -> None:
    """yaml-52-files-that-grow-when-they-are-read, b"""
    message = error_of(text)
    assert message.startswith(f"shop.dag.yaml:{line}: ")
    assert "nested too deeply: more than 100 levels" in message


@pytest.mark.parametrize("text", ["a: &a\n  b: *a", "a: &a {b: [*a]}", "a: &a [*a]"])
def test_what_contains_itself_is_an_error(text: str) -> None:
    """yaml-52-files-that-grow-when-they-are-read, c"""
    assert "an alias stands inside of what it names" in error_of(text)


def test_an_anchor_for_a_model_of_several_dimensions_is_ordinary() -> None:
    """yaml-52-files-that-grow-when-they-are-read, d"""
    dag = loaded(
        """
name: shop
dimensions:
  a: {prompt: x, model: &m {spec: "openai:any", temperature: 0}}
  b: {prompt: x, model: *m}
  c: {prompt: x, model: *m}
"""
    )
    assert [dimension.models[0].temperature for dimension in dag.dimensions.values() if dimension.models] == [0, 0, 0]


REVIEW = Item("1", "x", {"parts": [{"name": "a"}], "product": "p"})


def rendered(template: str, item: Item = REVIEW) -> str:
    text = Text(source=template, file="shop.dag.yaml", line=1, label="prompt of dimension 'reply'")
    return Template(text)(item=item)


@pytest.mark.parametrize(
    "template",
    [
        "{{ [item.metadata] | map(attribute='nope') | list }}",
        "{{ [item.metadata] | map(attribute='nope') | list | length }}",
        "{{ item.metadata.parts | selectattr('nope') | list }}",
        "{{ item.metadata.parts | selectattr('nope', 'none') | list }}",
        "{{ item.metadata.parts | rejectattr('nope', 'equalto', 1) | list }}",
        "{{ item.metadata.parts | groupby('nope') | length }}",
        "{{ item.metadata.parts | groupby(attribute='nope') | length }}",
        "{{ item.metadata.parts | sum(attribute='nope') }}",
        "{{ item.metadata.parts | sort(attribute='name,nope') }}",
        "{{ item.metadata.parts | sort(false, false, 'nope') }}",
        "{{ item.metadata.parts | unique(attribute='nope') | list | length }}",
        "{{ item.metadata.parts | min(attribute='nope') }}",
        "{{ [item.metadata.nope] }}",
        "{{ {'a': item.metadata.nope} }}",
        "{{ [item.metadata.nope] | list }}",
        "{{ '%r' % [item.metadata.nope] }}",
        "{% if item.metadata.nope is none %}x{% endif %}",
        "{{ item.metadata.nope | list }}",
        "{{ item.metadata.nope | upper }}",
    ],
)
def test_what_is_not_there_is_an_error_through_a_filter_too(template: str) -> None:
    """yaml-53-undefined-through-a-filter"""
    with pytest.raises(Failed) as caught:
        rendered(template)
    assert caught.value.error.error_class == "user_function"
    assert "nope" in caught.value.error.message


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ item.metadata.parts | map(attribute='name') | join(', ') }}", "a"),
        ("{{ item.metadata.nope | default('low') }}{{ item.metadata.nope | d('x') }}", "lowx"),
        ("{% if item.metadata.nope is defined %}x{% else %}y{% endif %}", "y"),
        ("{{ item.metadata.parts | map(attribute='nope', default='z') | join }}", "z"),
        ("{{ item.metadata.parts | selectattr('nope', 'defined') | list }}", "[]"),
        ("{{ item.metadata.parts | groupby('nope', default='q') | map(attribute='grouper') | join }}", "q"),
        ("{{ item.metadata.parts | sort(attribute='name') | map(attribute='name') | first }}", "a"),
        ("{% for p in item.metadata.parts %}{{ loop.length }}{{ loop.last }}{% endfor %}", "1True"),
        ("{{ 'a' ~ 2 * 3 + 1 ~ '-' * 3 }}{{ '%05.1f' % 2 }}{{ '{:>5}'.format('x') }}", "a61---002.0    x"),
    ],
)
def test_filters_and_operators_do_what_they_did(template: str, text: str) -> None:
    """yaml-53-undefined-through-a-filter, f"""
    assert rendered(template) == text


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% for i in [1, 2] recursive %}{% if loop.depth < 60 %}{{ loop([1, 2]) }}{% endif %}{% endfor %}",
        "{{ 'x' * 10**9 }}",
        "{{ 10**9 * [1] }}",
        "{{ 10**1000000 }}",
        "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% for i in range(99999) %}{{ 'x' * 9999 }}{% endfor %}",
        "{{ 'x' | center(10**9) }}",
        "{{ 'x'.ljust(10**9) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ ('x' * 9999).replace('x', 'y' * 9999) }}",
        "{{ range(99999) | join('x' * 9999) }}",
        "{{ range(99999) | map('center', 9999) | list | length }}",
    ],
)
def test_a_template_without_end_fails_and_names_the_dimension(template: str) -> None:
    """yaml-53-undefined-through-a-filter, second run"""
    with pytest.raises(Failed) as caught:
        rendered(template)
    assert caught.value.error.error_class == "user_function"
    assert caught.value.error.message.startswith("prompt of dimension 'reply' raised OverflowError: ")


def test_an_expression_has_an_end_too() -> None:
    """yaml-53-undefined-through-a-filter, second run"""
    text = Text(source="'x' * 10**9 == item.id", file="shop.dag.yaml", line=1, label="skip_if of dimension 'reply'")
    with pytest.raises(Failed, match="skip_if of dimension 'reply' raised OverflowError"):
        Expression(text)(item=REVIEW)


BASE = """
name: shop
model: openai:any
dimensions:
  a: &a {prompt: x, temperature: 0.5, max_tokens: 9}
  b: &b {prompt: y, effort: low}
"""


@pytest.mark.parametrize(
    ("declared", "temperature", "effort"),
    [
        ("{<<: *a}", 0.5, None),
        ("{<<: *a, temperature: 1}", 1, None),
        ("{temperature: 1, <<: *a}", 1, None),
        ("{<<: [*b, *a]}", 0.5, "low"),
    ],
)
def test_what_a_mapping_takes_over_from_others_stands_behind_its_own(
    declared: str, temperature: float, effort: str | None
) -> None:
    """Kind of yaml-52-files-that-grow-when-they-are-read, d"""
    dag = loaded(f"{BASE}  c: {declared}\n")
    assert (dag.dimensions["c"].temperature, dag.dimensions["c"].effort) == (temperature, effort)


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("{<<: 3, prompt: x}", "7: '<<' takes over the keys of a mapping, or of a list of them"),
        ("&c {<<: *c, prompt: x}", "7: an alias stands inside of what it names"),
        ("{<<: *a, prompt: x, temperature: hot}", "7: temperature of dimension 'c'"),
        ("{'<<': x}", "7: dimension 'c': unknown key '<<'"),
    ],
)
def test_what_takes_over_wrongly_is_told_with_its_line(declared: str, told: str) -> None:
    """Kind of yaml-52-files-that-grow-when-they-are-read, c"""
    assert told in error_of(f"{BASE}  c: {declared}\n")


def test_mappings_that_take_over_each_other_are_too_large_before_they_fill_the_memory() -> None:
    """Kind of yaml-52-files-that-grow-when-they-are-read, a"""
    levels = "".join(f"  a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9))
    assert "the file is too large" in error_of("a:\n  a0: &a0 {k: 1, l: 2, m: 3}\n" + levels)


@pytest.mark.parametrize("name", ["ﬁlter", "cafe\u0301", "ª"])
def test_a_template_knows_a_dimension_however_its_letters_are_typed(name: str) -> None:
    """Kind of graph-51-names-and-their-remedies: Python reads `ﬁlter` as `filter`."""
    dag = loaded(
        f"""
name: shop
model: openai:any
dimensions:
  {name}: {{prompt: x}}
  reply: {{prompt: "{{{{ {name} }}}}", skip_if: "{name} == 'x'"}}
"""
    )
    (needed,) = dag.needs("reply")
    assert needed == unicodedata.normalize("NFKC", name)
    assert dag.dimensions["reply"].function.call(**{needed: "said"}) == "said"


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("self: {prompt: x}", "5: dimension 'self': templates have a function of that name"),
        ("a: {prompt: '{{ self }}'}", "5: prompt of dimension 'a': 'self' is the template itself, and has no text"),
    ],
)
def test_what_jinja_calls_the_template_is_no_dimension(declared: str, told: str) -> None:
    """Kind of yaml-53-undefined-through-a-filter: the text of an object would be sent and paid."""
    assert told in error_of(f"name: shop\nmodel: openai:any\n# ordinary\ndimensions:\n  {declared}\n")
