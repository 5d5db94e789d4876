"""Every Python example of the README and the docs is run, and prints what its `#>` lines say."""

from __future__ import annotations

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

from beam_llmdag.testing import Simulator


@pytest.mark.parametrize("example", list(find_examples("README.md", "docs")), ids=str)
def test_example(
    example: CodeExample,
    eval_example: EvalExample,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for name, vendor in (("ANTHROPIC", "anthropic"), ("OPENAI", "openai")):
        monkeypatch.setenv(f"{name}_BASE_URL", simulator.base_url(vendor))
        monkeypatch.setenv(f"{name}_API_KEY", "any")
    monkeypatch.setenv("LLMDAG_STORE", str(tmp_path_factory.mktemp("store") / "answers.sqlite"))
    eval_example.run_print_check(example)
