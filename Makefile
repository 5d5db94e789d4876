# Everything from a bare clone with nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check install clean

install: $(STAMP)

$(STAMP): pyproject.toml setup.py
	@test -x $(BIN)/python || { echo "making $(VENV) …"; $(PYTHON) -m venv $(VENV); }
	@echo "installing (about a minute the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# The real thing: 20 reviews through a real language model on this machine, no key and no account.
demo: $(STAMP)
	@$(BIN)/llmdag fetch-model
	@$(BIN)/python -m pipelines.review_analysis --input examples/reviews_20.jsonl --output output/demo \
	    --model local --summary output/demo/summary.json --show 3

test: $(STAMP)
	$(BIN)/python -m pytest

# Style, types, layers, and every example of the README run.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest docs/test_examples.py

clean:
	rm -rf $(VENV) output .llmdag build dist *.egg-info
