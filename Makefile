# Everything from a bare clone with nothing but Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
GCP := .venvs/gcp
PRISM := .tools/prism
BEAM_JAVA := .tools/beam-java

.PHONY: demo estimate-demo faults flink-demo engines test test-fast test-engines test-gcp fuzz check audit bench bench-peers bench-docs install clean servers

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

# How near `dag.estimate` comes to the bill of the run, from samples of 10 to 100 of 1,000 reviews.
estimate-demo: $(STAMP)
	@$(BIN)/python -m benchmarks.estimates

# Both pipelines on a Flink cluster of this machine; Beam downloads its job server, or FLINK_JOB_SERVER_JAR=path names it.
flink-demo: $(STAMP)
	@$(BIN)/python -m engines.flink_demo

# The table in docs/engines.md, measured; Flink with FLINK_JOB_SERVER_JAR=path.
engines: $(STAMP) $(PRISM)
	@$(BIN)/python -m engines.table

# kill -9 of runs and of the servers with their answers, at moments drawn by chance; the table in docs/reliability.md.
faults: $(STAMP) servers
	@$(BIN)/python -m engines.faults

test: $(STAMP) $(PRISM) $(BEAM_JAVA) servers
	$(BIN)/python -m pytest --ignore tests/engines

# The rooms that do without Beam, and of their tests those that start no other process and no model.
test-fast: $(STAMP)
	$(BIN)/python -m pytest -m "not processes" $(addprefix tests/,calls graph outputs providers records run testing)

# Real engines: worker processes, Prism and a Flink cluster, killed in the middle, compared to the byte.
test-engines: $(STAMP) $(PRISM)
	$(BIN)/python -m pytest tests/engines

# Hostile replies, answers and dag files, other ones each time, for about ten minutes: make fuzz FUZZ_EXAMPLES=500 for less.
fuzz: $(STAMP)
	FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),5000) $(BIN)/python -m pytest -n 2 --dist load --timeout 3600 tests/fuzz

# Redis and PostgreSQL for the tests of shared limits and stores, from Debian's packages where these can be installed.
servers:
	@{ command -v redis-server && ls /usr/lib/postgresql/*/bin/initdb; } > /dev/null 2>&1 || { test "$$(id -u)" = 0 \
	    && command -v apt-get > /dev/null && echo "installing redis-server and postgresql …" && apt-get update -qq \
	    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-server postgresql > /dev/null; } \
	    || echo "no redis-server, or no PostgreSQL: the tests with them will skip"

# BigQuery, on emulators that are started and stopped by the tests, and the provider of Google with google-genai 2: both
# need an environment of their own, since Beam's parts for Google Cloud hold google-genai below 3.
test-gcp: $(GCP)/.installed
	$(GCP)/bin/python -m pytest -p no:bqemulator tests_gcp
	$(GCP)/bin/python -m pytest -p no:bqemulator tests/providers --ignore tests/providers/test_local.py -k google

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

# Beam's Java SDK, for the test that Java reads our rows.
$(BEAM_JAVA): tests/beam/io/java/pom.xml
	@if command -v mvn > /dev/null && command -v java > /dev/null; then \
	    mvn -q -B -f $< dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$@ && touch $@; \
	else echo "no Java or Maven: the test with Java will skip"; fi

# Style, types, layers, and every example of the README run.
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest docs/test_examples.py

# Known holes in the packages that are installed; asks PyPI's advisory service, so it needs the network.
audit: $(STAMP) .venvs/audit/.installed
	.venvs/audit/bin/pip-audit --skip-editable $(addprefix --path ,$(wildcard $(VENV)/lib/python3*/site-packages))

.venvs/audit/.installed:
	$(PYTHON) -m venv .venvs/audit
	.venvs/audit/bin/python -m pip install -qq --disable-pip-version-check pip-audit
	@touch $@

# All measurements, or those of one case: make bench CASE=c0 RUNS=5. About 25 minutes on two cores; leave the machine alone.
bench: $(STAMP) $(if $(CASE),,servers)
	$(BIN)/python -m benchmarks $(if $(CASE),--case $(CASE)) $(if $(RUNS),--runs $(RUNS))
	$(BIN)/python -m benchmarks --docs
	$(if $(CASE),,$(BIN)/python -m benchmarks.stores)
	$(if $(CASE),,$(BIN)/python -m benchmarks.memory --most 100000)

# The libraries that the engine is compared with, each in an environment of its own.
bench-peers: $(patsubst benchmarks/peers/%.txt,.venvs/%/.installed,$(wildcard benchmarks/peers/*.txt))

.venvs/%/.installed: benchmarks/peers/%.txt
	$(PYTHON) -m venv .venvs/$*
	.venvs/$*/bin/python -m pip install -qq --disable-pip-version-check --requirement $<
	@touch $@

# Tables and charts of docs/performance.md from the last results.
bench-docs: $(STAMP)
	$(BIN)/python -m benchmarks --docs

clean:
	rm -rf $(VENV) .venvs .tools output .llmdag build dist *.egg-info
