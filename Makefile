# Everything runs from .venv, which each target makes or brings up to date first.
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
SITE := $(VENV)/.site
DEV := $(VENV)/.dev
BOTH_DATABASES := $(wildcard tests/rows tests/actions tests/api tests/search)
CHECKED := $(wildcard manage.py project chathistory benchmarks tests/servers.py)

.DEFAULT_GOAL := help
.PHONY: help install run test bench lint format lock

help:  ## Show the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

install: $(SITE)  ## Make .venv with what the site needs

run: $(SITE)  ## Serve the demo site on PORT (8000); data in CHATHISTORY_HOME (./var)
	@exec $(BIN)/python -m project.run $(PORT)

test: $(DEV)  ## Run all tests, on SQLite and on PostgreSQL; TESTS=path for some, on SQLite
ifdef TESTS
	@exec $(BIN)/python tests/servers.py -- $(BIN)/pytest -n 2 $(TESTS)
else
	@exec $(BIN)/python tests/servers.py -- sh -c ' \
	  status=0; \
	  $(BIN)/pytest -n 2 || status=1; \
	  export DATABASE_URL="$$TEST_DATABASE_URL"; \
	  echo "== The rows, verbs, API and search again, on PostgreSQL"; \
	  $(BIN)/pytest -n 2 $(BOTH_DATABASES) || status=1; \
	  exit $$status'
endif

bench: $(DEV)  ## Print the benchmarks' tables and write build/bench.json
	@exec $(BIN)/python -m benchmarks

# mypy leaves without cleaning up, so these share a folder that is named beforehand.
lint: export DJANGO_SETTINGS_MODULE := tests.settings
lint: export CHATHISTORY_TEST_WORKER := main
lint: export CHATHISTORY_HOME := build/lint
lint: $(DEV)  ## Check style, types, layers, migrations and settings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports
	$(BIN)/python -W error manage.py makemigrations --check --dry-run
	$(BIN)/python -W error manage.py check --fail-level WARNING

format: $(DEV)  ## Let ruff mend and lay out the code
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

# uv takes 3 seconds where pip takes 35, but knows nothing of pip's own settings: where it can't
# reach an index, pip does the work; where it could, pip finds nothing left to do.
define pip_install
	-@$(BIN)/pip install --quiet --disable-pip-version-check $(UV)
	-@$(BIN)/uv pip install --quiet --python $(BIN)/python --link-mode copy -r $(1)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r $(1)
endef
UV := uv==0.13.9

$(SITE): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'Python 3.11 or newer is needed. Name one: make PYTHON=python3.12' >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' || { \
	  echo 'Python lacks its venv module. On Debian: apt-get install python3-venv' >&2; exit 2; }
	@echo 'Installing into $(VENV) ...'
	@$(PYTHON) -m venv $(VENV)
	$(call pip_install,requirements.txt)
	@touch $@

$(DEV): requirements-dev.txt $(SITE)
	@echo 'Installing what tests, lint and benchmarks add ...'
	$(call pip_install,requirements-dev.txt)
	@touch $@

# Not part of any other target: asks the index for the newest versions pyproject.toml allows.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
  --no-header --no-annotate pyproject.toml
lock: $(DEV)  ## Renew both requirements files from pyproject.toml
	$(COMPILE) --upgrade --extra llamaindex --extra pdf --extra postgres --group site -o requirements.txt
	$(COMPILE) --upgrade -c requirements.txt --group dev -o $(VENV)/dev.txt
	{ echo '-r requirements.txt'; grep -vxFf requirements.txt $(VENV)/dev.txt; } > requirements-dev.txt
