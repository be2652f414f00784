# One rule for each task; `make help` lists them. `unexport` keeps whatever the shell has
# activated (conda, a venv, PYTHONPATH) away from the book's own environment in .venv.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE
unexport VIRTUAL_ENV CONDA_PREFIX JUPYTER_PATH JUPYTER_CONFIG_DIR MPLBACKEND
export PYTHONNOUSERSITE := 1

PYTHON    := .venv/bin/python
PYTEST    := $(PYTHON) -m pytest -n auto --dist loadfile -rs --nbval book
FAST_TESTS := tests/test_pages.py tests/test_prose_numbers.py
# JupyterLab reads our settings, and writes its own into .venv instead of the home directory.
LAB_SETTINGS := JUPYTER_CONFIG_PATH=../tools/jupyter JUPYTER_CONFIG_DIR=$(CURDIR)/.venv/jupyter \
	JUPYTER_DATA_DIR=$(CURDIR)/.venv/jupyter IPYTHONDIR=$(CURDIR)/.venv/ipython \
	npm_config_cache=$(CURDIR)/.venv/npm
SITE      := _config.yml _toc.yml $(shell find book tools -type f -not -name '*.pyc')

.PHONY: help html preview page check test consistency lint format mutants matrix hub bench lighthouse \
	live lab edit notebooks student pdf screenshot lock clean

help: ## list the tasks
	@sed -n 's/^\([a-z]*\):.*## /make \1|/p' Makefile | awk -F'|' '{ printf "  %-16s %s\n", $$1, $$2 }'

html: .venv/installed ## build the site in _build/html; fail on any error or warning
	@rm -f _build/built
	@$(PYTHON) -m tools.build site
	@touch _build/built

preview: .venv/installed ## serve the site while you write; rebuild and reload after each edit
	@$(PYTHON) -m sphinx_autobuild --port 0 --open-browser --pre-build "$(PYTHON) -m tools.build preview" \
		--ignore _build --ignore scratch --re-ignore '\.ipynb$$' \
		-q -c tools/preview -A preview=1 . _build/preview

check: $(if $(page),.venv/installed,consistency lint html) ## check the pages after an edit: outputs, sources, built HTML; page=NAME: one page's outputs
	@$(if $(page),$(PYTHON) -m tools.quality.validate $(page),$(PYTEST) tests/test_site.py)

test: consistency lint html ## run every test (those of the site need Chromium and npm)
	@$(PYTEST) tests $(addprefix --ignore ,$(FAST_TESTS))

# Fast checks first.
consistency: .venv/installed
	@$(PYTHON) -m tools.build check
	@$(PYTHON) -m pytest -q $(FAST_TESTS)

lint: .venv/installed ## check the style of the Python code
	@$(PYTHON) -m ruff check --quiet tools tests conftest.py book
	@$(PYTHON) -m ruff format --quiet --check tools tests conftest.py

format: .venv/installed ## format the Python code, and the pages' Markdown as JupyterLab writes it
	@$(PYTHON) -m tools.build format
	@$(PYTHON) -m ruff check --quiet --fix tools tests conftest.py
	@$(PYTHON) -m ruff format tools tests conftest.py

live: .venv/live/installed _build/built ## open the site with running code cells (needs npm)
	@$(PYTHON) -m tools.live.serve

lab: .venv/installed ## open JupyterLab on a copy of the pages
	@$(LAB_SETTINGS) $(PYTHON) -m tools.build scratch
	@cd scratch && $(LAB_SETTINGS) ../$(PYTHON) -m jupyterlab --log-level=ERROR

edit: .venv/installed ## open JupyterLab on the pages themselves
	@cd book && $(LAB_SETTINGS) ../$(PYTHON) -m jupyterlab --log-level=ERROR

notebooks: .venv/installed ## record the outputs of changed pages; page=NAME or page=all: even if unchanged
	@$(PYTHON) -m tools.build record $(page)

page: .venv/installed ## write a new page, book/NAME.md, with name=NAME
	@$(PYTHON) -m tools.build page "$(or $(name),$(page))"

student: .venv/installed ## write the exercises without their solutions
	@$(PYTHON) -m tools.build student
	@echo _build/student/exercises.ipynb

pdf: html ## write the whole book as one PDF (needs Chromium)
	@$(PYTHON) -m tools.pdf

mutants: .venv/installed ## change the pages' code bit by bit; report what no output detects
	@$(PYTHON) -m tools.quality.mutants $(page)

matrix: .venv/installed ## validate the pages with other processors, threads, and engines
	@$(PYTHON) -m tools.quality.matrix

hub: .venv/installed ## run a page on a local JupyterHub, set up by binder/ (needs Chromium and npm)
	@$(PYTHON) -m tools.quality.hub

bench: .venv/installed ## time the layers of the exercises and of the page on speed
	@$(PYTHON) -m tools.quality.bench

lighthouse: html ## print Lighthouse's scores for every page (needs Chromium and npm)
	@$(PYTHON) -m tools.quality.lighthouse

screenshot: html ## take the README's picture of the site (needs Chromium)
	@$(PYTHON) -m tools.screenshot

lock: .venv/installed ## pin the newest versions that requirements.in allows
	@.venv/bin/uv pip compile --quiet --universal --upgrade --python-version $$(sed s/python-// binder/runtime.txt) \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
		--output-file requirements.txt requirements.in
	@for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28 x86_64-apple-darwin; do \
		.venv/bin/uv pip install --quiet --dry-run --only-binary :all: --target _build/none \
			--python $(PYTHON) --python-platform $$platform -r requirements.txt || exit 1; \
	done

clean: ## remove what was built; `rm -r .venv` removes the environment
	@rm -rf _build

.venv/installed: requirements.txt binder/runtime.txt tools/install.sh tools/jupyter/ipython_kernel_config.py
	@tools/install.sh $(MAKECMDGOALS)

.venv/live/installed: tools/live/package-lock.json
	@tools/live/install.sh

_build/built: .venv/installed $(SITE)
	@$(MAKE) --no-print-directory html
