# Every target first installs what it lacks (tools/bootstrap.py); `make run ARGS=...` and `make test ARGS=...` pass options on.
PYTHON := .venv/bin/python
FOLDERS := $(wildcard tests/unit tests/system tests/faults tests/protocols)

.PHONY: run test lint bench releases lab golden clean

run: ## start the daemon with a small real guest, and watch it
	@python3 tools/bootstrap.py run
	@$(PYTHON) tools/demo.py $(ARGS)

test: ## all tests that this machine allows; the summary names the skipped ones and why
	@python3 tools/bootstrap.py test
	$(PYTHON) -m pytest -rs $(FOLDERS) $(ARGS)

lint: ## style, types, and who may import whom
	@python3 tools/bootstrap.py lint
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy --strict tools/*.py tests/support tests/contract
	.venv/bin/lint-imports

bench: ## the figures that the design promises, measured beside a bare QEMU
	@python3 tools/bootstrap.py test
	$(PYTHON) -m pytest -s tests/bench $(ARGS)

releases: ## ten guests on every release of QEMU that Debian has: they must see the same hardware
	@python3 tools/bootstrap.py ci
	FRONTINUS_RELEASES=all $(PYTHON) -m pytest -rs tests/system/releases $(ARGS)

lab: ## what this kernel lacks, for real in a VM: logical volumes, iSCSI, NFS, multipath and the like
	@python3 tools/bootstrap.py ci
	FRONTINUS_REQUIRE_SYSTEM=1 $(PYTHON) -m pytest -rs tests/lab $(ARGS)

golden: ## write the golden files anew; read the difference before you commit it
	@python3 tools/bootstrap.py lint
	$(PYTHON) -m pytest -q tests/unit --update-golden $(ARGS)

clean: ## remove all that the other targets made
	rm -rf .venv .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
