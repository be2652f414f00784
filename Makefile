# One rule a task; `make help` lists them. Nothing that the shell has activated
# (conda, a venv, PYTHONPATH, ...) reaches the book's own environment in .venv.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE
unexport VIRTUAL_ENV CONDA_PREFIX JUPYTER_PATH JUPYTER_CONFIG_DIR MPLBACKEND
export PYTHONNOUSERSITE := 1

PYTHON    := .venv/bin/python
NOTEBOOKS := $(wildcard book/*.ipynb)
PROSE     := $(filter-out $(NOTEBOOKS:.ipynb=.md),$(wildcard book/*.md))

.PHONY: help html test mutants matrix live lab edit notebooks pdf lighthouse student bench lock clean

help: ## list the tasks
	@sed -n 's/^\([a-z]*\):.*## /make \1|/p' Makefile | awk -F'|' '{ printf "  %-15s %s\n", $$1, $$2 }'

.venv/installed: requirements.txt tools/install.sh
	@tools/install.sh $(MAKECMDGOALS)

html: .venv/installed ## build the site: execute the pages, stop at any failure or warning
	@$(PYTHON) tools/pages.py build
	@touch _build/built

_build/built: .venv/installed _config.yml _toc.yml $(wildcard book/* book/_static/* tools/*.py)
	@$(MAKE) --no-print-directory html

test: html ## run every check: the recorded outputs, the pages, the site
	@$(PYTHON) -m pytest --nbval book tests -n auto -rs

mutants: .venv/installed ## break each layer in every way, and see that its page notices
	@$(PYTHON) -m tools.mutants $(page)

matrix: .venv/installed ## validate with other processors, threads, engines, places
	@$(PYTHON) -m tools.matrix

live: .venv/live/installed _build/built ## open the site with running code cells (needs npm)
	@$(PYTHON) tools/live/serve.py

.venv/live/installed: tools/live/package-lock.json
	@tools/live/install.sh

lab: .venv/installed $(patsubst book/%,scratch/%,$(NOTEBOOKS) $(PROSE)) ## open JupyterLab on a scratch copy of the pages
	@cd scratch && JUPYTER_CONFIG_PATH=../tools/jupyter ../$(PYTHON) -m jupyterlab

# Jupyter shows the figures of a notebook that it trusts.
scratch/%: | book/% .venv/installed
	@mkdir -p scratch && cp book/matplotlibrc scratch && cp $(firstword $|) $@
	@test $(suffix $@) = .md || .venv/bin/jupyter-trust $@ >/dev/null

edit: .venv/installed ## open JupyterLab on the pages themselves
	@cd book && JUPYTER_CONFIG_PATH=../tools/jupyter ../$(PYTHON) -m jupyterlab

notebooks: .venv/installed ## execute every page again and record its outputs
	@$(PYTHON) tools/pages.py record
	@git status --short book 2>/dev/null || true

pdf: html ## write the whole book as one PDF; needs Chromium
	@$(PYTHON) -m tools.pdf

lighthouse: html ## print Lighthouse's scores for every page; needs Chromium and npm
	@$(PYTHON) -m tools.lighthouse

student: .venv/installed ## write the exercises without their solutions
	@$(PYTHON) tools/pages.py student
	@echo _build/student/exercises.ipynb

bench: .venv/installed ## time the layers of the exercises and of speed.md
	@$(PYTHON) tools/bench.py

lock: .venv/installed ## pin requirements.in's newest versions in requirements.txt
	@.venv/bin/uv pip compile --quiet --universal --upgrade --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
		--output-file requirements.txt requirements.in
	@for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28 x86_64-apple-darwin; do \
		.venv/bin/uv pip install --quiet --dry-run --only-binary :all: --target _build/none \
			--python $(PYTHON) --python-platform $$platform -r requirements.txt || exit 1; \
	done

clean: ## remove what was built (the environment stays: rm -r .venv)
	@rm -rf _build
