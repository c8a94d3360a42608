# `make help` lists the targets. What they do is in book/tools/; this file only names it.

PORT ?= 8000
# Linux would otherwise fetch 3 GB of CUDA. Where this address does not answer, the default index is used.
export CPU_TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# The first Python that runs and has a version that everything here supports (a command may exist and not run).
SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
NO_PYTHON = No Python 3.11, 3.12 or 3.13 found: install one, or name it (make $@ PYTHON=/path/to/python3)
python = $(or $(PYTHON),$(error $(NO_PYTHON)))

# These run with what .venv/bin holds, node included.
VENV = PATH="$(CURDIR)/.venv/bin:$$PATH"
UNIT = tests --ignore tests/site --ignore tests/live
# A browser that stood still gets a second try, a wrong page does not.
AGAIN = --reruns 1 --only-rerun "Timeout|no frame|crashed|has been closed"

.DEFAULT_GOAL := help
.PHONY: help book zip pdf preview test test-fast test-portable test-colab test-binder test-oldest test-newest linkcheck links \
	refresh bench lint explorers clean site-environment environment

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-14s %s\n", $$1, $$2 }'

book:  ## build the site and serve it on localhost (PORT=8000)
	@$(python) book/tools/serve.py $(PORT)

pdf: environment  ## print the whole book into _build/paying-attention.pdf
	@chromium=$$($(python) book/tools/chromium.py) && $(VENV) CHROMIUM="$$chromium" python book/tools/pdf.py

preview: environment  ## photograph the first page anew, for the README and for messengers
	@chromium=$$($(python) book/tools/chromium.py) && $(VENV) CHROMIUM="$$chromium" python book/tools/preview.py

zip: site-environment  ## the site as one archive to take along, _build/paying-attention.zip
	@$(python) book/tools/archive.py

test: lint  ## everything: linters, unit tests, notebooks, the site in a browser, JupyterLab, Notebook 7
	@$(VENV) pytest $(UNIT) -n 2
	@$(VENV) pytest --nbval notebooks -n 2 --dist loadfile
	@chromium=$$($(python) book/tools/chromium.py) && export CHROMIUM="$$chromium" && \
		$(VENV) pytest tests/site -n 2 --dist loadfile --timeout 200 $(AGAIN) && \
		$(VENV) pytest tests/live

test-fast: environment  ## the unit tests without the slow ones, under a minute
	@$(VENV) pytest $(UNIT) -n 2 -m "not slow"

# The kinds of CPU and the numbers of threads that `make test-portable` takes, each with each.
CPUS ?= default avx2
THREADS ?= 1 2
AS_default = ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE
AS_avx2 = ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_CBWR=AVX2
as = $(or $(AS_$(cpu)),$(error CPUS: got $(cpu), expected default or avx2)) OMP_NUM_THREADS=$(threads)

test-portable: environment  ## the notebooks as other CPUs would compute them (CPUS=avx2 THREADS=2: only so)
	@failed=; $(foreach cpu,$(CPUS),$(foreach threads,$(THREADS),echo "$(as)"; \
		$(VENV) $(as) pytest --nbval notebooks -n 2 --dist loadfile || failed=1;)) test -z "$$failed"

test-colab:  ## the chapters alone, with the versions that Colab brings
test-binder:  ## the chapters in what Binder makes of binder/
test-oldest:  ## unit tests and chapters with the lowest versions that requirements.txt allows
test-newest:  ## unit tests and chapters with the newest versions
test-colab test-binder test-oldest test-newest:
	@$(python) book/tools/elsewhere.py $(@:test-%=%)

links: site-environment  ## ask every other host that the book links to whether the page is there
	@$(python) book/tools/links.py

refresh: environment  ## run the notebooks again and store what they show (NOTEBOOKS=06_attention: only this one)
	@$(VENV) python book/tools/refresh.py $(NOTEBOOKS)

bench: environment  ## page weight, ready time, slider to paint, time to build the site
	@chromium=$$($(python) book/tools/chromium.py) && $(VENV) CHROMIUM="$$chromium" PYTHONPATH=.:book/tools:tests/site python bench

lint: environment  ## style, errors and spelling
	@$(VENV) ruff check --quiet --output-format concise && $(VENV) ruff format --check --quiet && $(VENV) codespell

linkcheck: environment  ## all links: inside the book each target, to other sites the form of the address
	@$(VENV) pytest tests/test_links.py tests/site/test_site.py -k link

explorers: site-environment  ## bundle the explorers' JavaScript anew
	@$(VENV) node helpers/explorers/js/build.mjs

clean:  ## remove everything that was installed or built
	rm -rf .venv node_modules _build

site-environment:
	@$(python) book/tools/environment.py site

environment:
	@$(python) book/tools/environment.py all
