# `make` or `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SERVING := $(VENV)/.installed-serve
# What runs the services: everything, where that is installed.
READY := $(if $(wildcard $(INSTALLED)),$(INSTALLED),$(SERVING))
NATIVE := vector_index/native.cpp $(wildcard vector_index/native/*.h)
IMAGES ?=
TRAIN ?=
KILLS ?= 50
ROUNDS ?= 3
WORKERS ?= 2

PROTOS = $(shell find protos/atelier -name '*.proto' | sort)
# google/rpc/status.proto comes with googleapis-common-protos.
GOOGLE = $(shell $(BIN)/python -c 'import pathlib, google.rpc.status_pb2 as m; print(pathlib.Path(m.__file__).parents[2])')
# The stubs of every proto, written under a folder.
stubs = $(BIN)/python -m grpc_tools.protoc -I protos -I $(GOOGLE) --python_out=$(1) --pyi_out=$(1) --grpc_python_out=$(1) $(PROTOS)

# Packages with their hashes, then Atelier itself.
define packages
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --no-config --require-hashes -r $(1) \
	  || $(BIN)/pip install --no-compile --require-hashes -r $(1)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
endef

.DEFAULT_GOAL := help
.PHONY: help install serving demo up test test-fast test-gpu test-compose certificates fuzz lint format protos image requirements api openapi \
  bench bench-quick browser lock audit sbom crash clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## Make .venv and install what everything below needs

serving: $(READY)  ## Make .venv and install what the services need, without torch; less than 700 MB

# uv installs the 5 GB four times as fast; where it cannot (an index known to pip alone), pip does.
# The two runtimes of ONNX share a folder: the one for the CPU leaves before the other comes.
$(INSTALLED): requirements/dev.txt requirements/installer.txt pyproject.toml setup.py $(NATIVE)
	$(MAKE) --no-print-directory $(VENV)/.installer
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip uninstall --quiet --no-config onnxruntime 2> /dev/null || true
	$(call packages,requirements/dev.txt)
	@touch $@

$(SERVING): requirements/serve.txt requirements/installer.txt pyproject.toml setup.py $(NATIVE)
	$(MAKE) --no-print-directory $(VENV)/.installer
	$(call packages,requirements/serve.txt)
	@touch $@

$(VENV)/.installer: requirements/installer.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements/installer.txt
	@touch $@

demo:  ## Serve the packaged models, rank and recommend; IMAGES=dir your photographs, TRAIN=1 heads of your own
	@started=$$(date +%s) \
	  && $(MAKE) --no-print-directory $(if $(TRAIN),install,serving) \
	  && $(BIN)/atelier demo --since $$started $(if $(IMAGES),--images "$(IMAGES)") $(if $(TRAIN),--train)

up: $(READY)  ## Run the services in the foreground; an empty var/models gets the packaged models
	@$(BIN)/atelier up

test: lint  ## Everything: lint, then every test with coverage; those that hold seconds last, alone
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not timed" --cov --cov-report= --cov-fail-under=0
	$(BIN)/python -m pytest -m timed --cov --cov-append --cov-report=term:skip-covered

test-compose: $(INSTALLED)  ## Build the images, bring the compose file up, ask, restart; needs a Docker engine
	ATELIER_TEST_COMPOSE=1 $(BIN)/python -m pytest tests/integration/test_compose.py -s -rs

certificates: $(INSTALLED)  ## Certificates for trying TLS, in var/certificates
	@$(BIN)/atelier certificates create var/certificates

fuzz: $(INSTALLED)  ## The property tests with new examples; ROUNDS=20 for more
	@for round in $$(seq $(ROUNDS)); do \
	  $(BIN)/python -m pytest -m hypothesis --hypothesis-profile fuzz --no-header -x || exit 1; \
	done

# What imports torch is left out: the import alone takes seconds.
FAST := tests/benchmarks tests/cli tests/dashboard tests/inference tests/model_store tests/services tests/vector_index $(wildcard tests/test_*.py)

test-fast: $(INSTALLED)  ## The quick tests, without torch, in under 30 s
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow and not timed" $(FAST)

test-gpu: $(INSTALLED)  ## What only a CUDA device can prove; ATELIER_STORE=dir adds published models
	$(BIN)/python -m pytest tests/gpu -s

browser:  ## Install Chromium for the tests of the page; they are skipped without one
	@if command -v chromium > /dev/null; then echo "chromium is installed"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  apt-get update -qq \
	    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-nanum; \
	else echo "install Chromium, as by: sudo apt-get install chromium; or name one in ATELIER_TEST_BROWSER"; fi

lint: $(INSTALLED)  ## Ruff, mypy, import rules, protos and whether their stubs are fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@mkdir -p var
	$(BIN)/python -m grpc_tools.protoc -I protos -I $(GOOGLE) --include_source_info --include_imports -o var/protos.binpb $(PROTOS)
	$(BIN)/buf lint var/protos.binpb --config buf.yaml
	$(BIN)/buf breaking var/protos.binpb --against protos/v1.binpb --config buf.yaml
	@rm -rf var/stubs && mkdir -p var/stubs
	$(call stubs,var/stubs)
	@diff -rq -x '*.proto' -x '*.binpb' -x '__*__*' protos var/stubs || { echo "the stubs are stale: run make protos"; exit 1; }

format: $(INSTALLED)  ## Let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: $(INSTALLED)  ## Generate the stubs beside their .proto files
	$(call stubs,protos)

image: $(INSTALLED)  ## Move the image that `make lint` compares the protos with; read CONTRIBUTING.md first
	$(BIN)/python -m grpc_tools.protoc -I protos -I $(GOOGLE) --include_imports -o protos/v1.binpb $(PROTOS)

api: $(INSTALLED)  ## Write docs/api_reference.md from the protos, docs/dashboard.schema.json from its types
	$(BIN)/python -m tests.api_reference
	$(BIN)/python -m dashboard.schema_file

openapi: $(INSTALLED)  ## Write docs/openapi.json from the routes of the gateway
	$(BIN)/python -m tests.openapi

requirements: $(INSTALLED)  ## List in docs/requirements.md the tests that name each id
	$(BIN)/python -m tests.requirements

lock: $(INSTALLED)  ## Pin every dependency with its hashes, for any platform, without addresses
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-annotate --no-config requirements/installer.in -o requirements/installer.txt
	for extra in dev train serve serve-gpu torchscript otlp; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	    --no-emit-index-url --no-header --no-annotate --no-config pyproject.toml --extra $$extra \
	    -o requirements/$$extra.txt || exit 1; \
	done

# --strict: a package that no advisory service answers for is a failure, not "no known vulnerabilities".
audit: $(INSTALLED)  ## Look for known vulnerabilities in what is pinned for a checkout and for both images
	@for lock in dev serve serve-gpu train; do \
	  $(BIN)/pip-audit --strict --require-hashes --disable-pip -r requirements/$$lock.txt || exit 1; \
	done

sbom: $(INSTALLED)  ## Write what the images hold as CycloneDX, in var/sbom
	@for lock in serve serve-gpu train; do \
	  $(BIN)/python -m tests.sbom requirements/$$lock.txt var/sbom/$$lock.json || exit 1; \
	done

crash: $(INSTALLED)  ## The kill -9 tests with their figures; KILLS=1000 for more
	ATELIER_TEST_KILLS=$(KILLS) $(BIN)/python -m pytest -m slow -k "kill" -s

# A missed goal of benchmarks/goals.json is printed as missed and fails nothing.
BENCHMARKS ?= $(filter-out __init__ calls report,$(basename $(notdir $(sort $(wildcard benchmarks/*.py))))) \
  $(notdir $(patsubst %/__main__.py,%,$(wildcard benchmarks/*/__main__.py)))

bench: $(INSTALLED)  ## Every benchmark into var/bench; BENCHMARKS="flood spinning" chooses
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit 1; done

bench-quick: $(INSTALLED)  ## The same in at most a minute each, for a first look
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name --quick || exit 1; done

clean:  ## Remove caches and all of var/: models, runs, the catalog; keep .venv
	rm -rf var .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* *.egg-info
