# `make chat` talks, `make test` proves. Both set up what they need; `make help` lists the rest.

.DEFAULT_GOAL := help
# The oldest and the newest Python are in every run, those between in `make test-all`.
TYPES = types-3.11 types-3.14
TYPES_BETWEEN = types-3.12 types-3.13
.PHONY: help chat run bench answers test test-all test-rest quick setup setup-dev check format lint \
	types types-between contracts changed other-pythons unit coverage faults sim sims fuzz fuzz-cut planted-bugs \
	test-remote \
	test-llama-server bench-peers constraints clean $(TYPES) $(TYPES_BETWEEN)

# The first Python from 3.11 to 3.14 on the path; PYTHON=... names another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null \
	&& echo "$$python" && break; done || true)
SETUP = @$(or $(strip $(PYTHON)),python3) -m scripts.setup_environment
BIN = .venv/bin
ARGS ?=
# A process for each core, up to eight. A file's tests are begun in order by one process, since they
# share what is costly to make; one that is done takes from the others.
PARALLEL = -n logical --maxprocesses 8 --dist worksteal
# Tests take twice as long with it: by itself it is in `make test-all`. Where CI runs both, `make test`
# measures it, so that nothing runs twice.
COVERAGE = --cov --cov-report=term

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Create .venv with what running needs
	$(SETUP)

setup-dev: ## Create .venv with what the tests need as well
	$(SETUP) --dev

# On a terminal, models of Ollama, LM Studio and others are offered first. Else the starter model is
# fetched where it is missing; where that fails the embedded model answers.
chat: setup ## Talk in the terminal (ARGS="--model blenderbot")
	@if [ -t 0 ]; then $(BIN)/fireside models starter; \
	else $(BIN)/fireside models starter </dev/null; fi || true
	@$(BIN)/fireside chat $(ARGS)

run: setup ## Serve whatever platforms are configured
	@$(BIN)/fireside run $(ARGS)

bench: setup ## Measure the engine beside all other ways (MODEL=name N=1,4,8)
	@$(BIN)/python -m bench --ways all $(if $(MODEL),--model "$(MODEL)") $(if $(N),--n "$(N)") $(ARGS)

answers: setup ## Ask installed models the forty prompts of docs/models.md again
	@$(BIN)/python -m bench.answers $(ARGS)

bench-peers: setup-dev ## Install vLLM, CTranslate2 and llama.cpp into their own environments, to measure beside
	@$(BIN)/python -m scripts.model_server_environment
	@$(BIN)/python -m scripts.bench_peer_environment
	@$(BIN)/python -m scripts.llama_cpp_environment

# Tests come last, so that their summary ends the output.
test: setup-dev lint types contracts unit ## Check format, lint, types, imports and run all tests

test-all: test test-rest ## `make test`, the other Pythons, coverage and short cuts of the campaigns

test-rest: setup-dev types-between $(if $(CI),,coverage) other-pythons fuzz-cut

quick: setup-dev lint ## Check format, lint, the oldest Python's types and the tests of what changed
	@$(MAKE) --no-print-directory -j2 types-3.11 changed

lint: setup-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check

# Python 3.11 is tested by running it, later versions first of all by their types; two at a time.
types: setup-dev
	@$(MAKE) --no-print-directory -j2 $(TYPES)

types-between: setup-dev
	@$(MAKE) --no-print-directory -j2 $(TYPES_BETWEEN)

$(TYPES) $(TYPES_BETWEEN): types-3.%:
	$(BIN)/pyright --warnings --pythonversion 3.$*

contracts: setup-dev
	$(BIN)/lint-imports

other-pythons: setup-dev ## Run the tests that need no torch under every other Python at hand
	$(BIN)/python -m scripts.torch_free_tests

changed: setup-dev
	$(BIN)/python -m scripts.changed_tests -q

unit: setup-dev ## Run the tests, or some of them (ARGS="-k name")
	$(BIN)/pytest $(or $(ARGS),$(PARALLEL) $(if $(CI),$(COVERAGE)))

coverage: setup-dev ## Run the tests and check how much of the source they run
	$(BIN)/pytest -q $(PARALLEL) $(COVERAGE)

# Other sequences than those of `make test`, which begin at 0.
fuzz-cut: setup-dev
	FUZZ_FIRST=1000 FUZZ_SEQUENCES=600 $(BIN)/pytest -q $(PARALLEL) tests/engine/local/test_fuzz.py

faults: setup-dev ## Kill the bot while people talk to it, in five campaigns (SECONDS=420 SEED=1)
	$(BIN)/python -m tests.auditor.campaign --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) $(ARGS)

sim: setup-dev ## Simulate one storm on a virtual clock, event by event (SEED=3 ARGS="--platform slack")
	$(BIN)/python -m tests.simulator --seed $(or $(SEED),0) --trace $(ARGS)

sims: setup-dev ## Simulate many storms on a virtual clock (COUNT=1000 SEED=0)
	$(BIN)/python -m tests.simulator --seed $(or $(SEED),0) --count $(or $(COUNT),1000) $(ARGS)

fuzz: setup-dev ## Ten thousand random sequences of joins, leaves, cancels and unloads in the engine
	FUZZ_SEQUENCES=10000 $(BIN)/pytest -q tests/engine/local/test_fuzz.py

planted-bugs: setup-dev ## Show that the tests notice forty planted bugs, or some (ARGS="quotas slack")
	$(BIN)/python -m scripts.planted_bugs $(ARGS)

test-remote: setup-dev ## Test the remote engine against a real server (vLLM, about 3 GB in .venv-remote)
	@$(BIN)/python -m scripts.model_server_environment
	$(BIN)/pytest -p no:cacheprovider tests/real_servers/with_real_server.py $(ARGS)

test-llama-server: setup-dev ## Test the remote engine against llama.cpp's server (LLAMA_SERVER=/path/to/llama-server)
	LLAMA_SERVER="$(LLAMA_SERVER)" $(BIN)/pytest -p no:cacheprovider tests/real_servers/with_llama_server.py $(ARGS)

check: lint types contracts ## Run the checks without the tests

format: setup-dev ## Format the source and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

constraints: setup-dev ## Regenerate constraints.txt at the newest versions
	$(BIN)/python -m scripts.constraints

clean: ## Remove the environments, caches and build results
	rm -rf .venv .venv-3.* .venv-remote .venv-bench-* build dist htmlcov .coverage .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
