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

bench:           ## every path against its limit at a million rows: benchmarks/report.md and its plot; BENCH="--quick": few rows
	$(BIN)/python -m benchmarks $(BENCH)

lock:            ## development versions, without addresses
	$(BIN)/uv lock
	$(BIN)/uv export --frozen --all-extras --no-emit-project --no-header -o requirements-dev.lock
