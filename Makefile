# Everything from a bare clone with nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
GCP := .venvs/gcp
PRISM := .tools/prism

.PHONY: demo test test-gcp check install clean

install: $(STAMP)

$(STAMP): pyproject.toml setup.py
	@test -x $(BIN)/python || { echo "making $(VENV) …"; $(PYTHON) -m venv $(VENV); }
	@echo "installing (about a minute the first time) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $@

# The real thing: 20 reviews through a real language model on this machine, no key and no account.
demo: $(STAMP)
	@$(BIN)/llmdag fetch-model > /dev/null
	@$(BIN)/python -m pipelines.review_analysis --input examples/reviews_20.jsonl --output output/demo \
	    --model local --summary output/demo/summary.json --show 3

test: $(STAMP) $(PRISM)
	$(BIN)/python -m pytest

# BigQuery, on emulators that are started and stopped by the tests, and the provider of Google with google-genai 2: both
# need an environment of their own, since Beam's parts for Google Cloud hold google-genai below 3.
test-gcp: $(GCP)/.installed
	$(GCP)/bin/python -m pytest -p no:bqemulator tests_gcp
	$(GCP)/bin/python -m pytest -p no:bqemulator tests/providers -k google

$(GCP)/.installed: pyproject.toml setup.py
	@test -x $(GCP)/bin/python || { echo "making $(GCP) …"; $(PYTHON) -m venv $(GCP); }
	@echo "installing (about a minute the first time) …"
	@$(GCP)/bin/python -m pip install -qq --disable-pip-version-check --editable '.[test-gcp]'
	@touch $@

# Beam's Prism runner, for the tests that compare runners; without Go they skip and say so.
$(PRISM):
	@mkdir -p $(@D)
	@if command -v go > /dev/null; then \
	    echo "building Prism (two minutes, once) …"; \
	    GOBIN=$(CURDIR)/.tools go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0; \
	else echo "no Go: the tests with Prism will skip"; fi

# Style, types, layers, and every example of the README run.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest docs/test_examples.py

clean:
	rm -rf $(VENV) .venvs .tools output .llmdag build dist *.egg-info
