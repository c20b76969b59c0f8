# Every target sets up .venv by itself; a stamp for each set of dependencies remembers that it is installed.
PYTHON ?= python3
PYTEST = OMP_NUM_THREADS=1 .venv/bin/pytest -q -n auto
INSTALL = .venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-slow check bench bench-long clean

demo: .venv/core
	.venv/bin/weft demo

test: .venv/test
	$(PYTEST) -m "not slow"

test-slow: .venv/test
	$(PYTEST) -m slow

check: .venv/check
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/pytest -q tests/test_imports.py
	.venv/bin/python tools/check_links.py

bench: .venv/bench
	.venv/bin/weft bench

bench-long: .venv/bench
	.venv/bin/weft bench --long

clean:
	rm -rf .venv

.venv/core: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) $$(grep '^torch==' constraints.txt)
	$(INSTALL) -e .
	touch $@

.venv/test .venv/check .venv/bench: .venv/%: .venv/core
	$(INSTALL) -e '.[$*]'
	touch $@
