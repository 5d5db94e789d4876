"""What a request costs, by hand."""

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from beam_llmdag.errors import GraphError
from beam_llmdag.providers.prices import Price, PriceTable, context_window
from beam_llmdag.usage import Usage

NOW = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
LIBRARY = PriceTable({})
THOUSAND = Usage(input_tokens=1000, output_tokens=1000)


def cost(spec: str, table: PriceTable = LIBRARY, usage: Usage | None = THOUSAND, at: float = NOW) -> int | None:
    return table.cost(spec, usage, at=at)


def test_tokens_written_to_the_cache_are_charged_once() -> None:
    """Case cost-01-anthropic-cache-write."""
    price = Price(input=3, output=15, cache_read=0.3, cache_write=3.75)
    usage = Usage(input_tokens=8004, cache_write_tokens=8000, output_tokens=500)
    assert price.nano_usd(usage) == 37_512_000


def test_reasoning_is_a_part_of_the_output() -> None:
    """Case cost-02-gemini-thoughts."""
    usage = Usage(input_tokens=1500, output_tokens=1000, reasoning_tokens=880)
    assert Price(input=0.3, output=2.5).nano_usd(usage) == 2_950_000


def test_a_model_without_a_price_is_unpriced_and_others_are_not() -> None:
    """Case cost-03-unknown-model."""
    table = PriceTable({"openai:gpt-5-mini": Price(input=0.25, output=2.0)})
    usage = Usage(input_tokens=1000, output_tokens=100)
    assert cost("openai:house-model-7b", table, usage) is None
    assert cost("openai:gpt-5-mini", table, usage) == 450_000
    assert not table.knows("openai:house-model-7b", at=NOW)
    assert table.knows("openai:gpt-5-mini", at=NOW)


@pytest.mark.parametrize(
    "name",
    ["gpt-5-mini", "gpt-5-mini-2025-08-07", "openai/gpt-5-mini", "GPT-5-mini", "openrouter/openai/gpt-5-mini"],
)
@pytest.mark.parametrize("provider", ["openai", "openai-chat", "openai-responses"])
def test_every_spelling_of_gpt_5_mini_has_its_price(provider: str, name: str) -> None:
    """Case cost-05-spelling-of-model-names."""
    assert cost(f"{provider}:{name}") == 2_250_000


@pytest.mark.parametrize(
    "spec",
    [
        "anthropic:claude-haiku-4-5",
        "anthropic:claude-haiku-4-5-20251001",
        "anthropic:claude-haiku-4-5@20251001",
        "anthropic:claude-haiku-4-5-latest",
        "anthropic:anthropic/claude-haiku-4-5",
        "anthropic:us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic:anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic:global.anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic:bedrock/eu.anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic:arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0",
        "google:publishers/anthropic/models/claude-haiku-4-5@20251001",
        "openai-chat:anthropic/claude-haiku-4-5",
        "openai-chat:anthropic/claude-haiku-4.5",
        "openai-chat:vertex_ai/claude-haiku-4-5@20251001",
    ],
)
def test_every_spelling_of_claude_haiku_has_its_price(spec: str) -> None:
    """Case cost-05-spelling-of-model-names."""
    assert cost(spec) == 6_000_000


@pytest.mark.parametrize(
    "spec",
    [
        "google:gemini-2.5-flash",
        "google:models/gemini-2.5-flash",
        "google:google/gemini-2.5-flash",
        "google:gemini/gemini-2.5-flash",
        "google:publishers/google/models/gemini-2.5-flash",
        "google:projects/p-1/locations/europe-west1/publishers/google/models/gemini-2.5-flash",
        "openai-chat:google/gemini-2.5-flash",
        "openai-chat:vertex_ai/gemini-2.5-flash",
    ],
)
def test_every_spelling_of_gemini_flash_has_its_price(spec: str) -> None:
    """Case cost-05-spelling-of-model-names."""
    assert cost(spec) == 2_800_000


@pytest.mark.parametrize(
    "spec",
    [
        "openai:gpt-5-mini-turbo-x",
        "openai:gpt-5-mini-",
        "anthropic:claude-haiku-4-5-foo",
        "anthropic:claude-haiku-4-50",
        "google:gemini-2.5-flash-x",
        "openai:azure/gpt-5-mini",
        "openai-chat:my-deployment",
        "openai-chat:google/gemini-2.5-flash:free",
        "openai-chat:claude-haiku-4-5",
        "anthropic:gpt-5-mini",
        "scripted:gpt-5-mini",
        "anthropic:arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
    ],
)
def test_a_name_that_only_begins_alike_or_is_somebody_elses_is_unpriced(spec: str) -> None:
    """Kind of cost-05-spelling-of-model-names."""
    assert cost(spec) is None
    assert context_window(spec) is None


def test_a_dated_release_with_a_price_of_its_own_keeps_it() -> None:
    """Kind of cost-05: gpt-4o costs 2.50 and 10 USD per million, its first release cost 5 and 15."""
    assert cost("openai:gpt-4o") == 12_500_000
    assert cost("openai:gpt-4o-2024-05-13") == 20_000_000
    assert cost("openai:gpt-4o-2024-11-20") == 12_500_000


def test_a_context_window_is_found_under_every_spelling() -> None:
    assert context_window("openai:openai/gpt-5-mini-2025-08-07") == context_window("openai:gpt-5-mini") == 400_000


def test_a_long_prompt_costs_more_per_token() -> None:
    """Sonnet 4.5 above 200,000 tokens of prompt: 6 and 22.50 USD per million instead of 3 and 15."""
    assert cost("anthropic:claude-sonnet-4-5", usage=Usage(input_tokens=200_000, output_tokens=1000)) == 615_000_000
    assert cost("anthropic:claude-sonnet-4-5", usage=Usage(input_tokens=200_001, output_tokens=1000)) == 1_222_506_000


def test_a_write_that_is_kept_for_an_hour_costs_more() -> None:
    """Haiku 4.5: 1.25 USD per million for five minutes, 2 for an hour. Sonnet 4.5: 3.75 and 6."""
    usage = Usage(input_tokens=1000, cache_write_tokens=1000, cache_write_1h_tokens=600)
    assert cost("anthropic:claude-haiku-4-5", usage=usage) == 400 * 1250 + 600 * 2000
    assert cost("anthropic:claude-sonnet-4-5", usage=usage) == 400 * 3750 + 600 * 6000


def test_missing_cache_prices_are_those_of_other_input() -> None:
    usage = Usage(input_tokens=100, cache_read_tokens=30, cache_write_tokens=40, cache_write_1h_tokens=10)
    assert Price(input=2, output=1).nano_usd(usage) == 200_000
    assert Price(input=2, output=1, cache_write=4).nano_usd(usage) == 60 * 2000 + 40 * 4000


def test_a_cost_is_rounded_to_whole_nano_dollars_half_to_even() -> None:
    assert Price(input=Decimal("0.0005"), output=0).nano_usd(Usage(input_tokens=1)) == 0
    assert Price(input=Decimal("0.0005"), output=0).nano_usd(Usage(input_tokens=3)) == 2
    assert Price(input=Decimal("0.0015"), output=0).nano_usd(Usage(input_tokens=1)) == 2
    assert Price(input=Decimal("0.00051"), output=0).nano_usd(Usage(input_tokens=1)) == 1


def test_float_prices_mean_what_they_say() -> None:
    """0.1 + 0.2 is not 0.3 in binary floating point, and a billion tokens would show it."""
    usage = Usage(input_tokens=10**9, output_tokens=10**9)
    assert Price(input=0.1, output=0.2).nano_usd(usage) == 300_000_000_000


def test_prices_are_dated_in_utc() -> None:
    table = PriceTable({"a:b": [Price(input=1, output=0), Price(input=2, output=0, since=date(2026, 6, 1))]})
    usage = Usage(input_tokens=1000)
    last_second = datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    assert cost("a:b", table, usage, last_second) == 1_000_000
    assert cost("a:b", table, usage, last_second + 1) == 2_000_000


def test_a_price_of_the_future_does_not_hold_yet() -> None:
    table = PriceTable({"openai:gpt-5-mini": Price(input=9, output=9, since=date(2027, 1, 1))})
    assert cost("openai:gpt-5-mini", table) == 2_250_000


@pytest.mark.parametrize(
    ("written", "spec"),
    [
        ("a:b", "a:b"),
        ("b", "a:b"),
        ("gpt-5-mini", "openai:gpt-5-mini-2025-08-07"),
        ("openai:gpt-5-mini", "openai-chat:gpt-5-mini"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic:us.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("anthropic:us.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic:claude-haiku-4-5"),
        ("azure/my-deployment", "openai-chat:azure/my-deployment"),
    ],
)
def test_the_users_price_comes_first_under_every_spelling(written: str, spec: str) -> None:
    assert cost(spec, PriceTable({written: Price(input=100, output=0)})) == 100_000_000


def test_the_users_price_of_the_very_name_comes_before_that_of_another_spelling() -> None:
    table = PriceTable({"gpt-5-mini": Price(input=1, output=0), "gpt-5-mini-2025-08-07": Price(input=2, output=0)})
    assert cost("openai:gpt-5-mini-2025-08-07", table) == 2_000_000
    assert cost("openai:gpt-5-mini", table) == 1_000_000


def test_the_users_price_of_another_provider_does_not_count() -> None:
    assert cost("a:b", PriceTable({"c:b": Price(input=1, output=1)})) is None


def test_unknown_usage_has_an_unknown_cost_and_no_tokens_cost_nothing() -> None:
    assert cost("openai:gpt-5-mini", usage=None) is None
    assert cost("openai:house-model-7b", usage=Usage()) == 0


@pytest.mark.parametrize("wrong", [3, [], [Price(input=1, output=1), 3], "0.25"])
def test_a_price_that_is_none_is_an_error_that_names_the_model(wrong: Any) -> None:
    with pytest.raises(GraphError, match=r"price of 'a:b': give a Price, or a list of them"):
        PriceTable({"a:b": wrong})


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), "0.25"])
def test_a_rate_that_is_no_price_is_an_error(wrong: Any) -> None:
    with pytest.raises(GraphError, match="Price: output is a number of dollars per million tokens"):
        Price(input=1, output=wrong)


def test_costs_do_not_depend_on_time_zone_locale_or_decimal_context() -> None:
    """Kind of locale-01-same-bytes-everywhere."""
    program = (
        "from beam_llmdag.providers.prices import *; from beam_llmdag.usage import Usage; from datetime import date\n"
        "old, new = Price(input=0.1, output=0.2), Price(input=1, output=1, since=date(2026, 6, 1))\n"
        "usage = Usage(input_tokens=12345, output_tokens=678)\n"
        "print(PriceTable({'a:b': [old, new]}).cost('a:b', usage, at=1780271999))"  # 2026-05-31 23:59:59 UTC
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"TZ": zone, "LC_ALL": locale, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for zone, locale in (
            ("UTC", "C"),
            ("Pacific/Kiritimati", "de_DE.UTF-8"),
            ("America/Los_Angeles", "tr_TR.UTF-8"),
        )
    }
    assert printed == {"1370100\n"}


def test_a_model_on_this_machine_costs_nothing() -> None:
    assert PriceTable().cost("local:smollm2", Usage(input_tokens=10, output_tokens=10), at=NOW) == 0
