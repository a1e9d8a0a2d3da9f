# Each target does the set-up it needs and is quick when that is done. Paths are relative: a space in them is fine.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup node-setup devnet test market-test contracts slither conformance sim bench lint clean

BIN := .venv/bin
ARGS ?=

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

setup: ## Create .venv and install dmchain in it
	@tools/setup.sh

node-setup: setup
	@tools/setup_node.sh

devnet: ## Run a development network on port 8545; ARGS="--port 0 …" passes options on
	@tools/setup.sh run
	@exec $(BIN)/dmchain devnet $(ARGS)

test: node-setup ## Run the tests; ARGS="-k name" passes options on to pytest
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

market-test: node-setup ## Run every test of the market's contracts, the long ones too
	@MARKET=full $(BIN)/python -m pytest -q -n 2 --dist loadfile $(wildcard tests/contracts tests/market) $(ARGS)

contracts: node-setup ## Compile the market's contracts into their artifacts, byte for byte the same anywhere
	@$(BIN)/python -m tools.contracts.artifacts $(ARGS)

slither: node-setup ## Analyse the contracts with Slither; each finding has its answer in docs/market/slither.md
	@$(BIN)/python -m tools.contracts.slither $(ARGS)

conformance: setup ## Run the whole sample of published Ethereum fixtures on both engines
	@CONFORMANCE=full $(BIN)/python -m pytest -q -n 2 tests/conformance $(ARGS)

sim: setup ## Simulate consensus: the gate, or a longer campaign by ARGS
	@$(BIN)/dmchain sim --campaign $(ARGS)

bench: node-setup ## Measure, beside anvil and plain py-evm; each script prints a table; ARGS=--quick for less
	@for script in startup engine market throughput network_nodes sync commit_verification; do \
	    $(BIN)/python bench/$$script.py $(ARGS); done
	@for script in precompiles consensus consensus_growth failover; do $(BIN)/python bench/$$script.py; done

lint: setup ## Check style and types
	@$(BIN)/ruff check dmchain tests bench tools
	@$(BIN)/mypy

clean: ## Remove what the targets made
	rm -rf .venv .setup build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
