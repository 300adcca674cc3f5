# make run [ARGS="--corpus my_videos --videos DIR"]   the seven notebooks, in order
# make test                                           lint, format and tests
# make bench                                          speed and memory, into README.md
# make weights                                        trains the released weights anew
# Needs make and Python 3.11 to 3.13, nothing else. Everything is installed into .venv.

# Another Python, beside: make test VENV=.venv-3.13 PYTHONS=python3.13

VENV := .venv
PYTHONS := python3.13 python3.12 python3.11 python3
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/requirements.stamp
INSTALLED_TEST := $(VENV)/requirements-test.stamp
PIP := $(PYTHON) -m pip install --disable-pip-version-check --quiet

.PHONY: run test bench weights
.DELETE_ON_ERROR:

run: $(INSTALLED)
	@$(PYTHON) -m helpers run $(ARGS)

bench: $(INSTALLED)
	@$(PYTHON) -m helpers benchmark --readme README.md $(ARGS)

weights: $(INSTALLED)
	@$(PYTHON) -m helpers pretrain $(ARGS)

test: $(INSTALLED_TEST)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pytest $(ARGS)

# The first Python that really starts (a version manager leaves names behind that do not) and
# brings what a virtual environment needs.
$(PYTHON):
	@for candidate in $(PYTHONS); do \
	  if $$candidate -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1; then \
	    echo "Making $(VENV) with $$($$candidate --version)"; \
	    exec $$candidate -m venv --clear $(VENV); \
	  fi; \
	done; \
	echo "No Python 3.11, 3.12 or 3.13 with venv was found. Install one (for instance python3.12 and python3.12-venv), then try again." >&2; \
	exit 1

$(INSTALLED): requirements.txt | $(PYTHON)
	@echo "Installing requirements.txt into $(VENV) (about two minutes the first time)"
	@$(PIP) -r requirements.txt
	@touch $@

$(INSTALLED_TEST): requirements-test.txt $(INSTALLED)
	@$(PIP) -r requirements-test.txt
	@touch $@
