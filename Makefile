# make demo [SOURCE=folder|video]   a camera, the node and a recorder; writes demo/demo.mp4, demo.png
# make test                        formatting, lint, types and tests
# make format                      puts the code into our format

SOURCE ?= street
PYTHON := .venv/bin/python

.PHONY: demo test format clean

demo: .venv/complete
	$(PYTHON) -m regseg_ros.demo "$(SOURCE)"

test: .venv/complete
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest

format: .venv/complete
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

.venv/complete: $(wildcard requirements/*.txt) scripts/make_venv.sh
	scripts/make_venv.sh

clean:
	rm -rf .venv build install log demo
