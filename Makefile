# Everything runs in the environment that the README's second command makes.
BIN ?= .venv/bin
SEEDS ?= 100

.PHONY: check format lint types contracts test crash clients faults mutate bench lock

check: lint types contracts test

format:
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

contracts:
	$(BIN)/lint-imports

test:
	$(BIN)/pytest -n 4 --dist worksteal

crash:           ## every failpoint, every combination, SEEDS random kills: one line each
	$(BIN)/python -m tests.crash --seeds $(SEEDS)
	$(BIN)/pytest -n 2 -m slow

clients:         ## curl and OpenAI's JavaScript client (from npm) against the local server
	$(BIN)/python -m tests.server.official_clients

faults:          ## every fault of tests/faults against the runner; writes the table in docs/reference/faults.md
	$(BIN)/python -m tests.faults

mutate:          ## apply each patch of tests/mutations to a copy; each must be killed
	$(BIN)/python -m tests.mutations

bench:           ## rows end to end, exported, and through the local server alone: seconds and peak memory
	$(BIN)/python -m benchmarks.end_to_end 10000 100000
	$(BIN)/python -m benchmarks.export 20000 200000
	$(BIN)/python -m benchmarks.server 5000 50000

lock:            ## development versions, without addresses
	$(BIN)/uv lock
	$(BIN)/uv export --frozen --all-extras --no-emit-project --no-header -o requirements-dev.lock
