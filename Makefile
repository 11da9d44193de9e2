# The commands of this project; `make help` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
STACK ?= lab
ARGS ?= preview --diff
PYTHON ?= python3
venv := .venv/bin
pip_install := $(venv)/pip install --quiet --disable-pip-version-check
# Where it is set, each run would compile all that it imports, which takes longer than a preview.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup lab lab-down pulumi record picture test test-fast bench policy docs check format hooks requirements audit release

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/ready $(venv)/pulumi ## set up the virtual environment and the engine

# uv takes ten seconds where pip takes a minute; pip goes where only it knows the way: to an index or by a certificate of its own.
.venv/ready: requirements.txt requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; choose one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "setup: virtual environment"
	@$(PYTHON) -m venv .venv || { echo "fix: apt-get install python3-venv" >&2; exit 1; }
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.txt >.venv/uv.txt && $(pip_install) --require-hashes -r .venv/uv.txt
	@$(venv)/uv --no-config pip install --quiet --require-hashes --compile-bytecode --python .venv \
		-r requirements-dev.txt 2>.venv/uv.log || \
		{ tail -n 3 .venv/uv.log; echo "setup: trying pip instead, which takes a minute"; \
		$(pip_install) --require-hashes -r requirements-dev.txt; }
	@PYTHONWARNINGS=ignore $(pip_install) --no-deps --no-build-isolation -e .
	@$(venv)/python -m compileall -q __main__.py bench components fortress lab program tests/doubles
	@touch $@

# A language host that knows no options of Pulumi.yaml takes the Python that is first on PATH: the engine is found beside it.
$(venv)/pulumi: lab/engine.sh .venv/ready
	@folder=$$(lab/engine.sh) && ln -sf "$$folder"/pulumi* $(venv)/ && touch -h $@

lab: setup ## bring up a fortress on this machine; STACK=oslo: stand-ins for clouds; RELEASE=bookworm
	@$(venv)/python -m lab up $(if $(filter lab,$(STACK)),,--hosts '') $(if $(RELEASE),--release $(RELEASE))
	@LAB_STACK=$(STACK) lab/pulumi.sh up --yes --skip-preview --suppress-outputs
	@$(venv)/python -m lab run -- $(venv)/fortress verify --stack $(STACK)
	@echo 'see who answers: $(if $(filter lab,$(STACK)),.venv/bin/python -m lab outside -- curl -sk https://192.0.2.12/,.venv/bin/python -m lab status shows the addresses)'

lab-down: .venv/ready ## remove the lab; downloads and builds stay in the cache
	@$(venv)/python -m lab down

pulumi: setup ## run the engine on a stack: STACK=lab ARGS="preview --diff"; the lab's oslo: lab/pulumi.sh
	@if [ "$(STACK)" = lab ]; then lab/pulumi.sh $(ARGS); \
		else PATH="$(CURDIR)/$(venv):$$PATH" pulumi --stack $(STACK) $(ARGS); fi

record: setup ## record the state of a lab stack for tests/engine/test_upgrade.py: STACK=oslo
	@$(venv)/python -m tests.recorded $(STACK)

picture: setup ## make docs/report.png, the report of the fortress in the lab, which must be up
	@$(venv)/python -m tests.picture

# Three processes have a lab each and mostly wait, one goes through the rest: tests/parallel.py. Without -n all is done in one.
test: setup ## run every test, in labs of its own that are removed afterwards
	@$(venv)/python -m pytest -n 4

test-fast: setup ## run the unit and component tests
	@$(venv)/python -m pytest -n 4 tests/unit tests/components

# Exit 1 is for a goal that is not met, which is no failure of the run.
bench: setup ## measure beside Ansible and pyinfra, in a lab of its own: BENCH="rivals --repeat 1"
	@mkdir -p build
	@$(venv)/python -m bench $(BENCH) --json build/bench.json || [ $$? -eq 1 ]

policy: policy/.venv/ready ## set up the environment of the policy pack, policy/README.md

policy/.venv/ready: policy/requirements.txt .venv/ready
	@$(PYTHON) -m venv --without-pip policy/.venv
	@$(venv)/uv --no-config pip install --quiet --require-hashes --python policy/.venv -r policy/requirements.txt
	@touch $@

docs: setup ## generate docs/settings.md, checks.md, rules.md and stack.schema.json from the code
	@$(venv)/python -m docs.reference

# Of new files too: git commit looks at what is added, this at all that git does not ignore.
check: .venv/ready ## check format, lint, strict types, shell, generated files: .pre-commit-config.yaml
	@command -v shellcheck >/dev/null || { echo "shellcheck is missing. Fix: apt-get install shellcheck" >&2; exit 1; }
	@git ls-files -c -o --exclude-standard -z | xargs -0 $(venv)/pre-commit run --files

hooks: .venv/ready ## check each commit from now on; git commit --no-verify skips it
	@$(venv)/pre-commit install

format: .venv/ready ## reformat the Python files
	$(venv)/ruff format .
	$(venv)/ruff check --fix .

# uv resolves for every platform at once and keeps what is pinned; --no-config: nobody's own index or options get in.
requirements: .venv/ready ## pin requirements*.in with hashes and keep other pins; update: UPGRADE=--upgrade
	@for name in requirements requirements-dev bench/requirements policy/requirements; do $(venv)/uv --no-config pip compile --quiet $(UPGRADE) --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
		--custom-compile-command 'make requirements' --output-file $$name.txt $$name.in || exit 1; done

# Without --strict what PyPI does not answer for would be passed over; what it says then ends without a cure.
audit: .venv/ready ## ask PyPI for known vulnerabilities of the pinned packages, and for their hashes
	@$(venv)/pip-audit --strict --progress-spinner off --disable-pip --require-hashes -r requirements-dev.txt 2>.venv/audit.log || \
		{ tail -n 1 .venv/audit.log >&2; grep -q '^Found ' .venv/audit.log || \
		echo 'audit: nothing was audited: no vulnerability data came from PyPI. Fix: connect to PyPI itself, not to a mirror' >&2; exit 1; }
	@tail -n 1 .venv/audit.log

release: .venv/ready ## build a release's files in dist/: TAG=v1.2.3, see docs/releases.md
	@$(venv)/python -m release.build $(TAG)
