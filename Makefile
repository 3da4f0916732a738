# Everything a newcomer or CI needs: each target does its own set-up, and second runs skip what is done.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup panel browser demo docs lab test lint types imports format proto bench lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RPC := prodml_magics/serving/rpc
NODE_OK := $(shell node -e 'process.exit(+process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null && echo yes)
AS_ROOT := $(shell test "$$(id -u)" = 0 && echo --allow-root)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Another environment that happens to be active is not meant; IPython and uv would take it for theirs.
unexport VIRTUAL_ENV

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/.made:
	@command -v uv >/dev/null || $(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV)
	@touch $@

# Compiled at once: where Python may not write bytecode, each of the many processes of a test run would compile all it imports anew.
$(VENV)/.locked: requirements.lock $(VENV)/.made
	@echo "installing locked dependencies"
	@uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	@touch $@

setup: $(VENV)/.locked panel $(VENV)/.installed ## make .venv with the package in it

ifeq ($(NODE_OK),yes)
PANEL := build/panel.built
panel: $(PANEL)
else
PANEL :=
panel:
	@echo "Node 20 or newer was not found: the JupyterLab panel is left out, everything else works"
endif

# Editable: the hook that builds the panel is left out, the panel has a target of its own and is copied when it is new.
$(VENV)/.installed: pyproject.toml $(VENV)/.locked $(PANEL)
	@SKIP_JUPYTER_BUILDER=1 uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

node_modules/.made: package.json package-lock.json
	@echo "installing npm packages"
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

build/panel.built: $(VENV)/.locked node_modules/.made package.json $(shell find extension -type f -not -path 'extension/lib/*' -not -path '*/node_modules/*')
	@echo "building the JupyterLab panel"
	@mkdir -p build
	@npm run --silent build > build/panel.log 2>&1 || { cat build/panel.log; exit 1; }
	@touch $@

browser: $(VENV)/.locked
	@$(BIN)/python tests/ui/install_browser.py

demo: setup ## run the tour headless into build/, and say what happened
	@$(BIN)/python notebooks/demo.py

lab: setup ## open JupyterLab on the tour, services up
	@$(BIN)/prodml up && cd notebooks && ../$(BIN)/jupyter lab $(AS_ROOT) tour.ipynb

docs: demo ## run the tour and write it into docs/
	@$(BIN)/python notebooks/document.py build/tour.ipynb docs

lint:
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .

types:
	@$(BIN)/mypy

imports:
	@PYTHONPATH=. $(BIN)/lint-imports > build/imports.log || { cat build/imports.log; exit 1; }

format: ## format and mend what can be mended
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

test: setup browser lint types imports ## lint, types, import contracts and every test
ifeq ($(NODE_OK),yes)
	@npm run --silent lint
	@npm run --silent test
endif
	@$(BIN)/python -m pytest -q -n auto --dist loadfile -m "not alone"
	@$(BIN)/python -m pytest -q -m alone tests/engines tests/ui

bench: setup ## speed and memory, as ratios against peers in the same run
	@for script in tests/benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script; done

proto: setup ## compile the gRPC interface anew
	@$(BIN)/python -m grpc_tools.protoc -I $(RPC) --descriptor_set_out=$(RPC)/inference.binpb inference.proto

lock: ## resolve requirements.lock anew
	@uv pip compile --universal --generate-hashes --group dev --python-version 3.11 --no-header --quiet pyproject.toml -o requirements.lock

clean: ## remove what was built; .venv and node_modules stay
	@rm -rf build dist extension/lib prodml_magics/labextension
