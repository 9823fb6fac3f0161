# The commands of the project; CONTRIBUTING.md says more.

PYTHON := .venv/bin/python

.PHONY: demo test check format bench docs install clean

demo: install  ## see sqlml at work
	@scripts/demo.sh

test:  ## the whole test suite; PYTEST_ARGS="-k proxy" runs a part
	@scripts/install.sh --test
	$(PYTHON) -m pytest $(PYTEST_ARGS)

check:  ## format, lint, types, warnings of the C compiler
	@scripts/install.sh --check
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(MAKE) --silent --always-make -C pg_extension STRICT=1 CC=clang \
		PG_CONFIG=$$(cat .venv/share/sqlml/postgres)/pg_config
	@for compiler in gcc clang; do $$compiler -fsyntax-only -std=c11 -D_GNU_SOURCE \
		-DPy_LIMITED_API=0x030B0000 -Wall -Wextra -Wmissing-prototypes \
		-Wdeclaration-after-statement -Werror -isystem $$($(PYTHON) -c \
		'import sysconfig; print(sysconfig.get_path("include"))') \
		sqlml/proxy/relay_src/*.c || exit 1; done

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

bench: install  ## each program of benchmarks/, figures in build/bench
	@scripts/bench.sh

docs: install  ## the generated pages of docs/
	$(PYTHON) -m scripts.generate_docs

install:
	@scripts/install.sh

clean:
	rm -rf .venv build pg_extension/build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
